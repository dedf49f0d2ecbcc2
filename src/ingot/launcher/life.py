"""One computer's time with a machine: a task that opens it, starts what the template says, waits for its end, keeps
what it wrote, and closes it.

The task owns the machine: whoever ends the task, by `end`, `drop` or by cancelling it, has everything removed. It
promises to keep no secret longer than the machine lives, and none outside of memory and the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any

from ingot.errors import DeadlineError, IngotError, MachineLostError
from ingot.guest.boot import machine_environment
from ingot.launcher.merging import Merging
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.recovery import take_up
from ingot.launcher.supplies import Start
from ingot.launcher.switching import boot, shut_down
from ingot.launcher.tracked import Tracked, words_of
from ingot.launcher.use import Use
from ingot.machine.contract import POWERED_OFF, REBOOTED, Backend, Captured, Machine
from ingot.records.computer import ComputerStatus
from ingot.records.template import Template

log = logging.getLogger(__name__)

_KEEPING = 600.0
_LOOK = 1.0
_SHORT, _MOST_SHORT_LIVES = 60.0, 5


class Ending(Enum):
    """How a life ends: its files kept and the computer stopped, about to be started again, or to be started again by
    the next server; or with nothing kept."""

    STOP = "stop"
    RESTART = "restart"
    CLOSE = "close"
    DROP = "drop"


class Life:
    """`settled` is set when the computer runs for the first time, or is over; `use` is what users do meanwhile,
    `has_machine` whether there is a machine, also one that only begins or ends. The row is written as it changes."""

    def __init__(self, tracked: Tracked, start: Start, backend: Backend, own: OwnLayers, merging: Merging) -> None:
        self.settled = asyncio.Event()
        self.use = Use(tracked, machine_environment(start.template, start.secrets), has_screen=backend.has_screen)
        self._tracked = tracked
        self._start = start
        self._backend = backend
        self._own = own
        self._merging = merging
        self._ending: Ending | None = None
        self._verdict: asyncio.Future[bool] | None = None
        self.has_machine = self._ran = self._abandoned = False
        self._began = 0.0
        self.task = asyncio.create_task(self._live(), name=f"computer {tracked.computer.instance_id}")
        self.task.add_done_callback(lambda _: self.settled.set())

    @property
    def template(self) -> Template:
        return self._start.template

    async def end(self, ending: Ending) -> bool:
        """Ends a computer that runs, its files kept. True when nothing of its machine is left; False when its files
        cannot be kept, so that it runs on and says why in `error`."""
        self._verdict = verdict = asyncio.get_running_loop().create_future()
        if self._ending is not Ending.DROP:
            self._ending = ending
        self.use.ending.set()
        await asyncio.wait([verdict, self.task], return_when=asyncio.FIRST_COMPLETED)
        return verdict.result() if verdict.done() else True

    async def drop(self) -> None:
        """Ends it whatever it does, nothing kept. When this returns nothing of its machine is left."""
        if not self.use.is_open:
            self.task.cancel()
        self._ending = Ending.DROP
        self.use.ending.set()
        await asyncio.wait([self.task])

    async def _live(self) -> None:
        computer, failure = self._tracked.computer, None
        try:
            label = f"computer {computer.instance_id} {computer.ref}"
            stack = await self._merging.stack(self._tracked, self._start.golden)
            opening = self._backend.open(computer.spec, stack, label=label, hostname=computer.hostname)
            async with opening as machine, self._losing_nothing(machine):
                self._mark(ComputerStatus.STARTING, machine=machine.id)
                await self._tracked.note()
                if self._backend.has_screen and computer.vnc_password is not None:
                    await machine.set_screen_password(computer.vnc_password)
                await self._begin(machine)
                while not await self._finish(machine):
                    await self._begin(machine)
            await self._take_up()
        except IngotError as error:
            log.warning("computer ended: %s", error, extra={"action": "computer_failed", "computer": computer.id})
            failure = await self._take_up_after(error)
        except Exception as error:
            log.exception("computer failed", extra={"action": "computer_failed", "computer": computer.id})
            failure = await self._take_up_after(error)
        finally:
            self.has_machine = False
            self.use.forget()
            self._start = replace(self._start, secrets={})
            await self._close(failure)

    @contextlib.asynccontextmanager
    async def _losing_nothing(self, machine: Machine) -> AsyncIterator[None]:
        """A machine whose end comes before its files are kept leaves its disk behind, and its row names it. The row of
        any other forgets it before it is removed: there is nothing then that a later server could recover."""
        self.has_machine = True
        try:
            yield
        except BaseException:
            if self._ran and self._ending is not Ending.DROP and not self._tracked.computer.test_run:
                self._abandon(machine)
            raise
        finally:
            if not self._abandoned:
                await self._tracked.note(machine=None)

    def _abandon(self, machine: Machine) -> None:
        machine.abandon()
        self._abandoned = True

    async def _take_up(self) -> None:
        """What an abandoned machine left, unless the server ends: the next one does it then."""
        self.has_machine = False
        if self._abandoned and self._ending is not Ending.CLOSE:
            self._mark(ComputerStatus.STOPPING)
            await take_up(self._tracked, self._backend, self._own)

    async def _take_up_after(self, error: Exception) -> str | None:
        """The same after a failure; all that went wrong, in words. That somebody inside switched it off or
        rebooted it is none."""
        was_asked = isinstance(error, MachineLostError) and error.code in (POWERED_OFF, REBOOTED) and self._ran
        told = [] if was_asked else [words_of(error)]
        try:
            await self._take_up()
        except Exception as another:
            log.warning("a computer's files wait", exc_info=another, extra={"computer": self._tracked.computer.id})
            told.append(words_of(another))
        return "; ".join(told) or None

    async def _close(self, failure: str | None) -> None:
        """What the computer is now that it has no machine."""
        if failure is not None:
            self._mark(ComputerStatus.ERROR, wanted=False, error=failure)
        else:
            if self._ending is not None:  # one that a server's end cut short as it started is still to run
                self._tracked.set(wanted=self._ending in (Ending.RESTART, Ending.CLOSE))
            self._mark(_AFTER.get(self._ending, ComputerStatus.STOPPED))
        await self._tracked.note()

    async def _begin(self, machine: Machine) -> None:
        """Boots and waits until something asks for the end."""
        start, tracked = self._start, self._tracked
        problems = await boot(machine, start.template, start.secrets, again=bool(tracked.computer.layers))
        self.use.begin(machine)
        self._ran, self._began = True, time.monotonic()
        told = [tracked.computer.error, machine.not_resumed, *problems]
        self._mark(ComputerStatus.RUNNING, error="; ".join(filter(None, told)) or None)
        await tracked.note()
        self.settled.set()
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(False)
        await self._wait_for_end(machine)

    async def _finish(self, machine: Machine) -> bool:
        """Whether the machine can go: False when what the computer wrote cannot be kept."""
        await self.use.cease()
        if self._ending is None:
            self._ending = self._own_ending()
        ending = self._ending
        if self.use.lost is not None:
            self._tracked.set(wanted=ending in (Ending.RESTART, Ending.CLOSE))
            raise self.use.lost
        self._mark(_MEANWHILE[ending], wanted=ending in (Ending.RESTART, Ending.CLOSE))
        await self._tracked.note()
        await shut_down(machine, self._start.template, self._start.secrets, for_good=ending is Ending.DROP)
        return ending is Ending.DROP or await self._keep_or_go_on(machine, ending)

    def _own_ending(self) -> Ending:
        """Of a computer that nobody ends: it was idle, or its machine is gone. One that was rebooted starts again, but
        not for ever."""
        if self._tracked.computer.test_run:
            return Ending.DROP
        if self.use.lost is None or self.use.lost.code != REBOOTED:
            return Ending.STOP
        self._tracked.short_lives = self._tracked.short_lives + 1 if time.monotonic() - self._began < _SHORT else 0
        if self._tracked.short_lives < _MOST_SHORT_LIVES:
            return Ending.RESTART
        told = f"it was rebooted from inside {_MOST_SHORT_LIVES} times in a row, each time within {_SHORT:g} s"
        self._tracked.short_lives, self.use.lost = 0, MachineLostError(told)
        return Ending.STOP

    async def _keep_or_go_on(self, machine: Machine, ending: Ending) -> bool:
        try:
            await self._keep(machine.checkpoint)
        except MachineLostError:
            raise
        except (IngotError, OSError) as error:
            log.warning("a computer's files cannot be kept: %s", error, extra={"computer": self._tracked.computer.id})
            if self._ending is Ending.DROP:
                return True
            self._mark(ComputerStatus.STARTING, wanted=True, machine=machine.id, error=f"it cannot be stopped: {error}")
            if ending is Ending.CLOSE:
                self._abandon(machine)
                return True
            self._ending = None
            self.use.ending.clear()
            return False
        return True

    async def _keep(self, capture: Callable[[Path], Awaitable[Captured]]) -> None:
        """What the computer wrote since its start becomes its topmost layer."""
        tracked = self._tracked
        async with self._own.making(tracked.computer.id) as new:
            try:
                async with asyncio.timeout(_KEEPING):
                    await capture(new.place)
            except TimeoutError:
                raise DeadlineError(f"its files could not be kept within {_KEEPING:g} s", seconds=_KEEPING) from None
            name = await self._own.keep(new)
        tracked.set(layers=(*tracked.computer.layers, name), machine=None)
        await tracked.save()

    async def _wait_for_end(self, machine: Machine) -> None:
        """Until somebody asks for it, it has been idle for long enough, or its machine is gone."""
        while not self.use.ending.is_set():
            rest = _LOOK if self._start.idle is None else self._start.idle - self.use.idle()
            if rest <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK, rest)):
                    await self.use.ending.wait()
            self.use.check(machine)

    def _mark(self, status: ComputerStatus, **changes: Any) -> None:
        """One that is being deleted shows nothing else."""
        if self._tracked.computer.status is ComputerStatus.DELETING:
            status = ComputerStatus.DELETING
        self._tracked.set(status=status, **changes)


_MEANWHILE = {
    Ending.STOP: ComputerStatus.STOPPING,
    Ending.RESTART: ComputerStatus.RESTARTING,
    Ending.CLOSE: ComputerStatus.STOPPING,
    Ending.DROP: ComputerStatus.STOPPING,
}
_AFTER: Mapping[Ending | None, ComputerStatus] = {Ending.RESTART: ComputerStatus.RESTARTING}
