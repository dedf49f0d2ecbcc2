"""A finished log as one compressed file: the same bytes in a fraction of the space, read from any frame on.

    events.zst = zstd frame, zstd frame, …, index (a skippable zstd frame)

Each zstd frame holds whole blocks, about 256 KiB of them, with a checksum; `zstd -dc events.zst` gives the log's bytes.
The index at the end is the log's own and tells where each zstd frame begins. Blocking, but for `CompactedLog.read`.
"""

from __future__ import annotations

import os
import struct
import weakref
import zlib
from bisect import bisect_right
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import zstandard

from ingot.errors import CorruptStoreError
from ingot.events.file_range import read_range
from ingot.events.log_index import LogIndex

COMPACTED_FILE, UNFINISHED_FILE = "events.zst", "events.zst.new"
_PIECE = 256 * 1024
_LEVEL = 9
_CACHE_BYTES = 32 * 1024 * 1024
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A5E
_FOOT = struct.Struct("<II8s")
_MAGIC = b"INGOTZX1"
_COUNT = struct.Struct("<I")
_PLACE = struct.Struct("<QQ")


@dataclass(frozen=True, slots=True)
class Pieces:
    """Where the zstd frames are: frame `n` begins at byte `places[n]` of the file and holds the log's bytes from
    `offsets[n]` on. `end` is the byte of the file behind the last."""

    offsets: list[int]
    places: list[int]
    end: int

    def number_of(self, offset: int) -> int:
        """The zstd frame with a byte of the log."""
        return bisect_right(self.offsets, offset) - 1

    def place_of(self, number: int) -> tuple[int, int]:
        """(begin, end) of a zstd frame in the file."""
        begin, end = [*self.places[number : number + 2], self.end][:2]
        return begin, end


class DecodedPieces:
    """What was decoded last, shared by all readers of all logs; at most 32 MiB."""

    def __init__(self) -> None:
        self._pieces: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[str, int]) -> bytes | None:
        piece = self._pieces.get(key)
        if piece is not None:
            self._pieces.move_to_end(key)
        return piece

    def put(self, key: tuple[str, int], piece: bytes) -> None:
        if key not in self._pieces:
            self._pieces[key] = piece
            self._size += len(piece)
        while self._size > _CACHE_BYTES:
            self._size -= len(self._pieces.popitem(last=False)[1])


class CompactedLog:
    """One compacted log, open for reading."""

    def __init__(self, directory: Path, pieces: Pieces, decoded: DecodedPieces) -> None:
        self._path = directory / COMPACTED_FILE
        self._pieces = pieces
        self._decoded = decoded
        self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)

    async def read(self, begin: int, end: int) -> bytes:
        """Bytes [begin, end) of the log. CorruptStoreError when the file does not hold them."""
        found = []
        while begin < end:
            number = self._pieces.number_of(begin)
            piece = await self._piece(number)
            first = self._pieces.offsets[number]
            part = piece[begin - first : end - first]
            if not part:
                raise CorruptStoreError(f"{self._path} is shorter than its index says", hint="restore it from a backup")
            found.append(part)
            begin += len(part)
        return b"".join(found)

    async def _piece(self, number: int) -> bytes:
        key = (str(self._path), number)
        piece = self._decoded.get(key)
        if piece is None:
            compressed = await read_range(self._fd, *self._pieces.place_of(number), self._path)
            piece = _decode(compressed, self._path)
            self._decoded.put(key, piece)
        return piece


def compact(directory: Path, frames: Path, index: LogIndex) -> None:
    """Writes the compacted file beside the frames, checks that it gives the same bytes, and makes it durable under its
    name; the frames stay. A file that a crash left half written is written anew."""
    fresh = directory / UNFINISHED_FILE
    try:
        _write(fresh, frames, index)
        _verify(fresh, frames, index)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    modified = frames.stat().st_mtime
    os.utime(fresh, (modified, modified))
    fresh.replace(directory / COMPACTED_FILE)


def load_index(directory: Path) -> tuple[LogIndex, Pieces] | None:
    """What the compacted file's end says, None when there is no such file."""
    path = directory / COMPACTED_FILE
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    with file:
        whole = os.fstat(file.fileno()).st_size
        file.seek(max(0, whole - _FOOT.size))
        foot = file.read()
        size, checksum, magic = _FOOT.unpack(foot) if len(foot) == _FOOT.size else (0, 0, b"")
        end = whole - size - _SKIPPABLE.size
        if magic != _MAGIC or size < _FOOT.size or end < 0:
            raise CorruptStoreError(f"{path} has no index", hint="restore it from a backup")
        file.seek(end)
        content = file.read()[_SKIPPABLE.size : -_FOOT.size]
    if zlib.crc32(content) != checksum:
        raise CorruptStoreError(f"the index of {path} is damaged", hint="restore it from a backup")
    index, rest = LogIndex.unpack(content)
    (count,) = _COUNT.unpack_from(rest)
    entries = [_PLACE.unpack_from(rest, _COUNT.size + n * _PLACE.size) for n in range(count)]
    return index, Pieces([offset for offset, _ in entries], [place for _, place in entries], end)


def read_now(directory: Path, pieces: Pieces, begin: int, end: int) -> bytes:
    """Bytes [begin, end) of the log, which are in one piece."""
    path = directory / COMPACTED_FILE
    number = pieces.number_of(begin)
    place, place_end = pieces.place_of(number)
    with path.open("rb") as file:
        file.seek(place)
        piece = _decode(file.read(place_end - place), path)
    first = pieces.offsets[number]
    return _exactly(piece[begin - first : end - first], end - begin, path)


def _ranges(index: LogIndex) -> list[tuple[int, int]]:
    """Blocks put together to pieces: (begin, end) of each."""
    begins = [0] if index.end else []
    for offset in index.offsets:
        if index.block_end(offset) - begins[-1] > _PIECE:
            begins.append(offset)
    return [*zip(begins, [*begins[1:], index.end], strict=True)]


def _pack_index(index: LogIndex, pieces: Pieces) -> bytes:
    entries = b"".join(_PLACE.pack(*entry) for entry in zip(pieces.offsets, pieces.places, strict=True))
    content = index.pack() + _COUNT.pack(len(pieces.offsets)) + entries
    size = len(content) + _FOOT.size
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, size) + content + _FOOT.pack(size, zlib.crc32(content), _MAGIC)


def _write(fresh: Path, frames: Path, index: LogIndex) -> None:
    with frames.open("rb") as source, fresh.open("wb") as target:
        offsets, places = [], []
        compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True)
        for begin, end in _ranges(index):
            offsets.append(begin)
            places.append(target.tell())
            target.write(compressor.compress(_exactly(source.read(end - begin), end - begin, frames)))
        target.write(_pack_index(index, Pieces(offsets, places, target.tell())))
        target.flush()
        os.fsync(target.fileno())


def _verify(compacted: Path, frames: Path, index: LogIndex) -> None:
    """Reads back what was written, as any reader would."""
    reader = zstandard.ZstdDecompressor()
    with compacted.open("rb") as written, frames.open("rb") as source:
        found = 0
        with reader.stream_reader(written, read_across_frames=True) as decoded:
            while part := decoded.read(_PIECE):
                found += len(part)
                if part != source.read(len(part)):
                    raise CorruptStoreError(f"{compacted} does not hold what {frames} does", hint="check the disk")
    if found != index.end:
        raise CorruptStoreError(f"{compacted} holds {found} bytes of {index.end}", hint="check the disk")


def _decode(compressed: bytes, path: Path) -> bytes:
    try:
        return zstandard.ZstdDecompressor().decompress(compressed)
    except zstandard.ZstdError as error:
        raise CorruptStoreError(f"{path} cannot be decoded: {error}", hint="restore it from a backup") from error


def _exactly(content: bytes, size: int, path: Path) -> bytes:
    if len(content) != size:
        raise CorruptStoreError(f"{path} is shorter than it was", hint="restore it from a backup")
    return content
