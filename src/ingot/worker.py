"""Claims builds, runs them, and ends each with exactly one terminal frame.

The order at an end: the queue seals the attempt → terminal frame durable → status committed → readers see the frame.
A worker that is asked to stop leaves its builds running in the queue: the next start goes on from their
last layer, under the same attempt. It promises to leave no machine behind, however it ends, but the one of a step that
failed in a build that was to keep it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ingot.announce import accepted_line, tell_waiting
from ingot.builder.failures import as_build_error
from ingot.builder.report import Reporter
from ingot.builder.request import BuildRequest
from ingot.errors import (
    BuildError,
    ConflictError,
    IngotError,
    NotFoundError,
    StaleEpochError,
    lacks_room,
)
from ingot.events.frames import TerminalFrame
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.events.writer import LogWriter
from ingot.held import HeldMachines, kept_line
from ingot.queue.builds import BuildQueue
from ingot.records.build import CANCELLED_ON_REQUEST, Build, BuildState, Failure, FailureCode, StepRecord
from ingot.records.event import Level, Phase, Result
from ingot.records.layer import Golden

log = logging.getLogger(__name__)

SERVERS_LIMIT = 5
"""An attempt that outlived this many servers ends: it is likely what kills them."""

_HOUSEKEEPING_SECONDS = 1.0
_ROOM_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ends: with a golden, or with a failure."""

    golden_key: str | None = None
    manifest: Mapping[str, Any] | None = None
    failure: Failure | None = None

    @property
    def result(self) -> Result:
        return Result.READY if self.failure is None else self.failure.code.result

    @property
    def state(self) -> BuildState:
        return BuildState.READY if self.failure is None else BuildState.FAILED


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the wiring gives a worker. `prepare` looks up the document and the secrets of a claimed build (raises
    IngotError when they are gone); `build` makes the golden; `take_over`
    ends an attempt that stands for a golden that is there; `reveal` has all secret values of an account, to be
    redacted; `ended` counts an attempt that is over, with its seconds; `held` has the machines that `build` left. The
    build's deadline is the builder's."""

    prepare: Callable[[Build], Awaitable[BuildRequest]]
    build: Callable[[BuildRequest, Reporter], Awaitable[Golden]]
    take_over: Callable[[Build, str], Awaitable[Build]]
    reveal: Callable[[str], Awaitable[Mapping[str, str]]]
    ended: Callable[[Result, float], None]
    held: HeldMachines


class Worker:
    """Runs until it is cancelled. One per process; the queue bounds how many builds run at once."""

    def __init__(self, queue: BuildQueue, logs: EventLogs, workshop: Workshop) -> None:
        self._queue = queue
        self._logs = logs
        self._workshop = workshop
        self._running: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        self._places: dict[str, int] = {}

    async def settle(self) -> None:
        """Where a log has its end and the status has not, the server died in between: the status follows the log.
        To be called before anything is served, so that nobody sees the two differ."""
        for build in await self._queue.unfinished():
            stored = await self._logs.log(build.id)
            if stored is not None and stored.terminal is not None:
                await self._follow_log(await self._queue.reclaim(build.id), stored.terminal)

    async def run(self) -> None:
        """Goes on with what the last server left, then claims and runs builds until it is cancelled."""
        async with asyncio.TaskGroup() as builds:
            for build in await self._queue.unfinished():
                await self._continue(builds, build)
            seen = -1
            while True:
                seen = await self._queue.wait_change(seen, _HOUSEKEEPING_SECONDS)
                await self._stop_cancelled()
                await self._end_expired()
                while (claimed := await self._queue.claim()) is not None:
                    self._start(builds, claimed)
                await self._tell_places()

    # -- going on after a crash ------------------------------------------------------------------------------

    async def _continue(self, builds: asyncio.TaskGroup, build: Build) -> None:
        """An attempt that the last server left: run on from its last layer, or end like the build it waited for."""
        leader = await self._queue.get(build.joined_to) if build.joined_to is not None else None
        if build.state is BuildState.JOINED and leader is not None:
            await self._end_unstarted(build, _outcome_for(build, leader))
        elif build.cancel_requested:
            await self._end_unstarted(build, Outcome(failure=CANCELLED_ON_REQUEST))
        elif build.reused and build.golden_key is not None:
            await self._workshop.take_over(await self._queue.reclaim(build.id), build.golden_key)
        elif build.started_ms is None:
            await self._end_unstarted(build, _expired(build))
        else:
            self._start(builds, await self._queue.reclaim(build.id))

    def _start(self, builds: asyncio.TaskGroup, build: Build) -> None:
        self._places.pop(build.id, None)
        task = builds.create_task(self._run(build), name=f"build {build.ref}")
        self._running[build.id] = task
        task.add_done_callback(lambda _: self._forget(build.id))

    def _forget(self, build_id: str) -> None:
        self._running.pop(build_id, None)
        self._cancelled.discard(build_id)

    # -- housekeeping ------------------------------------------------------------------------------------------

    async def _stop_cancelled(self) -> None:
        for build in await self._queue.cancels():
            task = self._running.get(build.id)
            if task is not None and build.id not in self._cancelled:
                self._cancelled.add(build.id)
                task.cancel()
            elif task is None and build.state in (BuildState.QUEUED, BuildState.JOINED):
                await self._end_unstarted(build, Outcome(failure=CANCELLED_ON_REQUEST))

    async def _end_expired(self) -> None:
        for build in await self._queue.expired():
            await self._end_unstarted(build, _expired(build))

    async def _tell_places(self) -> None:
        waiting = [build for build in await self._queue.active() if build.state is BuildState.QUEUED]
        for place, build in enumerate(waiting, start=1):
            if self._places.get(build.id) != place:
                told_before = build.id in self._places
                self._places[build.id] = place
                if told_before:
                    await tell_waiting(self._logs, build, place)

    # -- one build ------------------------------------------------------------------------------------------

    async def _run(self, build: Build) -> None:
        """Never raises but when the worker stops: what goes wrong here ends this build, not the others."""
        try:
            await self._attempt(build)
        except StaleEpochError as error:
            log.warning("%s was taken over: %s", build.ref, error, extra={"action": "stale-epoch"})
        except Exception:
            log.exception("%s could not be ended; the next start tries again", build.ref, extra={"action": "end-build"})

    async def _attempt(self, build: Build) -> None:
        writer = await self._logs.open_writer(build.id, build.attempt, build.epoch)
        try:
            secrets = await self._workshop.reveal(build.account)
            reporter = self._reporter(build, writer, tuple(secrets.values()))
            await self._tell_begin(build, writer, reporter)
            async with self._workshop.held.attempt(build.id):
                outcome = await self._outcome(build, reporter)
                self._running.pop(build.id, None)  # a cancel is for `seal` to find now: it must not break off the end
                await self._end_when_there_is_room(build, reporter, outcome)
        finally:
            await asyncio.shield(writer.aclose())

    def _reporter(self, build: Build, writer: LogWriter, secrets: tuple[str, ...]) -> BuildReporter:
        async def on_progress(phase: Phase, step: str | None) -> None:
            await self._queue.progress(build.id, build.epoch, phase, step)

        async def on_step(record: StepRecord) -> None:
            await self._queue.record_step(build.id, build.epoch, record)

        return BuildReporter(writer, build.attempt, secrets, on_progress, on_step)

    async def _tell_begin(self, build: Build, writer: LogWriter, reporter: BuildReporter) -> None:
        if writer.next_seq == 0:
            await reporter.say(accepted_line(build))
        if build.epoch > 1 and build.started_ms is not None:
            line = "the server restarted during this build: going on from the last finished step"
            await reporter.say(line, level=Level.WARN)

    async def _outcome(self, build: Build, reporter: BuildReporter) -> Outcome:
        """Runs the build; every way it can end becomes an outcome, except that the worker itself stops."""
        if build.epoch > SERVERS_LIMIT:
            message = f"the server went down {build.epoch - 1} times during this build, so it is not tried again"
            return Outcome(failure=Failure(FailureCode.MACHINE_LOST, message))
        try:
            request = await self._workshop.prepare(build)
            golden = await self._workshop.build(request, reporter)
            return Outcome(golden_key=golden.key, manifest=golden.manifest)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if build.id not in self._cancelled or task is None:
                raise
            task.uncancel()
            return Outcome(failure=CANCELLED_ON_REQUEST)
        except BuildError as error:
            return Outcome(failure=error.failure)
        except Exception as error:
            log.exception("%s failed for a reason of our own", build.ref, extra={"action": "build"})
            return Outcome(failure=replace(_failure_of(error), last_lines=reporter.last_lines()))

    # -- ends ------------------------------------------------------------------------------------------------

    async def _end_when_there_is_room(self, build: Build, reporter: BuildReporter, outcome: Outcome) -> None:
        """A full disk takes neither the terminal frame nor the status; the end waits until it does."""
        told = False
        while True:
            try:
                return await self._end(build, reporter, outcome)
            except (IngotError, OSError) as error:
                if not lacks_room(error):
                    raise
                if not told:
                    log.error("%s cannot be ended: %s", build.ref, error, extra={"action": "end-build"})
                told = True
            await asyncio.sleep(_ROOM_SECONDS)

    async def _end(self, build: Build, reporter: BuildReporter, outcome: Outcome) -> None:
        cancelled = await self._queue.seal(
            build.id, build.epoch, golden_key=outcome.golden_key, manifest=outcome.manifest
        )
        if cancelled and outcome.result is not Result.CANCELLED:
            outcome = Outcome(failure=CANCELLED_ON_REQUEST)
        if outcome.failure is not None and outcome.result is not Result.CANCELLED:
            held = self._workshop.held.keep(build)
            if held is not None:
                await reporter.say(kept_line(held), level=Level.WARN)
        outcome = replace(outcome, failure=reporter.redact_failure(outcome.failure))
        await reporter.finish(outcome.result, _age_ms(build), outcome.failure, lambda: self._commit(build, outcome))
        await self._end_joiners(build)

    async def _follow_log(self, build: Build, terminal: TerminalFrame) -> None:
        if terminal.result is Result.READY:
            outcome = Outcome(golden_key=build.golden_key, manifest=build.manifest)
        else:
            told = terminal.error or {}
            failure = Failure(
                FailureCode(told.get("code", FailureCode.INTERNAL)),
                told.get("message", terminal.line),
                told.get("step"),
                told.get("exit_code"),
            )
            outcome = Outcome(failure=failure)
        await self._commit(build, outcome)
        await self._end_joiners(build)

    async def _commit(self, build: Build, outcome: Outcome) -> None:
        await self._queue.finish(
            build.id,
            build.epoch,
            outcome.state,
            failure=outcome.failure,
            golden_key=outcome.golden_key,
            manifest=outcome.manifest,
            reused=build.reused,
        )
        self._workshop.ended(outcome.result, _age_ms(build) / 1000)

    async def _end_joiners(self, leader: Build) -> None:
        """Those that waited for the same content end like it. After a cancel the queue lists none: the oldest
        of them leads now."""
        joiners = await self._queue.joiners(leader.id)
        ended = await self._queue.get(leader.id) if joiners else None
        for joiner in joiners:
            assert ended is not None, "a build that others joined is in the history"
            await self._end_unstarted(joiner, _outcome_for(joiner, ended))

    async def _end_unstarted(self, build: Build, outcome: Outcome) -> None:
        """Ends a build that waits. It may have begun or ended meanwhile: then there is nothing to do."""
        self._places.pop(build.id, None)
        try:
            held = await self._queue.reclaim(build.id)
            writer = await self._logs.open_writer(held.id, held.attempt, held.epoch)
            try:
                await self._write_end(held, writer, outcome)
            finally:
                await writer.aclose()
        except (StaleEpochError, ConflictError, NotFoundError) as error:
            log.info("%s needs no ending: %s", build.ref, error, extra={"action": "end-unstarted"})

    async def _write_end(self, held: Build, writer: LogWriter, outcome: Outcome) -> None:
        reporter = self._reporter(held, writer, ())
        if writer.next_seq == 0:
            await reporter.say(accepted_line(held))
        await self._end(held, reporter, outcome)


def _outcome_for(joiner: Build, leader: Build) -> Outcome:
    """How a build ends that waited for `leader`, which is over. Nobody reads another account's lines."""
    if leader.state is BuildState.READY:
        return Outcome(golden_key=leader.golden_key, manifest=leader.manifest)
    failure = leader.failure or Failure(FailureCode.INTERNAL, "the build that this one waited for left no result")
    return Outcome(failure=failure if joiner.account == leader.account else replace(failure, last_lines=()))


def _failure_of(error: Exception) -> Failure:
    if isinstance(error, (IngotError, OSError)):
        return as_build_error(error, None).failure
    return Failure(FailureCode.INTERNAL, f"{type(error).__name__}: {error}")


def _expired(build: Build) -> Outcome:
    waited = int(time.time() - build.queued_ms / 1000)
    message = f"no builder was free within {waited} s; try again when the queue is shorter"
    return Outcome(failure=Failure(FailureCode.QUEUE_EXPIRED, message))


def _age_ms(build: Build) -> int:
    """Since the build began, or since it was asked for when it never began."""
    begin = build.started_ms if build.started_ms is not None else build.queued_ms
    return max(0, int(time.time() * 1000) - begin)
