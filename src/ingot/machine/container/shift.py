"""Gives a freshly made tree, owned by the host's ids, to the range that machines map to.

Works in place, keeps setuid bits and file capabilities, and never follows a symbolic link.
"""

# ruff: noqa: PTH101, PTH114, PTH118
# Tree walks: plain strings and os calls cost a fraction of Path for each of 10,000 files.

from __future__ import annotations

import contextlib
import os
import stat
import struct
import threading
from pathlib import Path

from ingot.machine.container import syscalls
from ingot.machine.container.ids import FIRST_ID, to_host
from ingot.machine.contract import Captured
from ingot.machine.threads import Stopped

_CAPABILITY = "security.capability"
_REVISION_2, _REVISION_3 = 0x02000000, 0x03000000


def shift_tree(tree: Path, stop: threading.Event) -> Captured:
    """Shifts the whole tree, then syncs it to the disk; counts its regular files."""
    size = files = 0
    linked: set[int] = set()
    for directory, _, names in _walk(str(tree)):
        if stop.is_set():
            raise Stopped
        for path in (directory, *(os.path.join(directory, name) for name in names)):
            status = os.lstat(path)
            if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
                if status.st_ino in linked:
                    continue
                linked.add(status.st_ino)
            _shift(path, status)
            files += not stat.S_ISDIR(status.st_mode)
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    syscalls.sync_file_system(tree)
    return Captured(size_bytes=size, files=files)


def _walk(top: str) -> list[tuple[str, list[str], list[str]]]:
    """os.walk, with links to directories among the files: those are entries to be shifted, not entered."""
    found = []
    for directory, below, names in os.walk(top):
        links = [name for name in below if os.path.islink(os.path.join(directory, name))]
        found.append((directory, below, names + links))
    return found


def _shift(path: str, status: os.stat_result) -> None:
    capability = None
    if stat.S_ISREG(status.st_mode):
        with contextlib.suppress(OSError):
            capability = os.getxattr(path, _CAPABILITY)
    os.chown(path, to_host(status.st_uid), to_host(status.st_gid), follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(path, stat.S_IMODE(status.st_mode))
    if capability is not None:
        os.setxattr(path, _CAPABILITY, root_capability(capability, FIRST_ID))


def root_capability(value: bytes, root: int) -> bytes:
    """A file capability's value made to hold where `root` is the root: 0 for a plain one, else the form
    that names the user namespace's root."""
    (head,) = struct.unpack_from("<I", value)
    flags, body = head & 0x00FFFFFF, value[4:20]
    if root == 0:
        return struct.pack("<I", _REVISION_2 | flags) + body
    return struct.pack("<I", _REVISION_3 | flags) + body + struct.pack("<I", root)
