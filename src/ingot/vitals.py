"""How the host and the server have fared: processor, memory, disk, what builds and what is watched, over the last hour.

It is in memory alone and begins with the process. Figures are of the whole host as /proc tells them; `busy` is 0 to 1
of all processors together.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ingot import process
from ingot.errors import IngotError
from ingot.storage.clock import now_ms
from ingot.troubles import Troubles

EVERY_SECONDS = 10
_KEPT = 3600 // EVERY_SECONDS
_SIZE_AGE_MS = 5 * 60 * 1000
_SIZE_DEADLINE = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Activity:
    """What a server does at a moment."""

    building: int
    queued: int
    open_streams: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One moment; bytes, and milliseconds since the epoch. `cpu_busy` is over the time since the sample before."""

    at_ms: int
    cpu_busy: float
    memory_used_bytes: int
    disk_used_bytes: int
    activity: Activity


@dataclass(frozen=True, slots=True)
class HostNow:
    """The host at a moment, in bytes. `data_bytes` is what the data directory takes, known to within some minutes, None
    before it was counted."""

    cpu_count: int
    cpu_busy: float
    load_1m: float
    memory_total_bytes: int
    memory_available_bytes: int
    disk_total_bytes: int
    disk_free_bytes: int
    data_bytes: int | None


class Vitals:
    """`run` takes the samples. `look` tells the server's activity."""

    def __init__(self, data_dir: Path, look: Callable[[], Awaitable[Activity]]) -> None:
        self.started_ms = now_ms()
        self.history: deque[Sample] = deque(maxlen=_KEPT)
        self._data_dir = data_dir
        self._look = look
        self._ticks = _read_ticks()
        self._counting: asyncio.Task[None] | None = None
        self._data_bytes: int | None = None
        self._counted_ms = 0

    async def run(self) -> None:
        """Samples until it is cancelled. One that cannot be had is left out."""
        troubles = Troubles(_log)
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            with troubles.outlived("taking the host's figures"):
                await self.sample()

    async def sample(self) -> None:
        """Adds the figures of now."""
        activity = await self._look()
        ticks, before = _read_ticks(), self._ticks
        self._ticks = ticks
        total, available = _read_memory()
        disk = await asyncio.to_thread(shutil.disk_usage, self._data_dir)
        busy = _busy(before, ticks)
        self.history.append(Sample(now_ms(), busy, total - available, disk.total - disk.free, activity))

    async def now(self) -> HostNow:
        """The host as it is. Has the data directory counted anew when that was some minutes ago, without waiting."""
        self._count_data()
        busy = self.history[-1].cpu_busy if self.history else _busy(self._ticks, _read_ticks())
        total, available = _read_memory()
        disk = await asyncio.to_thread(shutil.disk_usage, self._data_dir)
        return HostNow(
            cpu_count=os.cpu_count() or 1,
            cpu_busy=busy,
            load_1m=round(os.getloadavg()[0], 2),
            memory_total_bytes=total,
            memory_available_bytes=available,
            disk_total_bytes=disk.total,
            disk_free_bytes=disk.free,
            data_bytes=self._data_bytes,
        )

    async def aclose(self) -> None:
        if self._counting is not None:
            self._counting.cancel()
            await asyncio.gather(self._counting, return_exceptions=True)

    def _count_data(self) -> None:
        is_fresh = now_ms() - self._counted_ms < _SIZE_AGE_MS
        if not is_fresh and (self._counting is None or self._counting.done()):
            self._counting = asyncio.create_task(self._count(), name="size of the data directory")

    async def _count(self) -> None:
        """Asks `du`: hundreds of thousands of files, which would hold other threads up."""
        argv = ["nice", "du", "--summarize", "--one-file-system", "--block-size=1", str(self._data_dir)]
        try:
            # Files that go while it counts are a status of 1 and lines before the last.
            _, output = await process.run(argv, timeout=_SIZE_DEADLINE, check=False)
            size = output.splitlines()[-1].split()[0]
            self._data_bytes = int(size)
        except (IngotError, IndexError, ValueError):
            _log.warning("what the data directory takes cannot be counted", exc_info=True)
        self._counted_ms = now_ms()


def _read_ticks() -> tuple[int, int]:
    """(busy, all) ticks of all processors since the boot; waiting for a disk is not busy."""
    fields = [int(text) for text in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _busy(before: tuple[int, int], after: tuple[int, int]) -> float:
    passed = after[1] - before[1]
    return round(min(1.0, max(0.0, (after[0] - before[0]) / passed)), 3) if passed > 0 else 0.0


def _read_memory() -> tuple[int, int]:
    """(total, available) bytes."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    told = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines) if rest}
    return told["MemTotal"], told.get("MemAvailable", told["MemFree"])
