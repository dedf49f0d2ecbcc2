"""Which mounts this host has below a directory, and how they go away.

Reads only the kernel's own table; an unmount that finds nothing to do is no error.
"""

from __future__ import annotations

import contextlib
import errno
import re
from pathlib import Path

from ingot.machine.container import syscalls

_ESCAPED = re.compile(r"\\([0-7]{3})")


def mounts_below(directory: Path) -> list[Path]:
    """Mount points at or below `directory`, the latest mounted first."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines():
        place = Path(_ESCAPED.sub(lambda match: chr(int(match[1], 8)), line.split(" ")[4]))
        if place == directory or directory in place.parents:
            found.append(place)
    return found[::-1]


def unmount_below(directory: Path) -> list[Path]:
    """Unmounts everything at or below `directory`; returns what was mounted. A mount in use is detached:
    it disappears for everyone and ends with its last user."""
    gone = mounts_below(directory)
    for place in gone:
        unmount(place)
    return gone


def unmount(place: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        try:
            syscalls.unmount(place)
        except OSError as error:
            if error.errno == errno.EBUSY:
                syscalls.unmount(place, detach=True)
            elif error.errno != errno.EINVAL:  # EINVAL: not a mount point (any more)
                raise
