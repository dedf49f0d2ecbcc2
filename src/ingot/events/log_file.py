"""The files of one attempt's log, and what can be read from them. Blocking: callers use a thread.

    <logs>/<build_id>/events.sse     frames exactly as they are sent, appended, never changed
    <logs>/<build_id>/events.idx     sparse index of a finished log; can be made again from the frames
    <logs>/<build_id>/epoch          the newest epoch that opened the log for writing

Nothing here decides who may write. A sealed (compressed) log will be another way to fill a `LogIndex`.
"""

from __future__ import annotations

import os
import re
import struct
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

from ingot.errors import CorruptStoreError
from ingot.events.frames import StoredFrame, parse_frame

FRAMES_FILE, INDEX_FILE, EPOCH_FILE = "events.sse", "events.idx", "epoch"
BATCH = 64 * 1024
"""Readers get whole frames, at most this many bytes at a time."""

_INDEX_HEAD = struct.Struct("<8sQQQ")
_INDEX_MAGIC = b"INGOTIX1"
_ENTRY = struct.Struct("<QQ")
_FRAME = re.compile(rb"id: (\d{1,9})-(\d{1,12})\ndata: \{[^\n]*\}\n\n")
_SCAN = 1024 * 1024


@dataclass(slots=True)
class LogIndex:
    """Where blocks of whole frames begin: block `n` holds the frames from `seqs[n]` on and begins at byte
    `offsets[n]`. `end` is the byte behind the last frame, `next_seq` the number of frames."""

    seqs: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    end: int = 0
    next_seq: int = 0

    def extend(self, size: int, frames: int) -> None:
        """`frames` frames of `size` bytes together (at most one batch) follow."""
        if not self.offsets or self.end + size - self.offsets[-1] > BATCH:
            self.seqs.append(self.next_seq)
            self.offsets.append(self.end)
        self.end += size
        self.next_seq += frames

    def block_end(self, offset: int) -> int:
        """The end of the block that `offset` is in."""
        place = bisect_right(self.offsets, offset)
        return self.offsets[place] if place < len(self.offsets) else self.end

    def seq_near(self, offset: int) -> int:
        """The number of the frame at a byte: exact where blocks begin and at the end, in between by proportion."""
        if offset >= self.end:
            return self.next_seq
        place = bisect_right(self.offsets, offset) - 1
        begin, end = self.offsets[place], self.block_end(self.offsets[place])
        last = self.seqs[place + 1] if place + 1 < len(self.seqs) else self.next_seq
        return self.seqs[place] + (last - self.seqs[place]) * (offset - begin) // (end - begin)

    def block_of(self, seq: int) -> tuple[int, int]:
        """(begin, end) of the block with the frame `seq`, which must exist."""
        place = bisect_right(self.seqs, seq) - 1
        return self.offsets[place], self.block_end(self.offsets[place])


@dataclass(slots=True)
class LoadedLog:
    """What a log's files say. `torn` bytes at the file's end are no whole frame."""

    index: LogIndex
    last: StoredFrame | None
    torn: int


def frame_place(block: bytes, seq: int) -> int:
    """Where the frame `seq` begins in a block of whole frames."""
    head, _, _ = block.partition(b"-")
    mark = head + b"-%d\n" % seq
    place = 0 if block.startswith(mark) else block.find(b"\n\n" + mark) + 2
    if place == 1:
        raise CorruptStoreError(f"the event log has no frame {seq} where its index says", hint="remove events.idx")
    return place


def load(directory: Path) -> LoadedLog:
    """Reads what is there: by the index of a finished log, else by reading every frame (and then making
    sure that they are on disk before anyone is shown them)."""
    path = directory / FRAMES_FILE
    if not path.exists():
        return LoadedLog(LogIndex(), None, 0)
    fd = os.open(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        index = _read_index(directory / INDEX_FILE, size)
        if index is None:
            index = _scan(fd, size)
            os.fdatasync(fd)
        last = _last_frame(fd, index)
    finally:
        os.close(fd)
    return LoadedLog(index, last, size - index.end)


def create(directory: Path) -> None:
    """Makes the log's directory and its empty file, durably."""
    directory.mkdir(parents=True, exist_ok=True)
    os.close(os.open(directory / FRAMES_FILE, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    sync_directory(directory)
    sync_directory(directory.parent)


def read_epoch(directory: Path) -> int:
    """The newest epoch that opened this log, 0 for none."""
    try:
        return int((directory / EPOCH_FILE).read_text())
    except FileNotFoundError:
        return 0
    except ValueError:
        raise CorruptStoreError(f"{directory / EPOCH_FILE} is not a number", hint="restore it") from None


def write_epoch(directory: Path, epoch: int) -> None:
    _replace(directory / EPOCH_FILE, b"%d\n" % epoch)
    sync_directory(directory)


def write_index(directory: Path, index: LogIndex) -> None:
    """Keeps the index of a finished log. Losing it costs a scan, so it is not synced."""
    head = _INDEX_HEAD.pack(_INDEX_MAGIC, index.end, index.next_seq, len(index.seqs))
    entries = b"".join(_ENTRY.pack(*entry) for entry in zip(index.seqs, index.offsets, strict=True))
    _replace(directory / INDEX_FILE, head + entries, sync=False)


def write_at(fd: int, chunks: list[bytes], offset: int) -> None:
    """Writes the chunks from `offset` on and returns when they are on disk."""
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            written = os.pwrite(fd, view, offset)
            view, offset = view[written:], offset + written
    os.fdatasync(fd)


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _replace(path: Path, content: bytes, *, sync: bool = True) -> None:
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def _read_index(path: Path, size: int) -> LogIndex | None:
    """The stored index, None when there is none that fits the frames."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) < _INDEX_HEAD.size:
        return None
    magic, end, next_seq, count = _INDEX_HEAD.unpack_from(content)
    if magic != _INDEX_MAGIC or end != size or len(content) != _INDEX_HEAD.size + count * _ENTRY.size:
        return None
    entries = list(_ENTRY.iter_unpack(content[_INDEX_HEAD.size :]))
    return LogIndex([seq for seq, _ in entries], [offset for _, offset in entries], end, next_seq)


def _scan(fd: int, size: int) -> LogIndex:
    """Reads frames from the start for as long as they are whole and numbered without a gap."""
    index = LogIndex()
    attempt: bytes | None = None
    buffer, offset = b"", 0
    while offset < size and (chunk := os.pread(fd, _SCAN, offset)):
        offset += len(chunk)
        buffer += chunk
        position = 0
        while frame := _FRAME.match(buffer, position):
            attempt = attempt or frame[1]
            if frame[1] != attempt or int(frame[2]) != index.next_seq:
                return index
            index.extend(frame.end() - position, 1)
            position = frame.end()
        buffer = buffer[position:]
        if len(buffer) > 2 * BATCH:
            return index
    return index


def _last_frame(fd: int, index: LogIndex) -> StoredFrame | None:
    if not index.next_seq:
        return None
    begin, end = index.block_of(index.next_seq - 1)
    block = os.pread(fd, end - begin, begin)
    return parse_frame(block[frame_place(block, index.next_seq - 1) :])
