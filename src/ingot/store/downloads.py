"""Package managers' download caches, kept per account between builds: `<directory>/<account>/<name>/`.

A machine sees what is kept and writes elsewhere (`DownloadMount`); what it added is copied over afterwards, regular
files only, bounded in number and size, never through a link. Everything here was written by a guest: an account can
poison its own cache and no other's (apt checks what it finds against signed lists anyway).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot.machine.contract import DownloadMount
from ingot.store.tree import Entry, list_directory, open_directory, open_file, walk

LISTS = "apt-lists"
TARGETS = {
    "apt-archives": "/var/cache/apt/archives",
    LISTS: "/var/lib/apt/lists",
    "pip": "/root/.cache/pip",
    "npm": "/root/.npm/_cacache",
}

# apt's lists change a few times a day. Asking for them costs more than a small installation, and a list that is too
# old shows itself: the installation fails with 404, whereupon the step updates the lists and tries once more.
LISTS_FRESH_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be kept of one package manager for one account."""

    files: int = 50_000
    file_bytes: int = 512 * 2**20
    total_bytes: int = 4 * 2**30


class Downloads:
    def __init__(self, directory: Path, bounds: Bounds | None = None) -> None:
        self._directory = directory
        self._bounds = bounds or Bounds()

    def mounts(self, account: str) -> tuple[DownloadMount, ...]:
        """The account's caches as a machine takes them; their directories are there afterwards."""
        home = self._home(account)
        for name in TARGETS:
            (home / name).mkdir(parents=True, exist_ok=True)
        return tuple(DownloadMount(name, target, home / name) for name, target in TARGETS.items())

    def lists_fresh(self, account: str) -> bool:
        """Whether apt's lists were fetched lately enough to install from."""
        with contextlib.suppress(FileNotFoundError):
            age = time.time() - self._stamp(account).stat().st_mtime
            return age < LISTS_FRESH_SECONDS
        return False

    def lists_updated(self, account: str) -> None:
        """apt's lists were fetched now. Say so after `keep`."""
        self._home(account).mkdir(parents=True, exist_ok=True)
        self._stamp(account).touch()

    async def keep(self, account: str, added: Sequence[DownloadMount]) -> int:
        """Copies what a machine added (`Machine.downloaded`); returns how many files. What cannot be kept is
        left out: a download cache is never worth a failed build."""
        return await asyncio.to_thread(self._keep_all, self._home(account), added)

    def _home(self, account: str) -> Path:
        if not account or account.startswith(".") or "/" in account or "\0" in account:
            raise ValueError(f"{account!r} cannot name a directory")
        return self._directory / account

    def _stamp(self, account: str) -> Path:
        return self._home(account) / f"{LISTS}.updated"

    def _keep_all(self, home: Path, added: Sequence[DownloadMount]) -> int:
        count = 0
        for mount in added:
            kept = home / mount.name
            if mount.name not in TARGETS or not mount.kept.is_dir() or mount.kept == kept:
                continue
            kept.mkdir(parents=True, exist_ok=True)
            new = self._keep_one(mount, kept)
            if new:
                _evict(kept, self._bounds)
            count += new
        return count

    def _keep_one(self, mount: DownloadMount, kept: Path) -> int:
        count = total = 0
        with contextlib.suppress(OSError):
            for entry in _wanted(mount):
                if count >= self._bounds.files or total >= self._bounds.total_bytes:
                    break
                if entry.size > self._bounds.file_bytes:
                    continue
                with contextlib.suppress(OSError):
                    _copy(mount.kept, kept, entry.path)
                    count += 1
                    total += entry.size
        return count


def _wanted(mount: DownloadMount) -> Iterator[Entry]:
    """The files worth keeping: apt's are flat, those of pip and npm lie in directories."""
    if mount.name.startswith("apt"):
        suffixes = (".deb", ".bin") if mount.name == "apt-archives" else ("",)
        for entry in list_directory(mount.kept, ""):
            if entry.is_file and entry.path.endswith(suffixes) and entry.path != "lock":
                yield entry
        return
    for entry in walk(mount.kept):
        if entry.is_file and not entry.path.startswith("tmp/"):
            yield entry


def _copy(source: Path, target: Path, path: str) -> None:
    """Copies one regular file with its time; it becomes this process's own, which machines see as root's."""
    parent, _, name = path.rpartition("/")
    _make_directories(target, parent)
    with open_file(source, path) as read, open_directory(target, parent) as directory:
        status = os.fstat(read)
        beside = f".{uuid.uuid4().hex}.new"
        write = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=directory)
        try:
            left = status.st_size
            while left > 0 and (sent := os.sendfile(write, read, None, min(left, 2**26))):
                left -= sent
            os.fchmod(write, stat.S_IMODE(status.st_mode) & 0o755)
            os.utime(write, ns=(status.st_mtime_ns, status.st_mtime_ns))
            os.rename(beside, name, src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            os.unlink(beside, dir_fd=directory)
            raise
        finally:
            os.close(write)


def _make_directories(target: Path, path: str) -> None:
    made = ""
    for part in path.split("/") if path else ():
        above, made = made, f"{made}/{part}" if made else part
        with open_directory(target, above) as directory, contextlib.suppress(FileExistsError):
            os.mkdir(part, 0o755, dir_fd=directory)


def _evict(kept: Path, bounds: Bounds) -> None:
    """Removes the files that were written longest ago until the rest fits."""
    files = []
    for entry in walk(kept):
        if entry.is_file:
            files.append((os.lstat(kept / entry.path).st_mtime, entry.size, entry.path))
    count, total = len(files), sum(size for _, size, _ in files)
    for _, size, path in sorted(files):
        if count <= bounds.files and total <= bounds.total_bytes:
            return
        (kept / path).unlink(missing_ok=True)
        count, total = count - 1, total - size
