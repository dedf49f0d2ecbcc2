"""Builds of a console test: a real log, written by the project's own reporter, of a build that the test leads."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from ingot.events.frames import encode_lines
from ingot.events.reporter import BuildReporter
from ingot.events.writer import LogWriter
from ingot.records.build import Build, BuildState, Failure, StepRecord
from ingot.records.event import FrameId, Level, Phase, Result
from ingot.records.step_line import format_step_cached, format_step_done, format_step_failed, format_step_run
from tests.service.api_server import Server, document, path_of

_names = itertools.count(1)
_BATCH = 5_000


@dataclass
class LiveBuild:
    """One attempt under way. `path` is its page's."""

    server: Server
    ref: str
    build_id: str
    attempt: int
    epoch: int
    writer: LogWriter
    reporter: BuildReporter

    @property
    def path(self) -> str:
        return f"/console/builds/{self.ref.replace('@', '/')}"

    @property
    def events_path(self) -> str:
        return f"{path_of(self.ref)}/build/events"

    async def enter(self, phase: Phase) -> None:
        await self.reporter.enter(phase)

    async def say(self, *lines: str, level: Level = Level.INFO, source: str | None = "run") -> None:
        """Lines that are on disk when this returns."""
        for line in lines:
            await self.reporter.say(line, level=level, source=source)
        await self.writer.flush()

    async def step(self, index: int, total: int, title: str, reason: str = "never built") -> None:
        await self.say(format_step_run(index, total, title, reason), source="builder")

    async def cached(self, index: int, total: int, title: str) -> None:
        await self.say(format_step_cached(index, total, title, "unchanged"), source="builder")

    async def done(self, index: int, total: int, title: str, seconds: float = 1.2) -> None:
        await self.say(format_step_done(index, total, title, seconds), source="builder")

    async def failed(self, index: int, total: int, title: str, why: str = "exit code 2") -> None:
        await self.say(format_step_failed(index, total, title, 8.0, why), source="builder")

    async def raw(self, lines: Sequence[str], *, level: Level = Level.INFO, ts_ms: int = 1_780_000_000_000) -> None:
        """Lines as they are, past the ingest, fast: 1,000,000 of them take seconds."""
        for begin in range(0, len(lines), _BATCH):
            first = FrameId(self.attempt, self.writer.next_seq)
            part = lines[begin : begin + _BATCH]
            moment = ts_ms + begin
            frames = encode_lines(first, part, ts_ms=moment, level=level, phase=self.reporter.phase, source="run")
            self.writer.append(frames)
            await self.writer.room()
        await self.writer.flush()

    async def end(self, failure: Failure | None = None) -> None:
        """Ready, or as the failure's code says."""
        state = BuildState.FAILED if failure else BuildState.READY

        async def commit() -> None:
            golden = None if failure else f"{next(self.server.goldens):064x}"
            await self.server.services.queue.finish(
                self.build_id, self.epoch, state, golden_key=golden, failure=failure
            )

        result = failure.code.result if failure else Result.READY
        await self.reporter.finish(result, 118_400, failure, commit)


async def begin_build(server: Server, ref: str = "") -> LiveBuild:
    """A build that has just been claimed; of a new template when no ref is given."""
    if not ref:
        number = next(_names)
        ref = (await server.publish(document(f"made-{number}", run=f"echo {number}")))["ref"]
    answer = await server.http.post(f"{path_of(ref)}/build", params={"force": "true"})
    assert answer.status_code == 202, answer.text
    build = await server.services.queue.claim()
    assert build is not None
    return await opened(server, build)


async def opened(server: Server, build: Build) -> LiveBuild:
    """An attempt that its holder writes to."""
    writer = await server.logs.open_writer(build.id, build.attempt, build.epoch)

    async def on_progress(phase: Phase, step: str | None) -> None: ...

    async def on_step(record: StepRecord) -> None: ...

    reporter = BuildReporter(writer, build.attempt, [], on_progress, on_step)
    return LiveBuild(server, str(build.ref), build.id, build.attempt, build.epoch, writer, reporter)
