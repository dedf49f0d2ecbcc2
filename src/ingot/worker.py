"""Claims builds, runs them, and ends each with exactly one terminal frame.

The order at an end: the queue seals the attempt → terminal frame durable → status committed → readers see the frame.
What the disk or the database refuses is tried again until it is taken: no failure ends the worker.
A worker that is asked to stop leaves its builds running in the queue: the next start goes on from their
last layer, under the same attempt. It promises to leave no machine behind, however it ends, but the one of a step that
failed in a build that was to keep it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from ingot.announce import accepted_line, tell_waiting
from ingot.builder.report import Reporter
from ingot.builder.request import BuildRequest
from ingot.errors import BuildError, ConflictError, NotFoundError, StaleEpochError
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.events.writer import LogWriter
from ingot.held import HeldMachines, kept_line
from ingot.outcome import Outcome, expired, failure_of, outcome_for, outcome_told_by
from ingot.queue.builds import BuildQueue
from ingot.records.build import CANCELLED_ON_REQUEST, Build, BuildState, Failure, FailureCode, StepRecord
from ingot.records.event import Level, Phase, Result
from ingot.records.layer import Golden
from ingot.storage.clock import now_ms
from ingot.troubles import Troubles

T = TypeVar("T")

log = logging.getLogger(__name__)

SERVERS_LIMIT = 5
"""An attempt that outlived this many servers ends: it is likely what kills them."""

_HOUSEKEEPING_SECONDS = 1.0
_AGAIN_SECONDS = 2.0
_TAKEOVER_MS = 10_000
"""Who asked for a build that only takes a golden over ends it at once; after this time somebody else does."""


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
        self._running: set[str] = set()
        self._breakable: dict[str, asyncio.Task[None]] = {}
        self._cancelled: set[str] = set()
        self._places: dict[str, int] = {}
        self._troubles = Troubles(log)
        self._began_ms = now_ms()
        self._looked = 0.0

    async def settle(self) -> None:
        """Where a log has its end and the status has not, the server died in between: the status follows the log.
        To be called before anything is served, so that nobody sees the two differ."""
        for build in await self._queue.unfinished():
            await self._follow_log(build)

    async def run(self) -> None:
        """Goes on with what the last server left, then claims and runs builds until it is cancelled."""
        async with asyncio.TaskGroup() as builds:
            seen = -1
            while True:
                failures = self._troubles.count
                await self._keep_house(builds)
                if self._troubles.count > failures:
                    await asyncio.sleep(_HOUSEKEEPING_SECONDS)
                seen = await self._queue.wait_change(seen, _HOUSEKEEPING_SECONDS)

    # -- housekeeping ------------------------------------------------------------------------------------------

    async def _keep_house(self, builds: asyncio.TaskGroup) -> None:
        """One round. A part that fails is tried again in the next."""
        for what, act in (
            ("going on with builds that nobody runs", partial(self._take_up, builds)),
            ("stopping cancelled builds", self._stop_cancelled),
            ("ending builds that waited too long", self._end_expired),
            ("claiming builds", partial(self._claim, builds)),
            ("telling places in the queue", self._tell_places),
        ):
            with self._troubles.outlived(what):
                await act()

    async def _take_up(self, builds: asyncio.TaskGroup) -> None:
        """Finds attempts that nobody works on, at the start and once in a while: those that the last server left, and
        those whose end failed here."""
        now = asyncio.get_running_loop().time()
        if now - self._looked < _HOUSEKEEPING_SECONDS:
            return
        self._looked, running = now, frozenset(self._running)
        taking_over = max(self._began_ms, now_ms() - _TAKEOVER_MS)
        for build in await self._queue.unfinished():
            if build.reused and (build.started_ms or 0) >= taking_over:
                continue
            if (build.joined_to or build.id) not in running:
                with self._troubles.outlived(f"going on with {build.ref}"):
                    await self._continue(builds, build)

    async def _continue(self, builds: asyncio.TaskGroup, build: Build) -> None:
        """Runs on from the last layer, or ends like the build that it waited for, or as its log says."""
        leader = await self._queue.get(build.joined_to) if build.joined_to is not None else None
        if await self._follow_log(build):
            return
        if build.state is BuildState.JOINED and leader is not None:
            await self._end_unstarted(build, outcome_for(build, leader))
        elif build.cancel_requested:
            await self._end_unstarted(build, Outcome(failure=CANCELLED_ON_REQUEST))
        elif build.reused and build.golden_key is not None:
            await self._workshop.take_over(await self._queue.reclaim(build.id), build.golden_key)
        elif build.started_ms is None:
            await self._end_unstarted(build, expired(build))
        else:
            self._start(builds, await self._queue.reclaim(build.id))

    async def _claim(self, builds: asyncio.TaskGroup) -> None:
        while (claimed := await self._queue.claim()) is not None:
            self._start(builds, claimed)

    def _start(self, builds: asyncio.TaskGroup, build: Build) -> None:
        self._places.pop(build.id, None)
        task = builds.create_task(self._run(build), name=f"build {build.ref}")
        self._running.add(build.id)
        task.add_done_callback(lambda _: self._forget(build.id))

    def _forget(self, build_id: str) -> None:
        self._running.discard(build_id)
        self._cancelled.discard(build_id)

    async def _stop_cancelled(self) -> None:
        """One that begins or ends just now is left alone: the next round, or `seal`, finds the cancel."""
        for build in await self._queue.cancels():
            task = self._breakable.pop(build.id, None)
            if task is not None:
                self._cancelled.add(build.id)
                task.cancel()
            elif build.state in (BuildState.QUEUED, BuildState.JOINED):
                await self._end_unstarted(build, Outcome(failure=CANCELLED_ON_REQUEST))

    async def _end_expired(self) -> None:
        for build in await self._queue.expired():
            await self._end_unstarted(build, expired(build))

    async def _tell_places(self) -> None:
        waiting = [build for build in await self._queue.active() if build.state is BuildState.QUEUED]
        for place, build in enumerate(waiting, start=1):
            if self._places.get(build.id, place) != place:
                await tell_waiting(self._logs, build, place)
            self._places[build.id] = place

    # -- one build ------------------------------------------------------------------------------------------

    async def _run(self, build: Build) -> None:
        """Never raises but when the worker stops: what goes wrong here ends this build, not the others."""
        try:
            await self._attempt(build)
        except StaleEpochError as error:
            log.warning("%s was taken over: %s", build.ref, error, extra={"action": "stale-epoch"})
        except Exception:
            log.exception("%s did not end in order", build.ref, extra={"action": "end-build"})

    async def _attempt(self, build: Build) -> None:
        writer, reporter = await self._until_taken(f"the begin of {build.ref}", lambda: self._begin(build))
        try:
            async with self._workshop.held.attempt(build.id):
                outcome = await self._outcome(build, reporter)
                await self._until_taken(f"the end of {build.ref}", lambda: self._end(build, reporter, outcome))
        finally:
            await asyncio.shield(writer.aclose())

    async def _until_taken(self, what: str, act: Callable[[], Awaitable[T]]) -> T:
        """Does what a full disk, say, may refuse, until it is taken. Raises StaleEpochError."""
        while True:
            with self._troubles.outlived(what, StaleEpochError):
                return await act()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _begin(self, build: Build) -> tuple[LogWriter, BuildReporter]:
        writer = await self._logs.open_writer(build.id, build.attempt, build.epoch)
        try:
            reporter = self._reporter(build, writer)
            await self._tell_begin(build, writer, reporter)
        except BaseException:
            await asyncio.shield(writer.aclose())
            raise
        return writer, reporter

    def _reporter(self, build: Build, writer: LogWriter) -> BuildReporter:
        async def on_progress(phase: Phase, step: str | None) -> None:
            await self._queue.progress(build.id, build.epoch, phase, step)

        async def on_step(record: StepRecord) -> None:
            await self._queue.record_step(build.id, build.epoch, record)

        return BuildReporter(writer, build.attempt, (), on_progress, on_step)

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
        task = asyncio.current_task()
        assert task is not None
        self._breakable[build.id] = task  # a cancel breaks off what is inside this `try`, and nothing else
        try:
            reporter.add_secrets(tuple((await self._workshop.reveal(build.account)).values()))
            request = await self._workshop.prepare(build)
            golden = await self._workshop.build(request, reporter)
            return Outcome(golden_key=golden.key, manifest=golden.manifest)
        except asyncio.CancelledError:
            if build.id not in self._cancelled or task.uncancel():
                raise
            return Outcome(failure=CANCELLED_ON_REQUEST)
        except BuildError as error:
            return Outcome(failure=error.failure)
        except Exception as error:
            log.exception("%s failed for a reason of our own", build.ref, extra={"action": "build"})
            return Outcome(failure=replace(failure_of(error), last_lines=reporter.last_lines()))
        finally:
            self._breakable.pop(build.id, None)

    # -- ends ------------------------------------------------------------------------------------------------

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

    async def _follow_log(self, build: Build) -> bool:
        """Ends a build as its log says; False where that has no end yet."""
        stored = await self._logs.log(build.id)
        if stored is None or stored.terminal is None:
            return False
        held = await self._queue.reclaim(build.id)
        await self._commit(held, outcome_told_by(held, stored.terminal))
        await self._end_joiners(held)
        return True

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
        of them leads now. `_take_up` finds those whose end fails."""
        with self._troubles.outlived(f"ending the builds that joined {leader.ref}"):
            joiners = await self._queue.joiners(leader.id)
            ended = await self._queue.get(leader.id) if joiners else None
            for joiner in joiners:
                assert ended is not None, "a build that others joined is in the history"
                await self._end_unstarted(joiner, outcome_for(joiner, ended))

    async def _end_unstarted(self, build: Build, outcome: Outcome) -> None:
        """Ends a build that waits. It may have begun or ended meanwhile: then there is nothing to do. One that cannot
        be ended keeps no other from its end: `_take_up` finds it."""
        self._places.pop(build.id, None)
        with self._troubles.outlived(f"the end of {build.ref}"):
            try:
                await self._write_end(await self._queue.reclaim(build.id), outcome)
            except (StaleEpochError, ConflictError, NotFoundError) as error:
                log.info("%s needs no ending: %s", build.ref, error, extra={"action": "end-unstarted"})

    async def _write_end(self, held: Build, outcome: Outcome) -> None:
        writer = await self._logs.open_writer(held.id, held.attempt, held.epoch)
        try:
            reporter = self._reporter(held, writer)
            if writer.next_seq == 0:
                await reporter.say(accepted_line(held))
            await self._end(held, reporter, outcome)
        finally:
            await writer.aclose()


def _age_ms(build: Build) -> int:
    """Since the build began, or since it was asked for when it never began."""
    begin = build.started_ms if build.started_ms is not None else build.queued_ms
    return max(0, now_ms() - begin)
