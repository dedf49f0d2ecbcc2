"""What a builder reports, as it stands in the log."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from ingot.builder.report import Output, Reporter
from ingot.events.ingest import Limits
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.records.build import Failure, FailureCode, StepRecord, StepState
from ingot.records.event import Level, Phase, Result


class Attempt:
    """A reporter on a real log, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.progress: list[tuple[Phase, str | None]] = []
        self.steps: list[StepRecord] = []
        self.clock = [1_780_938_001_007]
        self.reporter: BuildReporter

    async def open(
        self, epoch: int = 1, limits: Limits | None = None, secrets: tuple[str, ...] = ("hunter22",)
    ) -> None:
        self.writer = await EventLogs(self.directory).open_writer("b1", 1, epoch)

        async def on_progress(phase: Phase, step: str | None) -> None:
            self.progress.append((phase, step))

        async def on_step(record: StepRecord) -> None:
            self.steps.append(record)

        self.reporter = BuildReporter(
            self.writer,
            1,
            ("hunter22",),
            on_progress,
            on_step,
            limits=limits or Limits(),
            now_ms=lambda: self.clock.pop(0) if len(self.clock) > 1 else self.clock[0],
        )

    async def events(self) -> list[dict[str, Any]]:
        if self.writer.terminal is None:
            await self.writer.flush()
        blocks = (self.directory / "b1/events.sse").read_text().split("\n\n")[:-1]
        for seq, block in enumerate(blocks):
            assert block.startswith(f"id: 1-{seq}\ndata: ")
        return [json.loads(block.partition("\ndata: ")[2]) for block in blocks]

    async def lines(self) -> list[str]:
        return [event["line"] for event in await self.events()]


async def nothing() -> None:
    """Commits nothing."""


@pytest.fixture
async def attempt(tmp_path: Path) -> AsyncIterator[Attempt]:
    made = Attempt(tmp_path)
    await made.open()
    yield made
    await made.writer.aclose()


async def test_it_is_a_reporter(attempt: Attempt) -> None:
    reporter: Reporter = attempt.reporter
    async with reporter.output("apt") as output:
        taken: Output = output
        await taken.write(b"one\ntwo")
        assert taken.last_lines() == ("one", "two")
    assert await attempt.lines() == ["one", "two"]


async def test_lines_carry_phase_level_and_source(attempt: Attempt) -> None:
    await attempt.reporter.enter(Phase.BOOT)
    await attempt.reporter.say("booting build VM")
    await attempt.reporter.enter(Phase.INSTALL)
    async with attempt.reporter.output("npm") as output:
        await output.write(b"added 3 packages\n")
    await attempt.reporter.say("not acted on yet: triggers", level=Level.WARN, source="builder")
    assert [(e["phase"], e["level"], e.get("source"), e["line"]) for e in await attempt.events()] == [
        ("boot", "info", None, "booting build VM"),
        ("install", "info", "npm", "added 3 packages"),
        ("install", "warn", "builder", "not acted on yet: triggers"),
    ]
    assert attempt.progress == [(Phase.BOOT, None), (Phase.INSTALL, None)]


async def test_phases_never_go_back_and_the_last_ones_belong_to_the_end(attempt: Attempt) -> None:
    for phase in (Phase.INSTALL, Phase.BOOT, Phase.READY, Phase.CANCEL, Phase.TIMEOUT):
        await attempt.reporter.enter(phase)
        assert attempt.reporter.phase is Phase.INSTALL


async def test_no_line_but_the_last_is_an_error(attempt: Attempt) -> None:
    await attempt.reporter.say("this looks bad", level=Level.ERROR)
    failure = Failure(FailureCode.STEP_FAILED, "`make` ended with status 2", step="run [1]", exit_code=2)
    await attempt.reporter.enter(Phase.INSTALL)
    await attempt.reporter.finish(Result.FAILED, 1500, failure, nothing)
    events = await attempt.events()
    assert [event["level"] for event in events] == ["warn", "error"]
    assert events[-1]["line"] == "build failed: `make` ended with status 2"
    assert events[-1]["phase"] == "install"


async def test_secrets_are_masked_wherever_they_could_show(attempt: Attempt) -> None:
    reporter = attempt.reporter
    await reporter.say("key is hunter22\nnext \udc80 line")
    async with reporter.output("run") as output:
        for byte in b"a hunter22 b\n":
            await output.write(bytes([byte]))
        await output.write(b"later-secret\n")
        reporter.add_secrets([b"later-secret"])
        await output.write(b"later-secret\n")
    await reporter.step(StepRecord(0, "echo hunter22", Phase.INSTALL, "run", "new: hunter22", StepState.RUNNING, 1))
    failure = Failure(FailureCode.STEP_FAILED, "hunter22\nfailed", step="echo hunter22", exit_code=1)
    await reporter.finish(Result.FAILED, 1, failure, nothing)
    assert await attempt.lines() == [
        "key is ***",
        "next ? line",
        "a *** b",
        "later-secret",
        "***",
        "build failed: *** failed",
    ]
    assert (await attempt.events())[-1]["error"]["step"] == "echo ***"
    assert (attempt.steps[0].title, attempt.steps[0].reason) == ("echo ***", "new: ***")
    assert attempt.progress == [(Phase.PUBLISH, "echo ***")]


async def test_time_never_goes_back(attempt: Attempt) -> None:
    attempt.clock[:] = [2000, 1000, 1000, 3000]
    for line in "abcd":
        await attempt.reporter.say(line)
    stamps = [event["ts"] for event in await attempt.events()]
    assert [stamp[-7:] for stamp in stamps] == ["02.000Z", "02.000Z", "02.000Z", "03.000Z"]


async def test_an_attempt_goes_on_after_a_crash_with_its_phase_time_and_numbers(tmp_path: Path) -> None:
    first = Attempt(tmp_path)
    await first.open()
    await first.reporter.enter(Phase.SNAPSHOT)
    await first.reporter.say("capturing")
    await first.writer.aclose()
    second = Attempt(tmp_path)
    await second.open(epoch=2)
    second.clock = [5]
    await second.reporter.enter(Phase.BOOT)
    await second.reporter.say("the server was restarted; going on from the last layer", level=Level.WARN)
    await second.reporter.finish(Result.READY, 12_300, None, nothing)
    events = await second.events()
    assert [event["phase"] for event in events] == ["snapshot", "snapshot", "ready"]
    assert len({event["ts"] for event in events}) == 1
    assert events[-1]["line"] == "golden snapshot ready in 12.3s"


async def test_a_prompt_shows_while_the_step_waits(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    await attempt.open(limits=Limits(idle_seconds=0.01))
    log = await EventLogs(tmp_path).log("b1")
    assert log is not None
    async with attempt.reporter.output("run") as output:
        await output.write(b"Proceed? [y/N] ")
        async with asyncio.timeout(60):
            while attempt.writer.next_seq == 0:
                await asyncio.sleep(0.005)
        assert await attempt.lines() == ["Proceed? [y/N] "]
    await attempt.writer.aclose()


async def test_a_capped_step_tells_its_progress_and_its_end(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    await attempt.open(limits=Limits(text=4000, ring=500, capped_seconds=0.01))
    async with attempt.reporter.output("run") as output:
        for n in range(2000):
            await output.write(b"%09d\n" % n)
        seq = attempt.writer.next_seq
        async with asyncio.timeout(60):
            while attempt.writer.next_seq == seq:
                await asyncio.sleep(0.005)
        assert "0000001999" in "0" + output.last_lines()[-1]
    await attempt.reporter.say("step failed: never left out")
    events = await attempt.events()
    *_, told = [event["line"] for event in events if event["line"].startswith("still writing: ")]
    assert told.endswith("more lines (0.0 MB) so far that are not shown")
    [warning] = [place for place, event in enumerate(events) if event["level"] == "warn"]
    assert events[warning]["line"].startswith("this step wrote more than the log keeps: 1,")
    assert events[warning]["line"].endswith(f"the last {len(events) - warning - 2} lines follow")
    assert events[-2]["line"] == "000001999"
    assert events[-1]["line"] == "step failed: never left out"
    await attempt.writer.aclose()


async def test_all_steps_together_are_bounded(tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    await attempt.open(limits=Limits(attempt_frames=50_000, ring=100, ring_frames=2000))
    for _ in range(20):
        async with attempt.reporter.output("run") as output:
            await output.write(b"0123456789\n" * 1000)
    assert attempt.writer.stored_bytes < 400_000
    await attempt.writer.aclose()


async def test_what_is_written_after_the_end_goes_nowhere(attempt: Attempt) -> None:
    async with attempt.reporter.output("run") as output:
        await output.write(b"half")
        await attempt.reporter.finish(Result.CANCELLED, 5, Failure(FailureCode.CANCELLED, "by default"), nothing)
        await output.write(b"late\n")
    await attempt.reporter.say("later still")
    assert await attempt.lines() == ["half", "build cancelled: by default"]


async def test_the_loop_gets_its_turns_while_a_flood_is_taken(attempt: Attempt) -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counter = asyncio.create_task(count())
    async with attempt.reporter.output("run") as output:
        await output.write(b"\n" * 400_000)
    counter.cancel()
    assert turns > 20
