"""What becomes of finished logs: compacted when nobody is likely to read them, removed when their time is over."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from ingot.errors import CorruptStoreError
from ingot.events.log import EventLogs

_ROUND = 300.0
_DAY = 86_400.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogAges:
    """`compact_after` in seconds behind a log's last frame; `keep_days` in days, 0 for ever."""

    compact_after: float
    keep_days: int


class LogKeeper:
    """Looks through all logs every few minutes. One at a time is worked on."""

    def __init__(self, logs: EventLogs, ages: LogAges) -> None:
        self._logs = logs
        self._ages = ages

    async def run(self) -> None:
        """Until it is cancelled."""
        interval = min(_ROUND, self._ages.compact_after)
        while True:
            await self.look_after(time.time())
            await asyncio.sleep(interval)

    async def look_after(self, now: float) -> None:
        """One round, at the time `now` in seconds since the epoch."""
        for build_id, written, is_compacted in await self._logs.stored():
            age = now - written
            try:
                if self._ages.keep_days and age > self._ages.keep_days * _DAY:
                    await self._logs.expire(build_id)
                elif not is_compacted and age > self._ages.compact_after:
                    await self._logs.compact(build_id)
            except (OSError, CorruptStoreError) as error:
                _log.warning("the log of build %s stays as it is: %s", build_id, error, extra={"action": "keep_log"})
