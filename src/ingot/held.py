"""Machines of failed builds, held as the failed step left them so that their accounts can look into them.

Each expires by itself. A machine comes here from the builder (`take`) and is held once the worker, which alone knows
how the attempt ends, says so (`keep`); what is not kept ends with the attempt. They are no computers: no row tells of
them, and nothing of them outlives the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from ingot.builder.left import LeftMachine
from ingot.errors import ConflictError, DeadlineError, MachineError, NotFoundError
from ingot.launcher.shell import run_command
from ingot.records.build import Build, HeldMachine
from ingot.records.computer import ShellResult
from ingot.records.machine import Command
from ingot.records.ref import Ref
from ingot.records.wire import iso_time
from ingot.storage.clock import now_ms

_CLOSE_SECONDS = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class HoldLimits:
    """`machines` are held at once, `account_machines` of them for one account; one more and the oldest goes."""

    machines: int = 2
    account_machines: int = 2


@dataclass(eq=False, slots=True)
class _Held:
    """`commands` run in it now."""

    record: HeldMachine
    left: LeftMachine
    expiry: asyncio.TimerHandle | None = None
    commands: set[asyncio.Task[ShellResult]] = field(default_factory=set)


class HeldMachines:
    """Use it as `async with`; leaving ends them all. To be called from tasks of one loop."""

    def __init__(self, limits: HoldLimits) -> None:
        self._limits = limits
        self._left: dict[str, LeftMachine] = {}
        self._held: dict[tuple[str, Ref], _Held] = {}
        self._ends: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in list(self._held.values()):
            self._release(held)
        if self._ends:
            _, late = await asyncio.wait(self._ends, timeout=_CLOSE_SECONDS)
            for task in late:
                _log.error("%s did not end in time; the next start sweeps", task.get_name(), extra={"action": "held"})

    # -- the build's side ----------------------------------------------------------------------------------

    def take(self, left: LeftMachine) -> None:
        """Owns what a build left, until its attempt ends."""
        self._left[left.build_id] = left

    @contextlib.asynccontextmanager
    async def attempt(self, build_id: str) -> AsyncIterator[None]:
        """Around an attempt: what its builder left and nobody kept is gone behind it; all of it when the attempt
        could not be ended in order, since it is tried again then."""
        try:
            yield
        except BaseException:
            for held in [held for held in self._held.values() if held.record.build_id == build_id]:
                await asyncio.shield(self._release(held))
            raise
        finally:
            left = self._left.pop(build_id, None)
            if left is not None:
                await asyncio.shield(self._start_end(left, set()))

    def keep(self, build: Build) -> HeldMachine | None:
        """Holds what the attempt's builder left, for as long as its flags say; None when it left nothing. Where that
        is more than may be held, the oldest go."""
        left = self._left.pop(build.id, None)
        if left is None:
            return None
        self._make_room(build.account, build.ref)
        now, seconds = now_ms(), build.flags.keep_on_failure
        record = HeldMachine(
            build.id, build.account, build.ref, build.attempt, left.phase, left.step, now, now + seconds * 1000
        )
        held = _Held(record, left)
        held.expiry = asyncio.get_running_loop().call_later(seconds, self._release, held)
        self._held[build.account, build.ref] = held
        _log.info("the machine of %s is held for %d s", build.ref, seconds, extra={"action": "held"})
        return record

    def _make_room(self, account: str, ref: Ref) -> None:
        if (account, ref) in self._held:
            self._release(self._held[account, ref])
        own = [held for held in self._held.values() if held.record.account == account]
        for held in own[: max(0, len(own) + 1 - self._limits.account_machines)]:
            self._release(held)
        for held in list(self._held.values())[: max(0, len(self._held) + 1 - self._limits.machines)]:
            self._release(held)

    # -- the account's side --------------------------------------------------------------------------------

    def get(self, account: str, ref: Ref) -> HeldMachine:
        """Raises NotFoundError `nothing_held`."""
        return self._find(account, ref).record

    async def bash(self, account: str, ref: Ref, command: str, timeout: float) -> ShellResult:
        """Runs a shell command as the failed step's commands ran, without their secrets. Raises NotFoundError
        `nothing_held`, also when the machine is ended meanwhile, and ConflictError `machine_lost` when it is of no use
        any more."""
        held = self._find(account, ref)
        wanted = Command(("/bin/bash", "-c", command), timeout, env=dict(held.left.env))
        task = asyncio.create_task(run_command(held.left.machine, wanted), name=f"command in {ref}")
        held.commands.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise _nothing_held(ref, f"the held machine of {ref} was ended while the command ran") from None
        except (MachineError, DeadlineError) as error:
            hint = f"end it with `ingot debug --end {ref}`"
            raise ConflictError(f"the held machine of {ref} fails: {error}", hint=hint, code="machine_lost") from error
        finally:
            held.commands.discard(task)

    async def end(self, account: str, ref: Ref) -> bool:
        """Ends what is held of the ref, and returns when nothing of it is left; False when nothing is held."""
        held = self._held.get((account, ref))
        if held is None:
            return False
        await asyncio.shield(self._release(held))
        return True

    def release(self, account: str, ref: Ref, *, but: str) -> None:
        """Ends what is held of the ref in the background, unless it is of the build `but`."""
        held = self._held.get((account, ref))
        if held is not None and held.record.build_id != but:
            self._release(held)

    def _find(self, account: str, ref: Ref) -> _Held:
        held = self._held.get((account, ref))
        if held is None:
            raise _nothing_held(ref, f"no machine of {ref} is held")
        return held

    # -- ends ----------------------------------------------------------------------------------------------

    def _release(self, held: _Held) -> asyncio.Task[None]:
        """From here on it is not held; the task ends when nothing of it is left."""
        self._held.pop((held.record.account, held.record.ref), None)
        if held.expiry is not None:
            held.expiry.cancel()
        _log.info("the held machine of %s ends", held.record.ref, extra={"action": "held"})
        return self._start_end(held.left, held.commands)

    def _start_end(self, left: LeftMachine, commands: set[asyncio.Task[ShellResult]]) -> asyncio.Task[None]:
        task = asyncio.create_task(_end(left, list(commands)), name=f"end of the machine of build {left.build_id}")
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)
        return task


def kept_line(held: HeldMachine) -> str:
    """What the build's log says of it."""
    until = iso_time(held.expires_ms)
    return f"the machine of the failed step is kept until {until}: look into it with `ingot debug {held.ref}`"


async def _end(left: LeftMachine, commands: list[asyncio.Task[ShellResult]]) -> None:
    for command in commands:
        command.cancel()
    await asyncio.gather(*commands, return_exceptions=True)
    await left.resources.aclose()


def _nothing_held(ref: Ref, told: str) -> NotFoundError:
    hint = f"`ingot build --keep-on-failure {ref}` keeps the machine of a step that fails"
    return NotFoundError(told, hint=hint, code="nothing_held")
