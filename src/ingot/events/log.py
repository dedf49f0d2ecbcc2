"""The event logs of all attempts: one append-only log each, one writer at a time, any number of readers.

The log is the truth: a reader is a cursor over stored bytes, a notification only wakes it. Frames are visible
once they are on disk. The last MiB of a log that is being written is kept in memory, once for all readers.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import weakref
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ingot.errors import StaleEpochError
from ingot.events import log_file
from ingot.events.compacted import CompactedLog, DecodedPieces
from ingot.events.cursor import Cursor
from ingot.events.file_range import read_range
from ingot.events.frames import FRAME_END, StoredFrame, TerminalFrame, parse_frame
from ingot.events.log_index import BATCH, LogIndex
from ingot.events.writer import GroupCommit, LogWriter

_TAIL = 1024 * 1024

_log = logging.getLogger(__name__)


class Waiter(Protocol):
    """Who is told, once, that a log has more to read or is over."""

    def wake(self) -> None: ...


class EventLogs:
    """All logs below one directory. Use one instance a directory and process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._logs: weakref.WeakValueDictionary[str, StoredLog] = weakref.WeakValueDictionary()
        self._decoded = DecodedPieces()

    async def log(self, build_id: str) -> StoredLog | None:
        """The log of a build, None when nothing was ever written for it."""
        log = self._logs.get(build_id)
        if log is None:
            if not self._path(build_id).is_dir():
                return None
            log = self._of(build_id)
        await log.load()
        return log

    async def awaited(self, build_id: str) -> StoredLog:
        """The log of a build, empty when nothing was written yet: its readers see what will be."""
        log = self._of(build_id)
        await log.load()
        return log

    async def open_writer(self, build_id: str, attempt: int, epoch: int) -> LogWriter:
        """Opens the log for appending, making it if need be; a torn end left by a crash is cut off.

        Writers with an older epoch are refused from then on, over restarts too: StaleEpochError, here and
        at their next append. What they appended before stays, and is durable when this returns.
        """
        log = self._of(build_id)
        await log.open(epoch)
        return LogWriter(log, attempt, epoch)

    async def stored(self) -> Sequence[tuple[str, float, bool]]:
        """(build id, seconds since the epoch at which it was written last, whether it is compacted) of all logs with
        frames."""
        return await asyncio.to_thread(self._stored)

    async def compact(self, build_id: str) -> bool:
        """Makes a finished log one compressed file; False for one that is not over. Readers notice nothing: those who
        have it open go on reading what they opened."""
        return await self._of(build_id).compact()

    async def expire(self, build_id: str) -> bool:
        """Removes a finished log's frames for good; False for one that is not over. Who has it open reads on."""
        return await self._of(build_id).expire()

    async def delete(self, build_id: str) -> None:
        """Removes a log. Its readers end; a writer it still has is refused."""
        log = self._logs.pop(build_id, None)
        if log is not None:
            await log.close_for_good()
        await asyncio.to_thread(shutil.rmtree, self._path(build_id), ignore_errors=True)

    def _of(self, build_id: str) -> StoredLog:
        log = self._logs.get(build_id)
        if log is None:
            log = self._logs[build_id] = StoredLog(self._path(build_id), self._decoded)
        return log

    def _stored(self) -> list[tuple[str, float, bool]]:
        found = []
        for directory in self._directory.iterdir() if self._directory.exists() else ():
            if (finished := log_file.finished_at(directory)) is not None:
                found.append((directory.name, *finished))
        return found

    def _path(self, build_id: str) -> Path:
        if not build_id or "/" in build_id or build_id.startswith("."):
            raise ValueError(f"{build_id!r} is not a build id")
        return self._directory / build_id


class StoredLog:
    """One attempt's log as its readers see it. `terminal` is the last frame once the attempt is over; an `expired` log
    had frames and has none any more."""

    def __init__(self, directory: Path, decoded: DecodedPieces) -> None:
        self.directory = directory
        self.expired = False
        self._decoded = decoded
        self._compacted: CompactedLog | None = None
        self.terminal: TerminalFrame | None = None
        self.deleted = False
        self.epoch = 0
        self.commits: GroupCommit | None = None
        self._index = LogIndex()
        self._loaded_last: StoredFrame | None = None
        self._lock = asyncio.Lock()
        self._loaded = False
        self._fd = -1
        self._tail: list[bytes] = []
        self._tail_offsets: list[int] = []
        self._tail_size = 0
        self._waiting: set[Waiter] = set()

    # --- reading

    @property
    def next_seq(self) -> int:
        """How many frames can be read."""
        return self._index.next_seq

    @property
    def end(self) -> int:
        """How many bytes can be read."""
        return self._index.end

    @property
    def last(self) -> StoredFrame | None:
        """The last frame that can be read."""
        if not self._tail:
            return self._loaded_last
        return parse_frame(self._tail[-1].removesuffix(FRAME_END).rpartition(FRAME_END)[2])

    @property
    def is_over(self) -> bool:
        """Nothing will follow what can be read."""
        return self.terminal is not None or self.deleted

    def cursor(self, seq: int = 0) -> Cursor:
        """A reader from frame `seq` on (0 ≤ seq ≤ next_seq)."""
        if not 0 <= seq <= self.next_seq:
            raise ValueError(f"the log has {self.next_seq} frames, none with the number {seq}")
        return Cursor(self, seq)

    def in_memory(self, offset: int) -> bytes | None:
        """Whole frames from `offset` on, at most one batch, None when only the file has them."""
        if not self._tail_offsets or offset < self._tail_offsets[0]:
            return None
        place = bisect_right(self._tail_offsets, offset) - 1
        first = self._tail[place]
        if inside := offset - self._tail_offsets[place]:
            return first[inside:]
        last, size = place + 1, len(first)
        while last < len(self._tail) and size + len(self._tail[last]) <= BATCH:
            size += len(self._tail[last])
            last += 1
        return first if last == place + 1 else b"".join(self._tail[place:last])

    def block_begins(self) -> Sequence[int]:
        """The bytes at which blocks begin, in order."""
        return tuple(self._index.offsets)

    async def read_block(self, offset: int) -> bytes:
        """Whole frames from `offset` to the end of its block, from the file."""
        return await self._read(offset, self._index.block_end(offset))

    async def offset_of(self, seq: int) -> int:
        """The byte at which the frame `seq` begins."""
        if seq >= self.next_seq:
            return self.end
        begin, end = self._index.block_of(seq)
        block = self.in_memory(begin)
        if block is None or len(block) < end - begin:
            block = await self._read(begin, end)
        return begin + log_file.frame_place(block, seq)

    @property
    def is_plain(self) -> bool:
        """The frames are, or will be, in a plain file."""
        return self._compacted is None

    def file_range(self, offset: int) -> tuple[int, int] | None:
        """(descriptor, end): bytes [offset, end) can be sent straight from the file. The descriptor is the log's and
        lives as long as it. None while there is no plain file."""
        if offset >= self.end:
            return None
        return self.open_file(), self.end

    def frames_end(self, offset: int, size: int) -> int:
        """The last byte known to be behind a whole frame, at most `size` (two batches at least) behind `offset`."""
        return self._index.frames_end(offset, size)

    def seq_near(self, offset: int) -> int:
        """The number of the frame at a byte: exact where blocks begin and at the end, in between by proportion."""
        return self._index.seq_near(offset)

    def open_file(self) -> int:
        if self._fd < 0:
            self._fd = os.open(self.directory / log_file.FRAMES_FILE, os.O_RDONLY | os.O_CLOEXEC)
            weakref.finalize(self, os.close, self._fd)
        return self._fd

    async def _read(self, begin: int, end: int) -> bytes:
        if self._compacted is not None:
            return await self._compacted.read(begin, end)
        return await read_range(self.open_file(), begin, end, self.directory / log_file.FRAMES_FILE)

    # --- waking

    def await_more(self, waiter: Waiter) -> None:
        self._waiting.add(waiter)

    def stop_awaiting(self, waiter: Waiter) -> None:
        self._waiting.discard(waiter)

    def _wake_all(self) -> None:
        waiting, self._waiting = self._waiting, set()
        for waiter in waiting:
            waiter.wake()

    # --- writing

    async def load(self) -> None:
        """Reads what the files say, once."""
        if self._loaded:
            return
        async with self._lock:
            await self._load()

    async def _load(self) -> int:
        """Under the lock. Returns how many torn bytes the file ends with."""
        if self._loaded:
            return 0
        loaded = await asyncio.to_thread(log_file.load, self.directory)
        self.epoch = await asyncio.to_thread(log_file.read_epoch, self.directory)
        self._index, self._loaded_last = loaded.index, loaded.last
        self.terminal = loaded.last.terminal if loaded.last is not None else None
        self.expired = loaded.expired
        if loaded.pieces is not None:
            self._compacted = CompactedLog(self.directory, loaded.pieces, self._decoded)
        self._loaded = True
        return loaded.torn

    async def open(self, epoch: int) -> None:
        """For a writer of this epoch: see `EventLogs.open_writer`."""
        async with self._lock:
            await self._load()
            if self.deleted or self.expired:
                raise StaleEpochError("this build's log was removed, so nothing more may be written to it")
            if epoch < self.epoch:
                raise StaleEpochError(f"the build is at epoch {self.epoch}, so a writer of epoch {epoch} may not write")
            newer, self.epoch = epoch > self.epoch, epoch
            if newer and self.commits is not None:
                await self.commits.fence()
            if self.commits is None:
                await asyncio.to_thread(self._prepare, epoch)
                self.commits = GroupCommit(self, self.directory / log_file.FRAMES_FILE)
            self.commits.writers += 1

    def _prepare(self, epoch: int) -> None:
        if self.terminal is None:
            log_file.create(self.directory)
        log_file.write_epoch(self.directory, epoch)
        if self.terminal is None:
            os.truncate(self.directory / log_file.FRAMES_FILE, self._index.end)

    def publish(self, chunks: Sequence[tuple[bytes, int]], terminal: TerminalFrame | None = None) -> None:
        """Makes durable chunks (bytes, frames in them) readable and wakes who waits for them."""
        for chunk, frames in chunks:
            self._tail.append(chunk)
            self._tail_offsets.append(self._index.end)
            self._tail_size += len(chunk)
            self._index.extend(len(chunk), frames)
        surplus = 0
        while self._tail_size > _TAIL and surplus < len(self._tail) - 1:
            self._tail_size -= len(self._tail[surplus])
            surplus += 1
        del self._tail[:surplus], self._tail_offsets[:surplus]
        if terminal is not None:
            self.terminal = terminal
        self._wake_all()

    async def seal(self) -> None:
        """The attempt is over: keeps the index beside the frames, where there is room for it."""
        try:
            await asyncio.to_thread(log_file.write_index, self.directory, self._index)
        except (OSError, RuntimeError) as error:  # as in `GroupCommit`
            _log.warning("%s has no index, so it is scanned: %s", self.directory, error, extra={"action": "seal_log"})

    # --- growing old

    async def compact(self) -> bool:
        """See `EventLogs.compact`. What is open stays open: this log reads its plain file to the end of its life."""
        async with self._lock:
            await self._load()
            if self.terminal is None or not self.is_plain:
                return False
            self.open_file()
            await asyncio.to_thread(log_file.make_compact, self.directory, self._index)
            return True

    async def expire(self) -> bool:
        """See `EventLogs.expire`."""
        async with self._lock:
            await self._load()
            if self.terminal is None or self.expired:
                return False
            if self.is_plain:
                self.open_file()
            await asyncio.to_thread(log_file.expire, self.directory)
            self.expired = True
            return True

    async def close_for_good(self) -> None:
        self.deleted = True
        self.epoch = self.epoch + 1_000_000_000
        if self.commits is not None:
            await self.commits.fence()
        self._wake_all()
