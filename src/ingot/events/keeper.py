"""What becomes of finished logs: compacted when nobody is likely to read them, removed when their time is over."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from ingot.events.log import EventLogs
from ingot.troubles import Troubles

_ROUND = 300.0
_DAY = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogAges:
    """`compact_after` in seconds behind a log's last frame; `keep_days` in days, 0 for ever."""

    compact_after: float
    keep_days: int


class LogKeeper:
    """Looks through all logs every few minutes. One at a time is worked on. What fails stays as it is until the next
    round."""

    def __init__(self, logs: EventLogs, ages: LogAges) -> None:
        self._logs = logs
        self._ages = ages
        self._troubles = Troubles(_log)

    async def run(self) -> None:
        """Until it is cancelled."""
        interval = min(_ROUND, self._ages.compact_after)
        while True:
            with self._troubles.outlived("looking through old logs"):
                await self.look_after(time.time())
            await asyncio.sleep(interval)

    async def look_after(self, now: float) -> None:
        """One round, at the time `now` in seconds since the epoch."""
        for build_id, written, is_compacted in await self._logs.stored():
            age = now - written
            with self._troubles.outlived(f"compacting or removing the log of build {build_id}"):
                if self._ages.keep_days and age > self._ages.keep_days * _DAY:
                    await self._logs.expire(build_id)
                elif not is_compacted and age > self._ages.compact_after:
                    await self._logs.compact(build_id)
