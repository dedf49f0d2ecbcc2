"""The files of one attempt's log, and what can be read from them. Blocking: callers use a thread.

    <logs>/<build_id>/events.sse     frames exactly as they are sent, appended, never changed
    <logs>/<build_id>/events.idx     sparse index of a finished log; can be made again from the frames
    <logs>/<build_id>/epoch          the newest epoch that opened the log for writing
    <logs>/<build_id>/events.zst     in place of the first two, once the log is old: see `compacted`
    <logs>/<build_id>/expired        in place of all of them, once its time is over

Nothing here decides who may write. Where two of them stand because of a crash, the frames count.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import CorruptStoreError
from ingot.events import compacted
from ingot.events.compacted import Pieces
from ingot.events.frames import StoredFrame, parse_frame
from ingot.events.log_index import BATCH, LogIndex

FRAMES_FILE, INDEX_FILE, EPOCH_FILE, EXPIRED_FILE = "events.sse", "events.idx", "epoch", "expired"
_FRAME = re.compile(rb"id: (\d{1,9})-(\d{1,12})\ndata: \{[^\n]*\}\n\n")
_SCAN = 1024 * 1024


@dataclass(slots=True)
class LoadedLog:
    """What a log's files say. `torn` bytes at the file's end are no whole frame. `pieces` are set when it is compacted;
    an expired one is empty."""

    index: LogIndex
    last: StoredFrame | None
    torn: int = 0
    pieces: Pieces | None = None
    expired: bool = False


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
        return _load_compacted(directory)
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


def _load_compacted(directory: Path) -> LoadedLog:
    found = compacted.load_index(directory)
    if found is None:
        return LoadedLog(LogIndex(), None, expired=(directory / EXPIRED_FILE).exists())
    index, pieces = found
    return LoadedLog(index, _last_compacted(directory, index, pieces), pieces=pieces)


def make_compact(directory: Path, index: LogIndex) -> None:
    """Puts the compacted file in the place of the frames, durably."""
    compacted.compact(directory, directory / FRAMES_FILE, index)
    sync_directory(directory)
    for name in (INDEX_FILE, FRAMES_FILE):
        (directory / name).unlink(missing_ok=True)
    sync_directory(directory)


def expire(directory: Path) -> None:
    """Puts the mark of an expired log in the place of its frames."""
    (directory / EXPIRED_FILE).touch()
    sync_directory(directory)
    for name in (INDEX_FILE, FRAMES_FILE, compacted.COMPACTED_FILE, compacted.UNFINISHED_FILE):
        (directory / name).unlink(missing_ok=True)


def finished_at(directory: Path) -> tuple[float, bool] | None:
    """(when the log was written last, seconds since the epoch; whether it is compacted), None when it has no frames."""
    for name, is_compacted in ((FRAMES_FILE, False), (compacted.COMPACTED_FILE, True)):
        try:
            return (directory / name).stat().st_mtime, is_compacted
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


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
    _replace(directory / INDEX_FILE, index.pack(), sync=False)


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
        index, rest = LogIndex.unpack(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return index if index.end == size and not rest else None


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


def _last_compacted(directory: Path, index: LogIndex, pieces: Pieces) -> StoredFrame | None:
    if not index.next_seq:
        return None
    block = compacted.read_now(directory, pieces, *index.block_of(index.next_seq - 1))
    return parse_frame(block[frame_place(block, index.next_seq - 1) :])


def _last_frame(fd: int, index: LogIndex) -> StoredFrame | None:
    if not index.next_seq:
        return None
    begin, end = index.block_of(index.next_seq - 1)
    block = os.pread(fd, end - begin, begin)
    return parse_frame(block[frame_place(block, index.next_seq - 1) :])
