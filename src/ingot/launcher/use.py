"""What users do with a computer while it runs: it is counted, since a computer that nobody uses may be ended, it is
bounded, and it is broken off when the computer ends.

Every method raises ConflictError `not_running` when the computer does not run (any more), `machine_lost` when its
machine is gone, and with the machine's own code for what that cannot do, or not in time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ingot.errors import CapacityError, ConflictError, DeadlineError, MachineError, MachineLostError
from ingot.launcher.shell import run_command
from ingot.launcher.tracked import Tracked
from ingot.machine.contract import REBOOTED, Captured, Machine, Terminal, Viewer
from ingot.records.computer import ShellResult
from ingot.records.machine import Command

T = TypeVar("T")

MOST_VIEWERS = MOST_TERMINALS = 8


@dataclass(slots=True)
class _Places:
    """How many may do something at once; `full` is what one too many is told."""

    most: int
    full: str
    taken: int = 0

    def check(self) -> None:
        if self.taken >= self.most:
            raise CapacityError(self.full, retry_after=30)


class Use:
    """`ending` is set when the computer is to end: what goes on is broken off. `lost` is why its machine is gone, where
    it ended by itself. `env` is the template's environment, secrets filled in."""

    def __init__(self, tracked: Tracked, env: Mapping[str, str], *, has_screen: bool) -> None:
        self.env = env
        self.ending = asyncio.Event()
        self.lost: MachineLostError | None = None
        self._tracked = tracked
        self._has_screen = has_screen
        self._machine: Machine | None = None
        self._copying = asyncio.Lock()
        self._busy = 0
        self._last = _now()
        self._viewers = _Places(MOST_VIEWERS, f"the computer's screen has {MOST_VIEWERS} viewers already")
        self._terminals = _Places(MOST_TERMINALS, f"the computer has {MOST_TERMINALS} terminals open already")

    # -- asked for by users --------------------------------------------------------------------------------

    async def run(self, command: Command) -> ShellResult:
        """Runs a command."""
        return await self._use(lambda machine: run_command(machine, command), "the command ran")

    async def look(self, command: Command) -> ShellResult:
        """Runs a command that only looks at the computer: for its idleness it is none."""
        return await self._work(lambda machine: run_command(machine, command), "it was looked at")

    async def copy(self, into: Path) -> Captured:
        """What the computer wrote since its start, into an empty directory."""
        async with self._copying:
            return await self._use(lambda machine: machine.copy(into), "it was copied")

    async def screenshot(self) -> bytes:
        """A PNG. ConflictError `no_screen` when it has none."""
        self._check_screen()
        return await self._use(lambda machine: machine.screenshot(), "its screen was looked at")

    def viewing(self) -> AbstractAsyncContextManager[Viewer]:
        """A connection to its screen; while there is one the computer is not idle. The same errors, and CapacityError
        for one too many."""
        self._check_screen()
        return self._occupied(self._viewers, _viewed)

    def terminal(self, cols: int, rows: int) -> AbstractAsyncContextManager[Terminal]:
        """A login shell of root with the template's environment. As for `viewing`, but every computer has it."""
        return self._occupied(self._terminals, lambda machine: machine.terminal(cols, rows, self.env))

    # -- asked for by the computer's life ------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether the computer runs."""
        return self._machine is not None

    def begin(self, machine: Machine) -> None:
        """The computer runs."""
        self._machine, self._last = machine, _now()

    def check(self, machine: Machine) -> None:
        """Sets `lost` and `ending` where the machine is gone."""
        try:
            machine.check()
        except MachineLostError as error:
            self._lose(error)

    def idle(self) -> float:
        """For how many seconds nobody has used it."""
        return 0.0 if self._busy else _now() - self._last

    async def cease(self) -> None:
        """The computer does not run any more. Returns when nobody copies it."""
        self._machine = None
        self.ending.set()
        async with self._copying:
            pass

    def forget(self) -> None:
        """It is over: no secret stays."""
        self._machine, self.env = None, {}
        self.ending.set()

    # -- how it is done ------------------------------------------------------------------------------------

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
            self._rest()

    async def _use(self, work: Callable[[Machine], Coroutine[None, None, T]], what: str) -> T:
        self._busy += 1
        try:
            return await self._work(work, what)
        finally:
            self._rest()

    def _rest(self) -> None:
        self._busy -= 1
        self._last = _now()

    async def _work(self, work: Callable[[Machine], Coroutine[None, None, T]], what: str) -> T:
        machine = self._running_machine()
        with self._telling():
            return await self._unless_ended(work(machine), what)

    def _check_screen(self) -> None:
        if not self._has_screen:
            hint = "computers that are virtual machines have one"
            raise ConflictError("this computer has no screen", hint=hint, code="no_screen")

    def _running_machine(self) -> Machine:
        if self._machine is None or self.ending.is_set():
            told, hint = f"the computer is {self._tracked.computer.status}", "commands need one that is running"
            raise ConflictError(told, hint=hint, code="not_running")
        return self._machine

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except MachineLostError as error:
            raise self._lose(error) from error
        except (MachineError, DeadlineError) as error:
            raise ConflictError(error.message, hint=error.hint, code=error.code) from error

    def _lose(self, error: MachineLostError) -> ConflictError:
        """The computer is to end; what its user is told."""
        self.lost = error
        self.ending.set()
        hint = "start it again"
        if self._tracked.computer.test_run:
            hint = "start another one"
        elif error.code == REBOOTED:
            hint = "it comes up again by itself: try again then"
        return ConflictError(f"the computer's machine is gone: {error.message}", hint=hint, code="machine_lost")

    async def _unless_ended(self, work: Coroutine[None, None, T], what: str) -> T:
        """The result; ConflictError when the computer ends meanwhile, after the work was ended."""
        running, ending = asyncio.create_task(work), asyncio.create_task(self.ending.wait())
        try:
            await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise ConflictError(f"the computer ended while {what}", code="not_running")
            return running.result()
        finally:
            for task in (running, ending):
                task.cancel()
            await asyncio.gather(running, ending, return_exceptions=True)


@contextlib.asynccontextmanager
async def _viewed(machine: Machine) -> AsyncIterator[Viewer]:
    reader, writer = await machine.view_screen()
    try:
        yield reader, writer
    finally:
        writer.close()


def _now() -> float:
    return asyncio.get_running_loop().time()
