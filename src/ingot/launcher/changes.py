"""How computers change: made, copied, started, stopped, deleted. Who asked may have been answered before it is done."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from ingot.computer_records import ComputerRecords
from ingot.errors import ConflictError, IngotError
from ingot.launcher.fleet import Fleet
from ingot.launcher.life import Ending, Life
from ingot.launcher.making import screen_password
from ingot.launcher.merging import Merging
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.supplies import Start, Supplies
from ingot.launcher.tracked import Tracked, words_of
from ingot.machine.contract import Backend
from ingot.records.computer import Computer, ComputerStatus

log = logging.getLogger(__name__)

_COPYING = 300.0
_CLOSING = 900.0
_RESUMED_AT_ONCE = 4


class Changes:
    """Whether a computer may change now is for the caller to check, without a wait between that and the change."""

    def __init__(
        self, backend: Backend, fleet: Fleet, records: ComputerRecords, own: OwnLayers, supplies: Supplies
    ) -> None:
        self._backend = backend
        self._fleet = fleet
        self._records = records
        self._own = own
        self._supplies = supplies
        self._merging = Merging(backend, own, fleet.layers)
        self._resuming = asyncio.Semaphore(_RESUMED_AT_ONCE)
        self._closing = False

    async def add(self, computer: Computer, source: Tracked | None = None) -> Tracked:
        """A new computer that is being switched on, its files a copy of those of `source`. While it is made it shows,
        and holds the layers it stands on; when that fails nothing of it is left. Raises what `Supplies.gather` does,
        ConflictError when it cannot be copied."""
        tracked = self._fleet.take(replace(computer, vnc_password=screen_password(self._backend)))
        try:
            if source is not None and source.computer.status is ComputerStatus.RUNNING:
                await self._copy(source, tracked)
            start = await self._supplies.gather(tracked.computer)
            with contextlib.ExitStack() as undoing:
                undoing.callback(start.holding.close)
                self._refuse_late(tracked)
                if not computer.test_run:
                    await self._records.add(tracked.computer)
                self.switch_on(tracked, start)
                undoing.pop_all()
        except BaseException:
            self._fleet.drop(computer)
            await asyncio.shield(self._forget(computer))
            raise
        return tracked

    async def _forget(self, computer: Computer) -> None:
        try:
            if not computer.test_run:
                await self._records.remove(computer.id)
        except IngotError:  # the next server tells of it that it cannot be started
            log.exception("a computer's row cannot be removed", extra={"computer": computer.id})
        await self._own.remove_those_of(computer.id, self._fleet.layers())

    async def _copy(self, source: Tracked, clone: Tracked) -> None:
        life = source.life  # what it wrote in a later one is not on the layers that the clone has
        assert life is not None
        async with self._own.making(clone.computer.id) as new:
            try:
                async with asyncio.timeout(_COPYING):
                    await life.use.copy(new.place)
            except (TimeoutError, IngotError, OSError) as error:
                why = str(error) or f"it takes longer than {_COPYING:g} s"
                raise ConflictError(f"the computer cannot be copied: {why}", code="copy_failed") from error
            clone.set(layers=(*clone.computer.layers, await self._own.keep(new)))

    def switch_on(self, tracked: Tracked, start: Start) -> Life:
        """Begins its life, which holds what `start` holds. Raises ConflictError when it was deleted, or the server
        ends."""
        try:
            self._refuse_late(tracked)
        except ConflictError:
            start.holding.close()
            raise
        tracked.life = life = Life(tracked, start, self._backend, self._own, self._merging)
        life.task.add_done_callback(lambda _: self._ended(tracked, start.holding))
        return life

    def _refuse_late(self, tracked: Tracked) -> None:
        if tracked.computer.status is ComputerStatus.DELETING:
            raise ConflictError("the computer was deleted meanwhile", code="not_running")
        if self._closing:
            raise ConflictError("the server ends", hint="try again when it is back", code="not_running")

    def stop(self, tracked: Tracked) -> asyncio.Task[None]:
        """Raises ConflictError `stop_failed`: it then runs on."""
        tracked.set(status=ComputerStatus.STOPPING, wanted=False, error=None)
        return self._work(tracked, self._stop(tracked))

    def restart(self, tracked: Tracked) -> asyncio.Task[None]:
        """The same."""
        tracked.set(status=ComputerStatus.RESTARTING, error=None)
        return self._work(tracked, self._restart(tracked))

    def resume(self, tracked: Tracked) -> asyncio.Task[None]:
        """Starts what ran when the last server ended, a few at a time."""
        tracked.set(status=ComputerStatus.STARTING)
        return self._work(tracked, self._resume(tracked))

    def delete(self, tracked: Tracked) -> asyncio.Task[None]:
        """When it is done nothing of the computer is left."""
        if tracked.deleting is None or tracked.deleting.done():
            tracked.deleting = asyncio.create_task(self._delete(tracked))
        return tracked.deleting

    async def close(self) -> None:
        """Stops what runs and has it started again by the next server. Test runs, and what is only starting, end."""
        self._closing = True
        for tracked in self._fleet:
            if tracked.work is not None and tracked.computer.status is not ComputerStatus.STOPPING:
                tracked.work.cancel()
        endings = [asyncio.create_task(self._close(tracked)) for tracked in self._fleet if tracked.is_on]
        if endings:
            _, late = await asyncio.wait(endings, timeout=_CLOSING)
            lives = [tracked.life for tracked in self._fleet if tracked.life is not None]
            for task in (*late, *(life.task for life in lives)):
                task.cancel()
            await asyncio.gather(*endings, *(life.task for life in lives), return_exceptions=True)

    async def _close(self, tracked: Tracked) -> None:
        life = tracked.life
        if tracked.work is not None:
            await asyncio.wait([tracked.work])
        while life is not None and not life.task.done():
            if tracked.computer.test_run or not life.settled.is_set():
                life.task.cancel()
                await asyncio.wait([life.task])
            else:  # again, where a stop that was under way could not keep the files and it runs on
                await life.end(Ending.CLOSE)

    async def _stop(self, tracked: Tracked) -> None:
        await tracked.note()
        assert tracked.life is not None
        if not await tracked.life.end(Ending.STOP):
            raise ConflictError(tracked.computer.error or "it cannot be stopped", code="stop_failed")
        if tracked.computer.status is ComputerStatus.RESTARTING:  # a reboot from inside had come first
            await tracked.note(status=ComputerStatus.STOPPED, wanted=False)

    async def _restart(self, tracked: Tracked) -> None:
        await tracked.note()
        assert tracked.life is not None
        if not await tracked.life.end(Ending.RESTART):
            raise ConflictError(tracked.computer.error or "it cannot be stopped", code="stop_failed")
        if tracked.computer.status is ComputerStatus.RESTARTING:
            await self._bring_up(tracked)

    async def _resume(self, tracked: Tracked) -> None:
        async with self._resuming:
            await self._bring_up(tracked)

    async def _bring_up(self, tracked: Tracked) -> None:
        try:
            start = await self._supplies.gather(tracked.computer)
        except Exception as error:
            log.warning("a computer cannot be started", exc_info=error, extra={"computer": tracked.computer.id})
            await tracked.note(status=ComputerStatus.ERROR, wanted=False, error=words_of(error))
            return
        await self.switch_on(tracked, start).settled.wait()

    async def _delete(self, tracked: Tracked) -> None:
        computer = tracked.computer
        tracked.set(status=ComputerStatus.DELETING, wanted=False)
        await tracked.save()
        if tracked.work is not None:
            tracked.work.cancel()
        if tracked.life is not None:
            await tracked.life.drop()
        if tracked.computer.machine is not None:
            await self._backend.discard(tracked.computer.machine)
        self._fleet.drop(computer)
        await self._own.remove(tracked.computer.layers, self._fleet.layers())
        await self._own.remove_those_of(computer.id, self._fleet.layers())
        if not computer.test_run:
            await self._records.remove(computer.id)

    def _work(self, tracked: Tracked, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Goes on when its request has been answered. What it raises then is in the computer's `error` already."""
        tracked.work = task = asyncio.create_task(work, name=f"work on {tracked.computer.instance_id}")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def _ended(self, tracked: Tracked, holding: contextlib.ExitStack) -> None:
        """A test run that ended is gone; one that failed can be looked at for an hour. A computer that was rebooted
        from inside starts again."""
        holding.close()
        at_work = tracked.work is not None and not tracked.work.done()
        if tracked.computer.status is ComputerStatus.RESTARTING and not at_work and not self._closing:
            self._work(tracked, self._bring_up(tracked))
        if tracked.computer.test_run:
            tracked.over_since = time.monotonic()
            if tracked.computer.status is ComputerStatus.STOPPED:
                self._fleet.drop(tracked.computer)
