"""One computer's life: a task that opens its machine, starts what the template says, waits for its end, closes.

The task owns the machine: whoever ends the task, by `end` or by cancelling it, has everything removed. It promises
to keep no secret longer than the computer lives, and none outside of memory and the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ingot.errors import ConflictError, IngotError, MachineLostError
from ingot.guest.boot import BootCommand, machine_environment, plan_boot, plan_shutdown
from ingot.launcher.shell import run_command
from ingot.machine.contract import Backend, Machine
from ingot.records.computer import Computer, ComputerStatus, ShellResult
from ingot.records.machine import Command, GuestFile
from ingot.records.template import Template

log = logging.getLogger(__name__)

_SHUTDOWN = 10.0


@dataclass(frozen=True, slots=True)
class Start:
    """What a computer is started from. `secrets` maps declared names to values; `idle` is after how many seconds
    without a command it ends by itself (None: never)."""

    template: Template
    stack: tuple[Path, ...]
    secrets: Mapping[str, str] = field(repr=False)
    idle: float | None


class Life:
    """`computer` is how it is now; `over` is set when nothing of it is left on the host."""

    def __init__(self, computer: Computer, start: Start, backend: Backend) -> None:
        self.computer = computer
        self.settled = asyncio.Event()
        self._start = start
        self._backend = backend
        self._machine: Machine | None = None
        self._end = asyncio.Event()
        self._busy = 0
        self._used = _now()
        self._env = machine_environment(start.template, start.secrets)
        self.task = asyncio.create_task(self._live(), name=f"computer {computer.instance_id}")

    @property
    def env(self) -> Mapping[str, str]:
        """The template's environment, secrets filled in."""
        return self._env

    async def end(self) -> None:
        """Ends the computer and returns when nothing of it is left."""
        if self._machine is None:
            self.task.cancel()
        self._end.set()
        await asyncio.wait([self.task])

    async def run(self, command: Command) -> ShellResult:
        """Runs a command. ConflictError when the computer does not run (any more)."""
        machine = self._machine
        if machine is None or self._end.is_set():
            raise ConflictError(
                f"the computer is {self.computer.status}", hint="commands need one that is running", code="not_running"
            )
        self._busy += 1
        try:
            return await self._unless_ended(run_command(machine, command))
        except MachineLostError as error:
            self._note(ComputerStatus.ERROR, str(error))
            self._end.set()
            raise ConflictError(
                "the computer's machine is gone", hint="start another one", code="machine_lost"
            ) from error
        finally:
            self._busy -= 1
            self._used = _now()

    async def _unless_ended(self, work: Coroutine[Any, Any, ShellResult]) -> ShellResult:
        """The result; ConflictError when the computer ends meanwhile, after the command was killed."""
        running, ending = asyncio.create_task(work), asyncio.create_task(self._end.wait())
        try:
            await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                raise ConflictError("the computer ended while the command ran", code="not_running")
            return running.result()
        finally:
            for task in (running, ending):
                task.cancel()
            await asyncio.gather(running, ending, return_exceptions=True)

    async def _live(self) -> None:
        try:
            label = f"computer {self.computer.instance_id} {self.computer.ref}"
            async with self._backend.open(self.computer.spec, self._start.stack, label=label) as machine:
                self._note(ComputerStatus.STARTING)
                problems = await self._boot(machine)
                self._machine, self._used = machine, _now()
                self._note(ComputerStatus.RUNNING, "; ".join(problems) or None)
                await self._wait_for_end()
                await self._shut_down(machine)
        except IngotError as error:
            log.warning("computer failed", extra={"action": "computer_failed", "computer": self.computer.id})
            self._note(ComputerStatus.ERROR, str(error))
        except Exception:
            log.exception("computer failed", extra={"action": "computer_failed", "computer": self.computer.id})
            self._note(ComputerStatus.ERROR, "an error of Ingot's own; see the server's log")
        finally:
            self._machine = None
            self._env, self._start = {}, replace(self._start, secrets={})
            self._end.set()
            if self.computer.status is not ComputerStatus.ERROR:
                self._note(ComputerStatus.STOPPED)

    async def _boot(self, machine: Machine) -> list[str]:
        """Secrets, hooks and services, in their order; what failed, in words."""
        start = self._start
        boot = plan_boot(start.template, start.secrets)
        files = (*_environment_file(start.secrets), *boot.files)
        if files:
            await machine.put(files)
        return [problem for command in boot.commands if (problem := await _try(machine, command)) is not None]

    async def _shut_down(self, machine: Machine) -> None:
        if self.computer.status is ComputerStatus.ERROR:
            return
        self._note(ComputerStatus.STOPPING)
        with contextlib.suppress(TimeoutError, IngotError):
            async with asyncio.timeout(_SHUTDOWN):
                for command in plan_shutdown(self._start.template, self._start.secrets):
                    await _try(machine, command)

    async def _wait_for_end(self) -> None:
        while not self._end.is_set():
            rest = None if self._start.idle is None else self._used + self._start.idle - _now()
            if rest is not None and rest <= 0 and not self._busy:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if rest is None else max(rest, 1.0 if self._busy else 0.0)):
                    await self._end.wait()

    def _note(self, status: ComputerStatus, error: str | None = None) -> None:
        self.computer = replace(self.computer, status=status, error=error or self.computer.error)
        if status in (ComputerStatus.RUNNING, ComputerStatus.ERROR, ComputerStatus.STOPPED):
            self.settled.set()


async def _try(machine: Machine, command: BootCommand) -> str | None:
    """None when it went well, else what failed and how."""
    result = await run_command(machine, command.command)
    if result.exit_code == 0:
        return None
    last = result.output.strip().splitlines()[-1:] or ["it printed nothing"]
    return f"{command.name} ended with status {result.exit_code}: {last[0][:200]}"


def _environment_file(secrets: Mapping[str, str]) -> Sequence[GuestFile]:
    """`/root/.env`: a line a secret, its name as a variable's, its value quoted for a shell."""
    lines = [f"{name.upper().replace('-', '_')}={shlex.quote(value)}\n" for name, value in sorted(secrets.items())]
    return [GuestFile("/root/.env", "".join(lines).encode(), 0o600)] if lines else []


def _now() -> float:
    return asyncio.get_running_loop().time()
