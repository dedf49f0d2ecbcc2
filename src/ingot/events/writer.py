"""Appending to a log: group commit, the epoch fence, and the order at an attempt's end.

The next group is written when the sync of the one before returns; there is no timer. A writer does not make
frames: it is given encoded ones, whose numbers must follow on.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ingot.errors import StaleEpochError
from ingot.events import log_file
from ingot.events.frames import TerminalFrame, parse_frame
from ingot.events.log_index import BATCH
from ingot.records.event import Phase

if TYPE_CHECKING:
    from ingot.events.log import StoredLog

_PENDING = 1024 * 1024
"""Bytes waiting for the disk above which `room` lets writers wait."""

Chunk = tuple[bytes, int]


class LogWriter:
    """The right of one epoch's holder to append to one log. Made by `EventLogs.open_writer`."""

    def __init__(self, log: StoredLog, attempt: int, epoch: int) -> None:
        assert log.commits is not None
        self.attempt = attempt
        self.epoch = epoch
        self._log = log
        self._commits = log.commits
        self._closed = False

    @property
    def next_seq(self) -> int:
        """The number the next frame must have."""
        return self._commits.next_seq

    @property
    def stored_bytes(self) -> int:
        """What the attempt has written so far, stored or about to be."""
        return self._commits.bytes

    @property
    def last_ts_ms(self) -> int:
        """The time of the last frame that is stored, 0 for none."""
        last = self._log.last
        return last.event.ts_ms if last is not None else 0

    @property
    def last_phase(self) -> Phase | None:
        """The phase of the last frame that is stored."""
        last = self._log.last
        return last.event.phase if last is not None else None

    @property
    def terminal(self) -> TerminalFrame | None:
        """The terminal frame, if the attempt is over already: then the status follows it."""
        return self._log.terminal

    def append(self, frames: Sequence[bytes]) -> None:
        """Takes encoded frames in order. Does not wait: see `room` and `flush`.

        Raises StaleEpochError when a newer epoch has the log, ValueError when the numbers do not follow on,
        OSError when the disk did not take earlier frames (they are kept and tried again by `flush`).
        """
        self._check()
        self._commits.append(frames, self.attempt)

    async def room(self) -> None:
        """Waits while too much waits for the disk. Raises as `flush` does."""
        await self._commits.room()

    async def flush(self) -> None:
        """Returns when everything appended is on disk and visible. Raises OSError when it cannot be."""
        await self._commits.flush()

    async def finish(self, frame: bytes, commit: Callable[[], Awaitable[None]]) -> None:
        """Ends the attempt: `frame` is made durable, then `commit` runs, and only then readers see the frame.

        When `commit` raises, readers see nothing new and `finish` may be called again; the frame that is
        stored by then stays the terminal frame.
        """
        self._check()
        await self._commits.finish(frame, self.attempt, commit)
        await self.aclose()

    async def aclose(self) -> None:
        """Flushes and lets go of the log; without `finish` the attempt can be continued by a later writer."""
        if self._closed:
            return
        self._closed = True
        await self._commits.release()

    def _check(self) -> None:
        if self.epoch != self._log.epoch:
            raise StaleEpochError(
                f"this build has moved on to epoch {self._log.epoch}, so its writer of epoch {self.epoch} may not write"
            )
        if self._closed or self._log.terminal is not None:
            raise StaleEpochError("this build's log has ended, so nothing more may be written to it")


class GroupCommit:
    """Brings one log's frames to the disk, in groups. Shared by all writers that the log has had."""

    def __init__(self, log: StoredLog, path: Path) -> None:
        self.writers = 0
        self.next_seq = log.next_seq
        self.bytes = log.end
        self._log = log
        self._path = path
        self._fd = -1
        self._pending: list[bytes] = []
        self._pending_bytes = 0
        self._task: asyncio.Task[None] | None = None
        self._error: OSError | RuntimeError | None = None
        self._closed = False
        self._progress = asyncio.Condition()
        self._end = asyncio.Lock()
        self._terminal: tuple[bytes, TerminalFrame] | None = None

    def append(self, frames: Sequence[bytes], attempt: int) -> None:
        if not frames:
            return
        if self._error is not None:
            raise self._error
        if self._terminal is not None or self._closed:
            raise StaleEpochError("this build's log is being ended, so nothing more may be written to it")
        self._check_numbers(frames, attempt)
        size = sum(map(len, frames))
        self._pending.extend(frames)
        self._pending_bytes += size
        self.bytes += size
        self.next_seq += len(frames)
        self._start()

    def _check_numbers(self, frames: Sequence[bytes], attempt: int) -> None:
        for frame, seq in ((frames[0], self.next_seq), (frames[-1], self.next_seq + len(frames) - 1)):
            if not frame.startswith(b"id: %d-%d\n" % (attempt, seq)):
                raise ValueError(f"frame {frame[:40]!r} does not follow on: {attempt}-{seq} is due")

    async def room(self) -> None:
        if self._pending_bytes > _PENDING:
            await self._until(lambda: self._pending_bytes <= _PENDING)

    async def flush(self) -> None:
        target = self.next_seq if self._terminal is None else self._log.next_seq
        self._error = None
        await self._until(lambda: self._log.next_seq >= target)

    async def finish(self, frame: bytes, attempt: int, commit: Callable[[], Awaitable[None]]) -> None:
        async with self._end:
            if self._closed:
                raise StaleEpochError("this build has moved on to a newer epoch, so it may not be ended by this one")
            if self._terminal is None:
                await self._store_terminal(frame, attempt)
            assert self._terminal is not None
            await commit()
            self._log.publish([(self._terminal[0], 1)], self._terminal[1])
            await self._log.seal()

    async def _store_terminal(self, frame: bytes, attempt: int) -> None:
        await self.flush()
        self._check_numbers([frame], attempt)
        parsed = parse_frame(frame)
        assert parsed.terminal is not None, "an attempt ends with a terminal frame"
        self._terminal = (frame, parsed.terminal)  # from here on nothing else can be appended
        try:
            await self._write([frame], self._log.end)
        except OSError:
            self._terminal = None
            raise

    async def fence(self) -> None:
        """A newer epoch takes over: what was appended is brought to the disk, and nothing more is taken."""
        async with self._end:
            await self.flush()
            self.close()

    async def release(self) -> None:
        """One writer less; the last one flushes and closes the file."""
        self.writers -= 1
        try:
            if self._is_unused():
                await self.flush()
        finally:
            if self._is_unused():
                self.close()

    def close(self) -> None:
        """Nothing more is taken. What a failing disk did not take is lost."""
        self._closed = True
        if self._log.commits is self:
            self._log.commits = None
        if self._fd >= 0 and self._task is None:
            os.close(self._fd)
            self._fd = -1

    def _is_unused(self) -> bool:
        return self.writers == 0 and not self._closed

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with self._progress:
            while not reached():
                if self._error is not None:
                    raise self._error
                self._start()
                await self._progress.wait()

    def _start(self) -> None:
        if self._task is None and self._pending:
            self._task = asyncio.create_task(self._commit_all())

    async def _commit_all(self) -> None:
        """Writes group after group until nothing is pending."""
        try:
            while self._pending and self._error is None:
                await self._commit_group()
                async with self._progress:
                    self._progress.notify_all()
        finally:
            self._task = None

    async def _commit_group(self) -> None:
        group, size = self._pending, self._pending_bytes
        self._pending, self._pending_bytes = [], 0
        chunks = pack(group)
        try:
            await self._write([chunk for chunk, _ in chunks], self._log.end)
        except (OSError, RuntimeError) as error:  # RuntimeError: the loop takes no more threads, it is ending
            self._error = error
            self._pending = group + self._pending
            self._pending_bytes += size
        else:
            self._log.publish(chunks)

    async def _write(self, chunks: list[bytes], offset: int) -> None:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        await asyncio.to_thread(log_file.write_at, self._fd, chunks, offset)


def pack(frames: Sequence[bytes]) -> list[Chunk]:
    """Frames as chunks (bytes, number of frames) of at most one batch each."""
    chunks: list[Chunk] = []
    begin, size = 0, 0
    for place, frame in enumerate(frames):
        if size + len(frame) > BATCH and size:
            chunks.append((b"".join(frames[begin:place]), place - begin))
            begin, size = place, 0
        size += len(frame)
    chunks.append((b"".join(frames[begin:]), len(frames) - begin))
    return chunks
