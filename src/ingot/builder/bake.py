"""One build under way: what its phases share, and the one way in which a step becomes a layer.

State only: what is to be done is in the plan, the order is in `run`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from ingot.builder.failures import failed, judge
from ingot.builder.leaks import find_leak
from ingot.builder.packages import describe_layer
from ingot.builder.plan import Plan, PlanStep
from ingot.builder.report import Output, Reporter
from ingot.builder.request import BuildRequest, BuildTools
from ingot.builder.seat import Seat
from ingot.builder.steps import Given, Script
from ingot.errors import BuildError, CorruptStoreError, IngotError
from ingot.machine.contract import Captured, Keep, Machine
from ingot.records.build import FailureCode, StepRecord, StepState
from ingot.records.event import Level, Phase
from ingot.records.layer import Golden, Layer
from ingot.records.machine import Command, CommandResult, MachineSpec
from ingot.records.step_line import (
    format_step_cached,
    format_step_done,
    format_step_failed,
    format_step_run,
    step_title,
)
from ingot.storage.clock import now_ms

BUILDER = "builder"
Work = Callable[["Bake", PlanStep, Machine], Awaitable[None]]


@dataclass(slots=True)
class Bake:
    """`stack` are the layers that are done, base first; `scratch` a directory of this build's own; `source_files`
    maps a fetched URL to its file there; `step` and `output` are what runs now, `running` the step that is made in
    the machine, or failed there. `timings_ms` is by phase, `step_ms` by step."""

    request: BuildRequest
    tools: BuildTools
    report: Reporter
    seat: Seat
    spec: MachineSpec
    scratch: Path
    hold: Callable[[str], None]
    phase: Phase = Phase.COMPILE
    given: Given = field(default_factory=Given)
    plan: Plan | None = None
    stack: list[Layer] = field(default_factory=list)
    source_files: dict[str, Path] = field(default_factory=dict)
    warned: set[str] = field(default_factory=set)
    step: str | None = None
    running: PlanStep | None = None
    output: Output | None = None
    timings_ms: dict[str, int] = field(default_factory=dict)
    step_ms: dict[int, int] = field(default_factory=dict)
    manifest: dict[str, object] = field(default_factory=dict)
    golden: Golden | None = None

    async def say(self, line: str, source: str | None = BUILDER) -> None:
        await self.report.say(line, source=source)

    async def warn(self, line: str) -> None:
        await self.report.say(line, level=Level.WARN, source=BUILDER)

    @property
    def decided(self) -> Plan:
        assert self.plan is not None, "compile makes the plan before any other phase"
        return self.plan

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(layer.key for layer in self.stack)

    async def machine(self) -> Machine:
        """The machine on top of what is done; its limits that the host cannot enforce are told once."""
        machine = await self.seat.at(self.keys)
        for warning in machine.warnings:
            if warning not in self.warned:
                self.warned.add(warning)
                await self.warn(warning)
        return machine

    async def run(self, command: Command, source: str, title: str) -> None:
        """Runs a command whose output belongs to the log; BuildError for one that fails."""
        machine = await self.machine()
        async with self.report.output(source) as output:
            self.output = output
            result = await machine.exec(command, output.write)
        await self.judge(result, output, title, command.timeout)

    async def judge(self, result: CommandResult, output: Output, title: str, timeout: float) -> None:
        error = judge(result, title, output.last_lines(), timeout)
        if error is not None:
            raise error
        if result.memory_killed:
            await self.warn(f"{title}: the memory limit killed a process, but the command ended well")

    async def obey(self, step: PlanStep, work: Work) -> None:
        """Brings a step about: reuses its layer, or does `work` in the machine and captures the result."""
        self.step = step.title
        if step.reuse:
            await self._reuse(step, step.reason)
            return
        async with self._made_alone(step):
            layer = None if self.given.salt else self.tools.layers.get(step.key)
            if layer is not None and step.makes_layer:
                await self._reuse(step, "another build made it meanwhile")
            else:
                await self._make(step, work)
        self.step = None

    async def _reuse(self, step: PlanStep, reason: str) -> None:
        if step.makes_layer:
            self.hold(step.key)
            self.stack.append(await self._known(step.key))
        await self.say(format_step_cached(step.index, self._total(step), step.title, reason))
        await self._record(step, StepState.REUSED, now_ms(), 0, reason)
        self.step = None

    async def _known(self, key: str) -> Layer:
        """Its parts may be in the object store alone: a machine fetches them when it needs them."""
        layer = await self.tools.layers.look_up(key)
        if layer is None:
            raise CorruptStoreError(f"layer {key[:12]} went away while the build ran", hint="build again")
        return layer

    async def _make(self, step: PlanStep, work: Work) -> None:
        begun, started = time.monotonic(), now_ms()
        self.running = step
        await self._record(step, StepState.RUNNING, started, None, step.reason)
        await self.say(format_step_run(step.index, self._total(step), step.title, step.reason))
        try:
            if step.makes_layer:
                await self._make_layer(step, work, begun)
            else:
                await work(self, step, await self.machine())
        except IngotError as error:
            await self._tell_failed(step, started, time.monotonic() - begun, _why(error))
            raise
        except asyncio.CancelledError:
            with contextlib.suppress(IngotError):  # the cancellation comes first
                await self._tell_failed(step, started, time.monotonic() - begun, "stopped")
            raise
        self.running = None
        seconds = time.monotonic() - begun
        self.step_ms[step.index] = round(seconds * 1000)
        await self._record(step, StepState.DONE, started, round(seconds * 1000), step.reason)
        await self.say(format_step_done(step.index, self._total(step), step.title, seconds))

    async def _tell_failed(self, step: PlanStep, started: int, seconds: float, why: str) -> None:
        await self._record(step, StepState.FAILED, started, round(seconds * 1000), step.reason)
        await self.say(format_step_failed(step.index, self._total(step), step.title, seconds, why))

    async def _make_layer(self, step: PlanStep, work: Work, begun: float) -> None:
        machine = await self.machine()
        async with self.tools.layers.stage() as parts:
            await work(self, step, machine)
            captured = await machine.checkpoint(parts, step.keeps)
            await self._look_for_leaks(step, parts)
            described = await asyncio.to_thread(describe_layer, parts)
            if needs := await asyncio.to_thread(self.tools.backend.needs, parts):
                described["needs"] = dict(needs)
            layer = self._layer(step, captured, described, round((time.monotonic() - begun) * 1000))
            self.hold(layer.key)
            layer = await self.tools.layers.publish(layer, parts)
        self.seat.advance(layer.key)
        self.stack.append(layer)
        if step.keeps is Keep.FILES and self.tools.backend.keeps_running:
            await self.seat.vacate()  # what is captured later must come from a machine that never held the secret
        self.tools.archive.start(layer, self.tools.layers.parts(layer.key))

    def _layer(self, step: PlanStep, captured: Captured, described: dict[str, object], took_ms: int) -> Layer:
        info = {**described, "content": dict(step.content), "base": self.decided.base.key, "took_ms": took_ms}
        return Layer(
            key=step.key,
            parent=step.parent,
            kind=step.kind,
            title=step_title(step.title),
            backend=self.tools.backend.name,
            created_ms=now_ms(),
            size_bytes=captured.size_bytes,
            files=captured.files,
            info=info,
        )

    async def _look_for_leaks(self, step: PlanStep, parts: Path) -> None:
        if not isinstance(step.work, Script) or not step.work.secrets:
            return
        values = {name: self.request.secrets[name] for name in step.work.secrets}
        try:
            found = await asyncio.to_thread(find_leak, parts, values)
        except OSError as error:
            raise failed(
                FailureCode.STEP_FAILED, f"what it left cannot be searched for secrets: {error}", step.title
            ) from error
        if found is not None:
            message = (
                f"{step.title} left the value of the secret {found[0]} in {found[1]}; remove it within the same step"
            )
            raise failed(FailureCode.STEP_FAILED, message, step.title)

    @contextlib.asynccontextmanager
    async def _made_alone(self, step: PlanStep) -> AsyncIterator[None]:
        """No two builds make the same layer at the same time; the second one waits and reuses."""

        async def waiting() -> None:
            await self.say(f"another build is making {step_title(step.title)}; waiting for it")

        if not step.makes_layer or self.given.salt:
            yield
            return
        deadline = self.request.limits.step_timeout
        async with self.tools.layers.making(step.key, deadline=deadline, waiting=waiting):
            yield

    async def _record(self, step: PlanStep, state: StepState, started: int, took_ms: int | None, reason: str) -> None:
        layer = step.key if step.makes_layer and state in (StepState.REUSED, StepState.DONE) else None
        title = step_title(step.title)
        record = StepRecord(step.index, title, step.phase, step.source, reason, state, started, took_ms, layer)
        await self.report.step(record)

    def _total(self, step: PlanStep) -> int:
        return max(len(self.decided.steps), step.index)


def _why(error: IngotError) -> str:
    if isinstance(error, BuildError):
        failure = error.failure
        if failure.exit_code is not None and failure.code is FailureCode.STEP_FAILED:
            return f"exit code {failure.exit_code}"
        return failure.code.value.replace("_", " ") if failure.code is not FailureCode.STEP_FAILED else failure.message
    return str(error)
