"""Immutable objects in a directory: written once under a key, complete or absent.

An object is never changed: a second put of a key keeps the first. What a crash left half-written is invisible, and
`sweep` removes it. It knows nothing of what the objects are.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
from pathlib import Path

from ingot.errors import NotFoundError
from ingot.storage.durable import make_directories, sync_directory, sync_file

_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*(/[A-Za-z0-9_][A-Za-z0-9_.+-]*)*")
_PREFIX = re.compile(r"[A-Za-z0-9_.+/-]*")
_MAX_KEY_LENGTH = 512
_INCOMING = ".incoming"
_FICLONE = 0x40049409
_CHUNK = 1 << 24


class DirectoryObjects:
    """Keys are relative paths such as `layers/3f…a1.tar.zst`: letters, digits, `_.+-`, no part beginning with a dot;
    anything else is a ValueError. Safe to call from any task; work runs in threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, key: str) -> Path:
        """Where the object is, or would be. It is read-only by agreement."""
        if len(key) > _MAX_KEY_LENGTH or _KEY.fullmatch(key) is None:
            raise ValueError(f"{key!r} is not an object's key")
        return self._directory / key

    async def put_file(self, key: str, source: Path) -> bool:
        """Takes `source` over as the object, durably: moved when it is on the same file system, else cloned or
        copied with its holes. Afterwards `source` is gone. False when the object was there already."""
        return await asyncio.to_thread(self._put_file, self.path(key), source)

    async def put_bytes(self, key: str, content: bytes) -> bool:
        """Writes a small object durably. False when it was there already."""
        return await asyncio.to_thread(self._put_bytes, self.path(key), content)

    async def get_bytes(self, key: str) -> bytes:
        """Raises NotFoundError."""
        path = self.path(key)
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise _missing(key) from error

    async def size(self, key: str) -> int:
        """Bytes. Raises NotFoundError."""
        try:
            return self.path(key).stat().st_size
        except FileNotFoundError as error:
            raise _missing(key) from error

    async def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    async def delete(self, key: str) -> bool:
        """Removes it durably. False when it was not there."""
        return await asyncio.to_thread(self._delete, self.path(key))

    async def list(self, prefix: str = "") -> tuple[str, ...]:
        """The keys that begin with `prefix`, sorted."""
        if _PREFIX.fullmatch(prefix) is None or ".." in prefix or prefix.startswith("/"):
            raise ValueError(f"{prefix!r} is not the beginning of an object's key")
        return await asyncio.to_thread(self._list, prefix)

    async def sweep(self) -> int:
        """Removes what puts of a killed server left half-made; to be called while no put runs. Returns how many."""
        return await asyncio.to_thread(self._sweep)

    def _put_file(self, target: Path, source: Path) -> bool:
        if target.exists():
            source.unlink()
            return False
        sync_file(source)
        try:
            created = self._link(source, target)
        except OSError as error:
            if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                raise
            created = self._copy_in(source, target)
        source.unlink()
        return created

    def _copy_in(self, source: Path, target: Path) -> bool:
        half = self._incoming()
        try:
            copy_sparse(source, half)
            sync_file(half)
            return self._link(half, target)
        finally:
            half.unlink(missing_ok=True)

    def _put_bytes(self, target: Path, content: bytes) -> bool:
        if target.exists():
            return False
        half = self._incoming()
        try:
            half.write_bytes(content)
            sync_file(half)
            return self._link(half, target)
        finally:
            half.unlink(missing_ok=True)

    def _link(self, complete: Path, target: Path) -> bool:
        """Gives a complete, synced file its name, unless the name is taken: link never replaces."""
        while True:
            make_directories(target.parent, self._directory)
            try:
                os.link(complete, target)
            except FileExistsError:
                return False
            except FileNotFoundError:
                if not complete.exists():
                    raise
                continue  # a delete took the empty directory away in between
            sync_directory(target.parent)
            return True

    def _delete(self, target: Path) -> bool:
        try:
            target.unlink()
        except FileNotFoundError:
            return False
        sync_directory(target.parent)
        return True

    def _list(self, prefix: str) -> tuple[str, ...]:
        top = self._directory / prefix.rpartition("/")[0]
        keys = (path.relative_to(self._directory).as_posix() for path in top.rglob("*") if path.is_file())
        return tuple(sorted(key for key in keys if key.startswith(prefix) and _KEY.fullmatch(key)))

    def _sweep(self) -> int:
        incoming = self._directory / _INCOMING
        left = len(list(incoming.iterdir())) if incoming.is_dir() else 0
        shutil.rmtree(incoming, ignore_errors=True)
        return left

    def _incoming(self) -> Path:
        """A new name for a half-made object, on the objects' own file system."""
        incoming = self._directory / _INCOMING
        incoming.mkdir(parents=True, exist_ok=True)
        return incoming / secrets.token_hex(8)


def copy_sparse(source: Path, target: Path) -> None:
    """Clones `source` into the new file `target` where the file system can, else copies its data and keeps its
    holes. Blocking."""
    with source.open("rb") as reader, target.open("xb") as writer:
        with contextlib.suppress(OSError):
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
            return
        size = os.fstat(reader.fileno()).st_size
        os.ftruncate(writer.fileno(), size)
        _copy_data(reader.fileno(), writer.fileno(), size)


def _copy_data(source: int, target: int, size: int) -> None:
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole up to the end
                return
            raise
        end = os.lseek(source, start, os.SEEK_HOLE)
        _copy_range(source, target, start, end)


def _copy_range(source: int, target: int, start: int, end: int) -> None:
    while start < end:
        chunk = os.pread(source, min(_CHUNK, end - start), start)
        if not chunk:
            return
        written = 0
        while written < len(chunk):
            written += os.pwrite(target, chunk[written:], start + written)
        start += len(chunk)


def _missing(key: str) -> NotFoundError:
    return NotFoundError(f"there is no object {key} in the store", code="object_not_found")
