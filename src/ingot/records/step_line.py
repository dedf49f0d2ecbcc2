"""How the builder announces a plan's steps in the event stream, and how a console reads it back.

The stream carries lines, no step objects. The builder says, with source `builder`, in the phase of the step:

    step 2/20 apt curl: cached (unchanged)                          reused: this line alone
    step 3/20 apt ripgrep: run (apt list changed: + ripgrep)        before the step's first command
    step 3/20 apt ripgrep: done in 1.2s                             after its layer is published
    step 4/20 run make: failed after 8.0s (exit code 2)             in place of `done`

Steps count from 1 in the order of the plan; each begins after the one before it ended. A title is one line, free of
secrets. These functions are pure and promise that `parse_step_line(format_*(…))` gives back what went in, titles
shortened to `TITLE_WIDTH`. A template's own output that looks alike only misleads its own author's console.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingot.records.build import StepState

STEP_SOURCE = "builder"
TITLE_WIDTH = 120

_WORDS = {StepState.REUSED: "cached", StepState.RUNNING: "run", StepState.DONE: "done", StepState.FAILED: "failed"}
_STATES = {word: state for state, word in _WORDS.items()}
_LINE = re.compile(
    r"step (?P<index>\d{1,6})/(?P<total>\d{1,6}) (?P<title>.+?): "
    r"(?:(?P<word>cached|run) \((?P<reason>.*)\)"
    r"|done in (?P<done>\d+\.\d)s"
    r"|failed after (?P<failed>\d+\.\d)s \((?P<why>.*)\))"
)
_AMBIGUOUS = re.compile(r": (?=(?:cached|run) \(|done in \d|failed after \d)")
_BLANKS = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class StepLine:
    """One announcement. `index` counts from 1; `reason` is why it is run or reused, or why it failed;
    `seconds` is how long it took, to a tenth, for `done` and `failed` only."""

    index: int
    total: int
    title: str
    state: StepState
    reason: str = ""
    seconds: float | None = None


def format_step_run(index: int, total: int, title: str, reason: str) -> str:
    """Before a step's first command."""
    return f"step {index}/{total} {step_title(title)}: run ({_one_line(reason)})"


def format_step_cached(index: int, total: int, title: str, reason: str) -> str:
    """For a step whose layer is reused."""
    return f"step {index}/{total} {step_title(title)}: cached ({_one_line(reason)})"


def format_step_done(index: int, total: int, title: str, seconds: float) -> str:
    """After a step's layer is published."""
    return f"step {index}/{total} {step_title(title)}: done in {seconds:.1f}s"


def format_step_failed(index: int, total: int, title: str, seconds: float, why: str) -> str:
    """In place of `done`. Never say `build failed` in `why`: clients take these words for the end."""
    return f"step {index}/{total} {step_title(title)}: failed after {seconds:.1f}s ({_one_line(why)})"


def parse_step_line(line: str) -> StepLine | None:
    """None for a line that announces no step."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    index, total, title = int(found["index"]), int(found["total"]), found["title"]
    if found["word"]:
        return StepLine(index, total, title, _STATES[found["word"]], found["reason"])
    if found["done"]:
        return StepLine(index, total, title, StepState.DONE, seconds=float(found["done"]))
    return StepLine(index, total, title, StepState.FAILED, found["why"], float(found["failed"]))


def step_title(title: str) -> str:
    """A title as it can stand in a line: one line, at most `TITLE_WIDTH` characters, never empty, and without
    the few words that would end it early."""
    text = _AMBIGUOUS.sub(":", _one_line(title)) or "step"
    return text if len(text) <= TITLE_WIDTH else text[: TITLE_WIDTH - 1].rstrip() + "…"


def _one_line(text: str) -> str:
    return _BLANKS.sub(" ", text).strip()
