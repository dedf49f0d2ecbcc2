"""What the builder announces is what the console reads back, whatever titles and reasons hold."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.records.build import StepState
from ingot.records.step_line import (
    TITLE_WIDTH,
    StepLine,
    format_step_cached,
    format_step_done,
    format_step_failed,
    format_step_run,
    parse_step_line,
    step_title,
)

PARTS = st.sampled_from(
    [": run (", ": cached (", ": done in 1.0s", ": failed after 2.0s (", ")", "step 1/2 ", " ", "\n"]
)
TEXT = st.lists(st.one_of(st.text(max_size=30), PARTS), max_size=6).map("".join)


def test_the_forms_are_fixed() -> None:
    assert format_step_cached(2, 20, "apt curl", "unchanged") == "step 2/20 apt curl: cached (unchanged)"
    assert (
        format_step_run(3, 20, "apt ripgrep", "apt list changed: + ripgrep")
        == "step 3/20 apt ripgrep: run (apt list changed: + ripgrep)"
    )
    assert format_step_done(3, 20, "apt ripgrep", 1.24) == "step 3/20 apt ripgrep: done in 1.2s"
    assert (
        format_step_failed(4, 20, "run make", 8, "exit code 2") == "step 4/20 run make: failed after 8.0s (exit code 2)"
    )


@given(TEXT, TEXT)
def test_every_announcement_reads_back(title: str, reason: str) -> None:
    shown, told = step_title(title), " ".join(reason.split())
    assert 0 < len(shown) <= TITLE_WIDTH
    expected = {
        format_step_run(3, 20, title, reason): StepLine(3, 20, shown, StepState.RUNNING, told),
        format_step_cached(3, 20, title, reason): StepLine(3, 20, shown, StepState.REUSED, told),
        format_step_done(3, 20, title, 1.5): StepLine(3, 20, shown, StepState.DONE, seconds=1.5),
        format_step_failed(3, 20, title, 1.5, reason): StepLine(3, 20, shown, StepState.FAILED, told, 1.5),
    }
    for line, step in expected.items():
        assert parse_step_line(line) == step


@pytest.mark.parametrize("line", ["", "step 1/2", "step 1/2 apt: maybe", "step x/2 a: run ()", "a step 1/2 a: run (b)"])
def test_other_lines_announce_nothing(line: str) -> None:
    assert parse_step_line(line) is None
