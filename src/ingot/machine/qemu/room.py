"""Whether a machine fails because this host's disk is full.

Where its memory file cannot grow QEMU is killed, which would look like any other end; what is written to its disk
fails with an error that only the machine sees.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ingot.errors import HOST_FULL, MAKE_ROOM, MachineDiskError, MachineLostError

_FULL_BYTES = 4 * 2**20
"""A file system refuses a little above 0 free bytes."""


@contextlib.contextmanager
def explained(files: Path) -> Iterator[None]:
    """Has a machine that is lost while the disk with its `files` is full say so."""
    try:
        yield
    except MachineLostError as error:
        if error.code == MachineLostError.code and is_full(files):
            raise host_full(error.message) from error
        raise


def host_full(told: str) -> MachineLostError:
    return MachineLostError(f"{HOST_FULL}: {told}", hint=MAKE_ROOM, code=MachineDiskError.code)


def is_full(place: Path) -> bool:
    """Whether the file system of `place` has no room. Blocking, for as long as it takes to ask."""
    try:
        found = os.statvfs(place)
    except OSError:
        return False
    free = found.f_bfree if os.geteuid() == 0 else found.f_bavail
    return free * found.f_frsize < _FULL_BYTES
