"""A layer as one zstd-compressed tar, and back. Ids inside the archive are the machine's own (root is 0).

Standard tar with pax headers: whiteouts are character devices 0:0, extended attributes `SCHILY.xattr.*`.
Unpacking trusts nothing: every entry must lie in a directory that the archive itself made, so no path can
leave the layer; sizes and counts are bounded.
"""

# ruff: noqa: PTH101, PTH102, PTH115, PTH118, PTH123, PTH208, PTH211
# Tree walks: plain strings and os calls cost a fraction of Path for each of 10,000 files.

from __future__ import annotations

import os
import stat
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import zstandard

from ingot.errors import CorruptStoreError, HostError
from ingot.machine.container import syscalls
from ingot.machine.container.ids import FIRST_ID, to_guest, to_host
from ingot.machine.container.shift import root_capability
from ingot.machine.container.tree import is_whiteout, kept_attributes, set_attributes
from ingot.machine.contract import Captured
from ingot.machine.threads import Stopped

_LEVEL = 1
_THREADS_ABOVE = 8 * 1024 * 1024
_CHUNK = 1024 * 1024
_ZEROS = bytes(32 * 1024)
_XATTR = "SCHILY.xattr."
_CAPABILITY = "security.capability"
_LARGEST_TREE = 64 * 1024**3
_MOST_ENTRIES = 4_000_000
_LONGEST_HEADER = 1024 * 1024


def pack(tree: Path, archive: Path, stop: threading.Event) -> None:
    """Writes `tree` as the new file `archive`, synced. The same tree gives the same bytes."""
    partial = archive.with_name(archive.name + ".partial")
    try:
        with partial.open("xb") as target:
            compressor = zstandard.ZstdCompressor(level=_LEVEL, threads=_threads(tree), write_checksum=True)
            with compressor.stream_writer(target, closefd=False) as stream:
                _Packer(str(tree), stream, stop).run()
            target.flush()
            os.fsync(target.fileno())
        partial.rename(archive)
    except OSError as error:
        raise HostError(
            f"{archive.name} cannot be written: {error}", hint="free space in the data directory"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def _threads(tree: Path) -> int:
    """Threads cost milliseconds to start: only for what is large."""
    size = 0
    for directory, _, names in os.walk(tree):
        for name in names:
            size += os.lstat(os.path.join(directory, name)).st_size
            if size > _THREADS_ABOVE:
                return -1
    return 0


class _Packer:
    def __init__(self, tree: str, stream: IO[bytes] | zstandard.ZstdCompressionWriter, stop: threading.Event) -> None:
        self._tree, self._stream, self._stop = tree, stream, stop
        self._linked: dict[int, str] = {}

    def run(self) -> None:
        for path, name in _walk(self._tree):
            if self._stop.is_set():
                raise Stopped
            self._entry(path, name)
        self._stream.write(bytes(2 * tarfile.BLOCKSIZE))

    def _entry(self, path: str, name: str) -> None:
        status = os.lstat(path)
        entry = _header(path, name, status)
        if entry is None:
            return
        if status.st_nlink > 1 and not entry.isdir() and not is_whiteout(status):
            first = self._linked.setdefault(status.st_ino, name)
            if first != name:
                entry.type, entry.linkname, entry.size, entry.pax_headers = tarfile.LNKTYPE, first, 0, {}
        self._stream.write(entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))
        if entry.isreg() and entry.size:
            self._content(path, entry.size)

    def _content(self, path: str, size: int) -> None:
        left = size
        with open(path, "rb", buffering=0) as source:
            while left and (chunk := source.read(min(left, _CHUNK))):
                self._stream.write(chunk)
                left -= len(chunk)
        if left:
            raise OSError(f"{path} became shorter while it was packed")
        self._stream.write(bytes(-size % tarfile.BLOCKSIZE))


def _walk(tree: str) -> Iterator[tuple[str, str]]:
    """(path, name inside) of the tree's root and everything below it, parents first, sorted."""
    yield tree, "."
    waiting = [(tree, "")]
    while waiting:
        directory, inside = waiting.pop()
        below = []
        for name in sorted(os.listdir(directory)):
            path = f"{directory}/{name}"
            yield path, inside + name
            if stat.S_ISDIR(os.lstat(path).st_mode):
                below.append((path, f"{inside}{name}/"))
        waiting += reversed(below)


def _header(path: str, name: str, status: os.stat_result) -> tarfile.TarInfo | None:
    mode = status.st_mode
    entry = tarfile.TarInfo(name)
    entry.mode, entry.mtime = stat.S_IMODE(mode), status.st_mtime_ns // 1_000_000_000
    entry.uid, entry.gid = (0, 0) if is_whiteout(status) else (to_guest(status.st_uid), to_guest(status.st_gid))
    if stat.S_ISREG(mode):
        entry.type, entry.size = tarfile.REGTYPE, status.st_size
    elif stat.S_ISDIR(mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif is_whiteout(status):
        entry.type, entry.mode, entry.mtime = tarfile.CHRTYPE, 0, 0
    elif stat.S_ISFIFO(mode):
        entry.type = tarfile.FIFOTYPE
    else:
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        entry.pax_headers = {
            _XATTR + key: _portable(key, value) for key, value in sorted(kept_attributes(path).items())
        }
    return entry


def _portable(name: str, value: bytes) -> str:
    plain = root_capability(value, 0) if name == _CAPABILITY else value
    return plain.decode("utf-8", "surrogateescape")


def unpack(archive: Path, into: Path, stop: threading.Event) -> Captured:
    """Makes the new directory `into` from `archive`. Raises CorruptStoreError for anything but a layer that
    `pack` could have written."""
    unpacker = _Unpacker(into, stop)
    try:
        with archive.open("rb") as source, zstandard.ZstdDecompressor().stream_reader(source) as stream:
            with tarfile.open(fileobj=stream, mode="r|", errorlevel=2, encoding="utf-8") as entries:
                for entry in entries:
                    unpacker.entry(entry, entries)
            if stream.read(1):
                raise CorruptStoreError(f"{archive.name} goes on behind its end")
    except (tarfile.TarError, zstandard.ZstdError, EOFError, ValueError, UnicodeError) as error:
        raise CorruptStoreError(f"{archive.name} is not a layer: {error}") from error
    except OSError as error:
        raise HostError(
            f"{archive.name} cannot be unpacked: {error}", hint="free space in the data directory"
        ) from error
    return unpacker.finish()


class _Unpacker:
    """Makes entries in the order they come; remembers what it made."""

    def __init__(self, into: Path, stop: threading.Event) -> None:
        self._into, self._stop = into, stop
        self._directories: dict[str, tuple[str, int]] = {}
        self._made: set[str] = set()
        self._regular: set[str] = set()
        self.size = self.files = 0

    def entry(self, entry: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        if self._stop.is_set():
            raise Stopped
        place = self._place(entry)
        make = {
            tarfile.REGTYPE: self._regular_file,
            tarfile.DIRTYPE: self._directory,
            tarfile.LNKTYPE: self._link,
            tarfile.SYMTYPE: self._symlink,
            tarfile.CHRTYPE: self._whiteout,
            tarfile.FIFOTYPE: self._fifo,
        }.get(entry.type)
        if make is None:
            raise CorruptStoreError(f"{entry.name!r} is of a kind that no layer holds")
        make(entry, place, archive)
        self._made.add(entry.name)
        if not entry.isdir():
            self.files += 1

    def finish(self) -> Captured:
        if "." not in self._made:
            raise CorruptStoreError("a layer's archive must begin with its root")
        for place, mtime in reversed(list(self._directories.values())):
            os.utime(place, (mtime, mtime))
        syscalls.sync_file_system(self._into)
        return Captured(size_bytes=self.size, files=self.files)

    def _place(self, entry: tarfile.TarInfo) -> str:
        """Where the entry goes. Its directory must be one that this archive made: so it is no link."""
        name = entry.name
        above, _, last = name.rpartition("/")
        if name in self._made or len(self._made) >= _MOST_ENTRIES:
            raise CorruptStoreError(f"{name!r} comes twice, or the archive has too many entries")
        if name == ".":
            return str(self._into)
        if last in ("", ".", "..") or (above or ".") not in self._directories:
            raise CorruptStoreError(f"{name!r} leads out of the layer, or its directory is missing")
        return f"{self._into}/{name}"

    def _regular_file(self, entry: tarfile.TarInfo, place: str, archive: tarfile.TarFile) -> None:
        self.size += entry.size
        if self.size > _LARGEST_TREE:
            raise CorruptStoreError(f"the layer is larger than {_LARGEST_TREE >> 30} GiB")
        source = archive.extractfile(entry)
        assert source is not None
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb", buffering=0) as target:
            left = entry.size
            while left and (chunk := source.read(min(left, _CHUNK))):
                _write(target.fileno(), chunk)
                left -= len(chunk)
            if left:
                raise CorruptStoreError(f"{entry.name!r} is cut off")
            os.ftruncate(target.fileno(), entry.size)
        self._regular.add(entry.name)
        self._own(entry, place)
        os.utime(place, (entry.mtime, entry.mtime))

    def _directory(self, entry: tarfile.TarInfo, place: str, _archive: tarfile.TarFile) -> None:
        os.mkdir(place, 0o700)
        self._directories[entry.name] = place, int(entry.mtime)
        self._own(entry, place)

    def _link(self, entry: tarfile.TarInfo, place: str, _archive: tarfile.TarFile) -> None:
        if entry.linkname not in self._regular:
            raise CorruptStoreError(f"{entry.name!r} links to {entry.linkname!r}, which the layer does not hold")
        os.link(f"{self._into}/{entry.linkname}", place, follow_symlinks=False)

    def _symlink(self, entry: tarfile.TarInfo, place: str, _archive: tarfile.TarFile) -> None:
        os.symlink(entry.linkname, place)
        os.chown(place, to_host(entry.uid), to_host(entry.gid), follow_symlinks=False)
        os.utime(place, (entry.mtime, entry.mtime), follow_symlinks=False)

    def _whiteout(self, entry: tarfile.TarInfo, place: str, _archive: tarfile.TarFile) -> None:
        if (entry.devmajor, entry.devminor) != (0, 0):
            raise CorruptStoreError(f"{entry.name!r} is a device, which no layer holds")
        os.mknod(place, stat.S_IFCHR | 0o600, 0)

    def _fifo(self, entry: tarfile.TarInfo, place: str, _archive: tarfile.TarFile) -> None:
        os.mkfifo(place, 0o600)
        self._own(entry, place)
        os.utime(place, (entry.mtime, entry.mtime))

    def _own(self, entry: tarfile.TarInfo, place: str) -> None:
        os.chown(place, to_host(entry.uid), to_host(entry.gid), follow_symlinks=False)
        os.chmod(place, entry.mode & 0o7777)
        attributes = {}
        for key, value in entry.pax_headers.items():
            if key.startswith(_XATTR):
                raw = value.encode("utf-8", "surrogateescape")
                name = key.removeprefix(_XATTR)
                attributes[name] = root_capability(raw, FIRST_ID) if name == _CAPABILITY else raw
        set_attributes(place, attributes)


def _write(descriptor: int, chunk: bytes) -> None:
    """Writes a chunk; stretches of zeros become holes."""
    if _ZEROS not in chunk:
        os.write(descriptor, chunk)
        return
    for begin in range(0, len(chunk), len(_ZEROS)):
        piece = chunk[begin : begin + len(_ZEROS)]
        if piece == _ZEROS:
            os.lseek(descriptor, len(piece), os.SEEK_CUR)
        else:
            os.write(descriptor, piece)
