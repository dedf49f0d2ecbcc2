"""A file system of its own for a test, whose size can be changed at any time: full when the test says so."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_REMOUNT = 32
_MB = 8000
_DEADLINE = 60.0


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[SmallDisk]:
    """Mounted at the empty directory `place`; in memory, and only what is written takes some. Needs root."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_MB}M,mode=711", "ingot-test", str(place)], check=True)
    try:
        yield SmallDisk(place)
    finally:
        _unmount(place)


def _unmount(place: Path) -> None:
    """What has just ended may hold it for a moment more."""
    deadline = time.monotonic() + _DEADLINE
    while (done := subprocess.run(["umount", str(place)], check=False, capture_output=True)).returncode != 0:
        assert time.monotonic() < deadline, done.stderr.decode(errors="replace")
        time.sleep(0.1)


class SmallDisk:
    """`place` is where it is mounted."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._over = threading.Event()
        self._taking: threading.Thread | None = None

    def leave(self, megabytes: int) -> None:
        """Has no more room than that from now on."""
        deadline = time.monotonic() + _DEADLINE
        while self._shrink(megabytes) > megabytes + 0.1:
            assert time.monotonic() < deadline, "what is there grows without end"

    def _shrink(self, megabytes: int) -> float:
        """How many are left: more, where what is there grew meanwhile."""
        found = os.statvfs(self.place)
        self._resize((found.f_blocks - found.f_bfree) * found.f_frsize // 1024 + megabytes * 1024)
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize / 2**20

    def take_all(self) -> None:
        """Has no room from now on, whatever is removed, until `release`."""

        def take() -> None:
            while not self._over.wait(0.001):
                self._shrink(0)

        self._over.clear()
        self._taking = threading.Thread(target=take, daemon=True)
        self._taking.start()
        deadline = time.monotonic() + _DEADLINE
        while os.statvfs(self.place).f_bfree:
            if time.monotonic() > deadline:
                self.release()
                raise AssertionError("the disk did not get full")
            time.sleep(0.01)

    def release(self) -> None:
        self._over.set()
        if self._taking is not None:
            self._taking.join()
        self._resize(_MB * 1024)

    def _resize(self, kilobytes: int) -> None:
        """In vain when what is there grows meanwhile; by itself, since a program's start takes long enough for that."""
        _LIBC.mount(None, os.fsencode(self.place), None, _REMOUNT, f"size={kilobytes}k".encode())
