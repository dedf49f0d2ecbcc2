"""Copies what a step wrote, the upper directory of a machine's overlay, into a layer directory, durably.

The machine's processes are gone, or stand still, while this runs. Sockets are left out: nothing can listen on them.
"""

# ruff: noqa: PTH102, PTH115, PTH211
# Tree walks: plain strings and os calls cost a fraction of Path for each of 10,000 files.

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from ingot.errors import HostError, MachineError
from ingot.machine.container import syscalls
from ingot.machine.container.tree import copy_content, is_whiteout, kept_attributes, own, set_attributes, stamp
from ingot.machine.contract import Captured
from ingot.machine.threads import Stopped

_SYNCED_ONE_BY_ONE = 32


def capture_tree(
    upper: Path, into: Path, stop: threading.Event, without: Callable[[str], bool] | None = None
) -> Captured:
    """Copies the tree `upper` to the new directory `into`, but for files of which `without` (given their paths in the
    tree) says so. Raises HostError when the host's disk is full,
    MachineError for a tree that cannot be stored (paths longer than the kernel's limit), Stopped."""
    copy = _Copy(stop, without)
    try:
        copy.tree(str(upper), str(into))
        make_durable(copy.written, [place for place, _ in copy.directories], into)
    except OSError as error:
        if error.filename is not None and os.fsdecode(error.filename).startswith(str(upper)):
            raise MachineError(f"what the step wrote cannot be captured: {error}") from error
        raise HostError(f"a layer cannot be written: {error}", hint="free space below the data directory") from error
    return Captured(size_bytes=copy.size, files=copy.files)


class _Copy:
    """The copy of one tree, what it has counted and what it has written."""

    def __init__(self, stop: threading.Event, without: Callable[[str], bool] | None) -> None:
        self.size = self.files = 0
        self._stop = stop
        self._without = without
        self._linked: dict[int, str] = {}
        self.written: list[str] = []
        self.directories: list[tuple[str, os.stat_result]] = []

    def tree(self, source: str, target: str) -> None:
        waiting = [(source, target, os.lstat(source))]
        while waiting:
            below, beside, status = waiting.pop()
            os.mkdir(beside, 0o700)
            own(beside, status)
            set_attributes(beside, kept_attributes(below))
            self.directories.append((beside, status))
            with os.scandir(below) as entries:
                for entry in entries:
                    if self._stop.is_set():
                        raise Stopped
                    found = entry.stat(follow_symlinks=False)
                    place = f"{beside}/{entry.name}"
                    if stat.S_ISDIR(found.st_mode):
                        waiting.append((entry.path, place, found))
                    elif self._without is None or not self._without(entry.path[len(source) + 1 :]):
                        self._entry(entry.path, place, found)
        for place, status in reversed(self.directories):
            stamp(place, status)

    def _entry(self, source: str, target: str, status: os.stat_result) -> None:
        if status.st_nlink > 1 and not is_whiteout(status):
            if (first := self._linked.get(status.st_ino)) is not None:
                os.link(first, target, follow_symlinks=False)
                self.files += 1
                return
            self._linked[status.st_ino] = target
        if not copy_entry(source, target, status):
            return
        self.files += 1
        if stat.S_ISREG(status.st_mode):
            self.size += status.st_size
            self.written.append(target)


def copy_entry(source: str, target: str, status: os.stat_result) -> bool:
    """Makes `target` what `source`, which is no directory, is; False for what no layer holds."""
    mode = status.st_mode
    if stat.S_ISREG(mode):
        copy_content(source, target, status)
    elif stat.S_ISLNK(mode):
        os.symlink(os.readlink(source), target)
    elif is_whiteout(status):
        os.mknod(target, stat.S_IFCHR | 0o600, 0)
    elif stat.S_ISFIFO(mode):
        os.mkfifo(target, 0o600)
    else:
        return False
    own(target, status)
    if stat.S_ISREG(mode):
        set_attributes(target, kept_attributes(source))
    stamp(target, status)
    return True


def make_durable(files: Sequence[str], directories: Sequence[str], tree: Path) -> None:
    """Syncs what was written below `tree`: a few files one by one; for many the whole file system at once is
    quicker."""
    if len(files) + len(directories) > _SYNCED_ONE_BY_ONE:
        syscalls.sync_file_system(tree)
        return
    for path in (*files, *reversed(directories)):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
