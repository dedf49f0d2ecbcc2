"""A reader of one log: a place in it, and nothing else. Never a queue: memory is one batch, whatever is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingot.events.log import StoredLog


class Cursor:
    """Batches of whole frames from one frame on, each at most 64 KiB.

    `async for batch in cursor` waits for more while the log is being written and ends behind the terminal
    frame. For more control: `read` what is there, `ended`, `wait` with a timeout, `wake` from outside.
    """

    __slots__ = ("_deadline", "_log", "_loop", "_offset", "_seq", "_timer", "_waiter")

    def __init__(self, log: StoredLog, seq: int) -> None:
        self._log = log
        self._seq = seq
        self._offset = 0 if seq == 0 else -1
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[bool] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0

    @property
    def ended(self) -> bool:
        """Everything was read and nothing will follow."""
        return self._log.deleted or (self._log.is_over and not self.has_more)

    @property
    def has_more(self) -> bool:
        """There is something to read now."""
        if self._offset < 0:
            return self._seq < self._log.next_seq
        return self._offset < self._log.end

    @property
    def offset(self) -> int:
        """The byte of the log up to which was read; 0 before the first `read`."""
        return max(0, self._offset)

    async def read(self) -> bytes:
        """The next batch, b"" when there is none now."""
        if not self.has_more or self._log.deleted:
            return b""
        if self._offset < 0:
            self._offset = await self._log.offset_of(self._seq)
        batch = self._log.in_memory(self._offset)
        if batch is None:
            batch = await self._log.read_block(self._offset)
        self._offset += len(batch)
        return batch

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until there is more, the log ends, or `wake`. False after `timeout` seconds without any."""
        if self.has_more or self.ended:
            return True
        self._waiter = self._loop.create_future()
        if timeout is not None:
            self._arm(timeout)
        self._log.await_more(self)
        try:
            return await self._waiter
        finally:
            self._waiter = None
            self._log.stop_awaiting(self)

    def wake(self) -> None:
        """Ends a `wait` that is under way."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(True)

    def close(self) -> None:
        """Lets go of the timer. The cursor can be dropped."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> bytes:
        while True:
            batch = await self.read()
            if batch:
                return batch
            if self.ended:
                self.close()
                raise StopAsyncIteration
            await self.wait()

    def _arm(self, timeout: float) -> None:
        """One timer serves many waits: it is put off when it fires early, not at every wait."""
        self._deadline = self._loop.time() + timeout
        if self._timer is None or self._timer.when() > self._deadline:
            self.close()
            self._timer = self._loop.call_at(self._deadline, self._expire)

    def _expire(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() < self._deadline:
            self._timer = self._loop.call_at(self._deadline, self._expire)
        else:
            self._waiter.set_result(False)
