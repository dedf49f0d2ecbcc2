"""One computer's time with a machine: a task that opens it, starts what the template says, waits for its end, keeps
what it wrote, and closes it.

The task owns the machine: whoever ends the task, by `end`, `drop` or by cancelling it, has everything removed. It
promises to keep no secret longer than the machine lives, and none outside of memory and the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar

from ingot.errors import (
    CapacityError,
    ConflictError,
    DeadlineError,
    IngotError,
    MachineError,
    MachineLostError,
)
from ingot.guest.boot import machine_environment
from ingot.launcher.merging import Merging
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.recovery import take_up
from ingot.launcher.shell import run_command
from ingot.launcher.supplies import Start
from ingot.launcher.switching import boot, shut_down
from ingot.launcher.tracked import Tracked, words_of
from ingot.machine.contract import POWERED_OFF, Backend, Captured, Machine, Terminal, Viewer
from ingot.records.computer import ComputerStatus, ShellResult
from ingot.records.machine import Command
from ingot.records.template import Template

log = logging.getLogger(__name__)

T = TypeVar("T")

MOST_VIEWERS = MOST_TERMINALS = 8
_KEEPING = 600.0
_LOOK = 1.0


class Ending(Enum):
    """How a life ends: its files kept and the computer stopped, about to be started again, or to be started again by
    the next server; or with nothing kept."""

    STOP = "stop"
    RESTART = "restart"
    CLOSE = "close"
    DROP = "drop"


@dataclass(slots=True)
class _Places:
    """How many may do something at once; `full` is what one too many is told."""

    most: int
    full: str
    taken: int = 0

    def check(self) -> None:
        if self.taken >= self.most:
            raise CapacityError(self.full, retry_after=30)


class Life:
    """`settled` is set when the computer runs for the first time, or is over. The row is written as it changes."""

    def __init__(self, tracked: Tracked, start: Start, backend: Backend, own: OwnLayers, merging: Merging) -> None:
        self.settled = asyncio.Event()
        self._tracked = tracked
        self._start = start
        self._backend = backend
        self._own = own
        self._merging = merging
        self._machine: Machine | None = None
        self._end = asyncio.Event()
        self._ending: Ending | None = None
        self._verdict: asyncio.Future[bool] | None = None
        self._lost: MachineLostError | None = None
        self._ran = self._abandoned = False
        self._copying = asyncio.Lock()
        self._busy = 0
        self._viewers = _Places(MOST_VIEWERS, f"the computer's screen has {MOST_VIEWERS} viewers already")
        self._terminals = _Places(MOST_TERMINALS, f"the computer has {MOST_TERMINALS} terminals open already")
        self._used = _now()
        self._env = machine_environment(start.template, start.secrets)
        self.task = asyncio.create_task(self._live(), name=f"computer {tracked.computer.instance_id}")
        self.task.add_done_callback(lambda _: self.settled.set())

    @property
    def template(self) -> Template:
        return self._start.template

    @property
    def env(self) -> Mapping[str, str]:
        """The template's environment, secrets filled in."""
        return self._env

    async def end(self, ending: Ending) -> bool:
        """Ends a computer that runs, its files kept. True when nothing of its machine is left; False when its files
        cannot be kept, so that it runs on and says why in `error`."""
        self._verdict = verdict = asyncio.get_running_loop().create_future()
        self._ending = ending
        self._end.set()
        await asyncio.wait([verdict, self.task], return_when=asyncio.FIRST_COMPLETED)
        return verdict.result() if verdict.done() else True

    async def drop(self) -> None:
        """Ends it whatever it does, nothing kept. When this returns nothing of its machine is left."""
        if self._machine is None:
            self.task.cancel()
        self._ending = Ending.DROP
        self._end.set()
        await asyncio.wait([self.task])

    async def run(self, command: Command) -> ShellResult:
        """Runs a command. ConflictError when the computer does not run (any more)."""
        return await self._use(lambda machine: run_command(machine, command), "the command ran")

    async def look(self, command: Command) -> ShellResult:
        """Runs a command that only looks at the computer: for its idleness it is none. The same errors."""
        return await self._work(lambda machine: run_command(machine, command), "it was looked at")

    async def copy(self, into: Path) -> Captured:
        """What the computer wrote since its start, into an empty directory. ConflictError when it does not run."""
        async with self._copying:
            return await self._use(lambda machine: machine.copy(into), "it was copied")

    async def screenshot(self) -> bytes:
        """A PNG. ConflictError when it does not run, or has no screen."""
        self._check_screen()
        return await self._use(lambda machine: machine.screenshot(), "its screen was looked at")

    def viewing(self) -> AbstractAsyncContextManager[Viewer]:
        """A connection to its screen; while there is one the computer is not idle. The same errors, and CapacityError
        for one too many."""
        self._check_screen()
        return self._occupied(self._viewers, _viewed)

    def terminal(self, cols: int, rows: int) -> AbstractAsyncContextManager[Terminal]:
        """A login shell of root with the template's environment. As for `viewing`, but every computer has it."""
        return self._occupied(self._terminals, lambda machine: machine.terminal(cols, rows, self._env))

    @contextlib.asynccontextmanager
    async def _occupied(
        self, places: _Places, connect: Callable[[Machine], AbstractAsyncContextManager[T]]
    ) -> AsyncIterator[T]:
        machine = self._running_machine()
        places.check()
        places.taken += 1
        self._busy += 1
        try:
            async with contextlib.AsyncExitStack() as connecting:
                with self._telling():
                    connected = await connecting.enter_async_context(connect(machine))
                yield connected
        finally:
            places.taken -= 1
            self._busy -= 1
            self._used = _now()

    def _check_screen(self) -> None:
        if not self._backend.has_screen:
            hint = "computers that are virtual machines have one"
            raise ConflictError("this computer has no screen", hint=hint, code="no_screen")

    def _running_machine(self) -> Machine:
        if self._machine is None or self._end.is_set():
            raise ConflictError(
                f"the computer is {self._tracked.computer.status}",
                hint="commands need one that is running",
                code="not_running",
            )
        return self._machine

    async def _use(self, work: Callable[[Machine], Coroutine[Any, Any, T]], what: str) -> T:
        self._busy += 1
        try:
            return await self._work(work, what)
        finally:
            self._busy -= 1
            self._used = _now()

    async def _work(self, work: Callable[[Machine], Coroutine[Any, Any, T]], what: str) -> T:
        machine = self._running_machine()
        with self._telling():
            return await self._unless_ended(work(machine), what)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """What the machine cannot do, or not in time, is a ConflictError; with a lost one the life ends."""
        try:
            yield
        except MachineLostError as error:
            raise self._lose(error) from error
        except (MachineError, DeadlineError) as error:
            raise ConflictError(error.message, hint=error.hint, code=error.code) from error

    def _lose(self, error: MachineLostError) -> ConflictError:
        """The life ends; what its user is told."""
        self._lost = error
        self._end.set()
        return ConflictError("the computer's machine is gone", hint="start another one", code="machine_lost")

    async def _unless_ended(self, work: Coroutine[Any, Any, T], what: str) -> T:
        """The result; ConflictError when the computer ends meanwhile, after the work was ended."""
        running, ending = asyncio.create_task(work), asyncio.create_task(self._end.wait())
        try:
            await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise ConflictError(f"the computer ended while {what}", code="not_running")
            return running.result()
        finally:
            for task in (running, ending):
                task.cancel()
            await asyncio.gather(running, ending, return_exceptions=True)

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
            self._machine = None
            self._env, self._start = {}, replace(self._start, secrets={})
            self._end.set()
            await self._close(failure)

    @contextlib.asynccontextmanager
    async def _losing_nothing(self, machine: Machine) -> AsyncIterator[None]:
        """A machine whose end comes before its files are kept leaves its disk behind, and its row names it. The row of
        any other forgets it before it is removed: there is nothing then that a later server could recover."""
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
        if self._abandoned and self._ending is not Ending.CLOSE:
            self._mark(ComputerStatus.STOPPING)
            await take_up(self._tracked, self._backend, self._own)

    async def _take_up_after(self, error: Exception) -> str | None:
        """The same after a failure; all that went wrong, in words. One that switched itself off is no failure."""
        went_off = isinstance(error, MachineLostError) and error.code == POWERED_OFF and self._ran
        told = [] if went_off else [words_of(error)]
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
            self._mark(_AFTER.get(self._ending, ComputerStatus.STOPPED))
        await self._tracked.note()

    async def _begin(self, machine: Machine) -> None:
        """Boots and waits until something asks for the end."""
        start, tracked = self._start, self._tracked
        problems = await boot(machine, start.template, start.secrets, again=bool(tracked.computer.layers))
        self._machine, self._used, self._ran = machine, _now(), True
        told = [tracked.computer.error, machine.not_resumed, *problems]
        self._mark(ComputerStatus.RUNNING, error="; ".join(filter(None, told)) or None)
        await tracked.note()
        self.settled.set()
        if self._verdict is not None and not self._verdict.done():
            self._verdict.set_result(False)
        await self._wait_for_end(machine)

    async def _finish(self, machine: Machine) -> bool:
        """Whether the machine can go: False when what the computer wrote cannot be kept."""
        self._machine = None
        self._end.set()
        async with self._copying:
            pass
        if self._ending is None:
            self._ending = Ending.DROP if self._tracked.computer.test_run else Ending.STOP
        ending = self._ending
        if self._lost is not None:
            self._tracked.set(wanted=ending is Ending.CLOSE)
            raise self._lost
        self._mark(_MEANWHILE[ending], wanted=ending in (Ending.RESTART, Ending.CLOSE))
        await self._tracked.note()
        await shut_down(machine, self._start.template, self._start.secrets, for_good=ending is Ending.DROP)
        return ending is Ending.DROP or await self._keep_or_go_on(machine, ending)

    async def _keep_or_go_on(self, machine: Machine, ending: Ending) -> bool:
        try:
            await self._keep(machine.checkpoint)
        except MachineLostError:
            raise
        except (IngotError, OSError) as error:
            log.warning("a computer's files cannot be kept: %s", error, extra={"computer": self._tracked.computer.id})
            self._mark(ComputerStatus.STARTING, wanted=True, machine=machine.id, error=f"it cannot be stopped: {error}")
            if ending is Ending.CLOSE:
                self._abandon(machine)
                return True
            self._ending = None
            self._end.clear()
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
        while not self._end.is_set():
            rest = _LOOK if self._start.idle is None else self._used + self._start.idle - _now()
            if rest <= 0 and not self._busy:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(_LOOK, rest if rest > 0 else _LOOK)):
                    await self._end.wait()
            try:
                machine.check()
            except MachineLostError as error:
                self._lose(error)

    def _mark(self, status: ComputerStatus, **changes: Any) -> None:
        """One that is being deleted shows nothing else."""
        if self._tracked.computer.status is ComputerStatus.DELETING:
            status = ComputerStatus.DELETING
        self._tracked.set(status=status, **changes)


@contextlib.asynccontextmanager
async def _viewed(machine: Machine) -> AsyncIterator[Viewer]:
    reader, writer = await machine.view_screen()
    try:
        yield reader, writer
    finally:
        writer.close()


_MEANWHILE = {
    Ending.STOP: ComputerStatus.STOPPING,
    Ending.RESTART: ComputerStatus.RESTARTING,
    Ending.CLOSE: ComputerStatus.STOPPING,
    Ending.DROP: ComputerStatus.STOPPING,
}
_AFTER: Mapping[Ending | None, ComputerStatus] = {Ending.RESTART: ComputerStatus.RESTARTING}


def _now() -> float:
    return asyncio.get_running_loop().time()
