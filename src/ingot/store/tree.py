"""Reading, measuring and removing directory trees that a guest wrote, without ever following a link of theirs.

Every component of a path is opened by itself, relative to the directory above it and never through a symbolic
link, so that nothing outside of the tree can be reached. All functions block: call them in a thread.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingot import process
from ingot.machine.own_root import as_own_root, is_root
from ingot.storage.durable import sync_directory

MAX_DEPTH = 200
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in a tree. `path` is relative to the tree's root, without a leading slash."""

    path: str
    mode: int
    size: int
    device: int

    @property
    def is_file(self) -> bool:
        return stat.S_ISREG(self.mode)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)

    @property
    def is_whiteout(self) -> bool:
        """How an overlay says that something of a lower layer is gone."""
        return stat.S_ISCHR(self.mode) and self.device == 0


@contextlib.contextmanager
def open_directory(root: Path, path: str) -> Iterator[int]:
    """A descriptor of the directory `path` below `root`. OSError when it is not there, or no directory, or
    behind a link."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in path.split("/"):
            if part in ("", "."):
                continue
            if part == "..":
                raise NotADirectoryError(path)
            below = os.open(part, _DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def open_file(root: Path, path: str) -> Iterator[int]:
    """A descriptor of the regular file `path` below `root`; OSError for anything else."""
    parent, _, name = path.rpartition("/")
    with open_directory(root, parent) as directory:
        descriptor = os.open(name, _FILE, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path} is no regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def read_file(root: Path, path: str, limit: int) -> bytes | None:
    """The content of a regular file below `root`, or None when there is none or it is above `limit` bytes."""
    try:
        with open_file(root, path) as descriptor:
            if os.fstat(descriptor).st_size > limit:
                return None
            with os.fdopen(os.dup(descriptor), "rb") as file:
                return file.read(limit)
    except OSError:
        return None


def list_directory(root: Path, path: str) -> list[Entry]:
    """What is in the directory `path` below `root`, sorted; empty when it is not there."""
    try:
        with open_directory(root, path) as descriptor:
            return _entries(descriptor, path)
    except OSError:
        return []


def walk(root: Path, top: str = "") -> Iterator[Entry]:
    """Everything below `top`, directories before what is in them. OSError for a tree deeper than MAX_DEPTH."""
    waiting = [top]
    while waiting:
        path = waiting.pop()
        if path.count("/") > MAX_DEPTH:
            raise OSError(f"{path[:200]}… is nested more than {MAX_DEPTH} directories deep")
        with open_directory(root, path) as descriptor:
            found = _entries(descriptor, path)
        for entry in found:
            yield entry
            if entry.is_directory:
                waiting.append(entry.path)


def _entries(descriptor: int, path: str) -> list[Entry]:
    prefix = f"{path}/" if path else ""
    found = []
    for name in sorted(os.listdir(descriptor)):
        status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        found.append(Entry(prefix + name, status.st_mode, status.st_size, status.st_rdev))
    return found


def write_durably(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: beside its place, synced, then renamed."""
    beside = path.with_name(path.name + ".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    sync_directory(path.parent)


async def remove_tree(path: Path) -> None:
    """Removes a tree however deep; `rm` neither follows links nor runs out of stack. Absent is fine, and an empty
    directory, the usual case, takes no process."""
    with contextlib.suppress(OSError):
        path.rmdir()
        return
    for first in ((), as_own_root()):  # what was made as root of its own can only be removed so
        if path.is_symlink() or path.exists():
            argv = (*first, "rm", "-rf", "--one-file-system", "--", str(path))
            await process.run(argv, timeout=600, check=bool(first) or is_root())
