"""A build's frames as phases and steps, and as rows that fit a terminal, whatever the lines hold."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from ingot.cli.console.layout import ASCII, Canvas, final_rows, finished_phase, live_rows
from ingot.cli.console.model import BuildModel, Mark
from ingot.client.frames import Frame, read_frame
from ingot.records.event import FrameId
from ingot.records.step_line import format_step_cached, format_step_done, format_step_failed, format_step_run


def frame(seconds: float, phase: str, line: str, source: str = "builder", level: str = "info", **end: object) -> Frame:
    whole, milli = divmod(round(seconds * 1000), 1000)
    ts = f"2026-06-08T17:00:{whole:02d}.{milli:03d}Z"
    event = {"ts": ts, "level": level, "phase": phase, "source": source, "line": line, **end}
    return read_frame(FrameId(1, 0), json.dumps(event).encode())


def failed(seconds: float, phase: str, result: str = "failed") -> Frame:
    error = {"code": "step_failed", "message": "why"}
    return frame(seconds, phase, "build failed: why", level="error", result=result, duration_ms=1, error=error)


def model_of(*frames: Frame) -> BuildModel:
    model = BuildModel()
    for one in frames:
        model.take(one)
    return model


def now(seconds: float) -> int:
    return frame(seconds, "boot", "").event.ts_ms


def test_phases_close_with_their_time_and_steps_with_theirs() -> None:
    model = model_of(
        frame(0, "boot", "booting build VM"),
        frame(1.5, "install", format_step_cached(1, 2, "apt curl", "unchanged")),
        frame(1.5, "install", format_step_run(2, 2, "run make", "new")),
        frame(2, "install", "made", "run"),
        frame(4, "install", format_step_done(2, 2, "run make", 2.5)),
        frame(5, "ready", "golden snapshot ready in 5.0s", level="success", result="ready", duration_ms=5000),
    )
    boot, install, _ready = model.phases
    assert (boot.mark, boot.seconds) == (Mark.DONE, 1.5)
    assert [(step.label, step.mark, step.seconds) for step in install.steps] == [
        ("1/2 apt curl", Mark.CACHED, None),
        ("2/2 run make", Mark.DONE, 2.5),
    ]
    rows = [row.plain for phase in model.phases for row in finished_phase(phase, Canvas(40, 24))]
    assert rows[0] == "✓ boot                             1.5s"
    assert rows[2] == "  ✓ 1/2 apt curl                 CACHED"
    assert [row.plain for row in final_rows(model, Canvas(40, 24))] == ["✓ golden snapshot ready in 5.0s"]


def test_a_running_step_ticks_and_shows_its_last_six_lines() -> None:
    model = model_of(
        frame(0, "install", format_step_run(1, 1, "run make", "new")),
        *(frame(0, "install", f"line {number}", "run") for number in range(9)),
    )
    rows = [row.plain for row in live_rows(model, Canvas(40, 24, now(3.2)))]
    assert rows[0].endswith("3.2s")
    assert rows[1].startswith("  ")
    assert [row.strip() for row in rows[2:]] == [f"│ line {number}" for number in range(3, 9)]


def test_a_failed_step_keeps_everything_it_printed() -> None:
    lines = [f"line {number}" for number in range(500)]
    model = model_of(
        frame(0, "install", format_step_run(1, 1, "run make", "new")),
        *(frame(0, "install", line, "run") for line in lines),
        frame(1, "install", format_step_failed(1, 1, "run make", 1.0, "exit code 2")),
        frame(1, "install", "the layers before it are kept"),
        failed(1, "install"),
    )
    assert model.failed is not None
    assert (model.failed.title, list(model.failed.lines)) == ("step 1/1 run make", lines)
    shown = [row.plain for row in final_rows(model, Canvas(40, 24))]
    assert shown[0] == "--- output of step 1/1 run make "
    assert shown[1:501] == lines
    assert shown[-1] == "✗ build failed: why"


def test_a_phase_that_fails_without_steps_shows_what_it_printed() -> None:
    model = model_of(frame(0, "boot", "mmdebstrap says no", "mmdebstrap"), failed(1, "boot"))
    assert model.failed is not None
    assert (model.failed.title, model.failed.lines) == ("boot", ("mmdebstrap says no",))
    assert model.phases[0].mark is Mark.FAILED


def test_a_step_past_its_time_is_marked_and_shown() -> None:
    begun = frame(0, "install", format_step_run(1, 1, "sleep", "new"))
    model = model_of(begun, frame(0, "install", "waiting", "run"), failed(9, "timeout", "timed_out"))
    assert model.phases[0].steps[0].mark is Mark.TIMED_OUT
    assert model.failed is not None
    assert model.failed.lines == ("waiting",)


def test_a_cancelled_build_shows_no_output() -> None:
    begun = frame(0, "install", format_step_run(1, 1, "sleep", "new"))
    model = model_of(begun, frame(0, "install", "waiting", "run"), failed(9, "cancel", "cancelled"))
    assert model.failed is None
    assert model.phases[0].steps[0].mark is Mark.CANCELLED


def test_warnings_stay_and_are_folded() -> None:
    model = model_of(
        frame(0, "compile", "this version does not act on triggers yet", level="warn"), frame(1, "boot", "x")
    )
    rows = [row.plain for row in finished_phase(model.phases[0], Canvas(30, 24))]
    assert rows[1:] == ["  ! this version does not act", "    on triggers yet"]


def test_a_step_line_of_another_source_is_a_line() -> None:
    model = model_of(frame(0, "install", format_step_cached(1, 1, "x", "y"), "run"))
    assert model.phases[0].steps == []
    assert len(model.lines) == 1


def test_before_the_first_frame_it_says_that_it_waits() -> None:
    rows = live_rows(BuildModel(), Canvas(40, 24, 0, ASCII))
    assert [row.plain for row in rows] == ["| waiting for the first line"]


LINES = st.text(alphabet=st.one_of(st.sampled_from("\x1b[31m\x07\t日🙂a]0;\u202e\u0301"), st.characters()), max_size=80)


@given(st.lists(LINES, min_size=1, max_size=12), st.integers(20, 90), st.integers(2, 30), st.booleans())
def test_live_rows_fit_the_terminal(lines: list[str], width: int, height: int, noticed: bool) -> None:
    model = model_of(frame(0, "compile", lines[0], level="warn"))
    for number, line in enumerate(lines, start=1):
        model.take(frame(0, "install", format_step_run(number, 99, line or "x", "new")))
        model.take(frame(0, "install", line, "run", level="warn"))
    rows = live_rows(model, Canvas(width, height, now(59)), "connection lost" if noticed else "")
    assert 1 <= len(rows) <= height - 1
    assert all(cell_len(row.plain) < width for row in rows)
    assert not any(control in row.plain for row in rows for control in "\x1b\n\r\x07\t")
