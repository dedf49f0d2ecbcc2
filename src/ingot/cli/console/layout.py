"""The model as rows of a terminal of so many columns: pure, every row is cut or wrapped to its width here.

Widths are counted in cells, so wide characters and colours in a line neither break the picture nor the count. Of a
line's escape sequences only colours are kept; every other control character is dropped.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from ingot.cli.console.model import TAIL, BuildModel, FailedOutput, Mark, PhaseView, StepView
from ingot.cli.output import duration
from ingot.records.event import Phase, Result

_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ESCAPE = re.compile(
    r"\x1b\[(?P<sgr>[0-9;:]*m)|\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|.)?", re.DOTALL
)
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LEAST_WIDTH = 20

_STYLES = {
    Mark.RUNNING: "bold",
    Mark.DONE: "green",
    Mark.CACHED: "cyan",
    Mark.FAILED: "bold red",
    Mark.CANCELLED: "yellow",
    Mark.TIMED_OUT: "bold red",
}


@dataclass(frozen=True, slots=True)
class Symbols:
    """What is drawn; `ASCII` is for terminals that cannot show the rest."""

    done: str = "✓"
    failed: str = "✗"
    bar: str = "│"
    note: str = "!"
    dots: str = "…"
    spinner: str = _SPINNER


UNICODE = Symbols()
ASCII = Symbols(done="+", failed="x", bar="|", note="!", dots="~", spinner="|/-\\")


@dataclass(frozen=True, slots=True)
class Canvas:
    """Where is drawn: columns, rows, the symbols, and `now_ms` on the server's clock."""

    width: int
    height: int
    now_ms: int = 0
    symbols: Symbols = UNICODE

    @property
    def room(self) -> int:
        """Cells a row may take: the last column stays free, since a full row wraps on some terminals."""
        return max(_LEAST_WIDTH, self.width) - 1


def finished_phase(phase: PhaseView, canvas: Canvas) -> list[Text]:
    """A phase that is over, with all its steps and notes."""
    return _phase_rows(phase, canvas, phase.steps)


def live_rows(model: BuildModel, canvas: Canvas, status: str = "") -> list[Text]:
    """What runs now: the phase, its last steps, the last lines. Never more rows than the terminal has, less one.

    `status` is a line of our own (a lost connection), below all.
    """
    phase = model.current
    notice = [_row(canvas, 0, canvas.symbols.note, status, "", "yellow")] if status else []
    if phase is None:
        return notice or [_row(canvas, 0, _spin(canvas), "waiting for the first line", "", "dim")]
    room = max(1, canvas.height - 1 - len(notice))
    tail = _tail(model.lines, canvas, indent=4 if phase.running_step else 2)[: max(0, room - 2)]
    steps = phase.steps
    left = max(0, room - 1 - len(tail) - len(phase.notes[-2:]))
    hidden = max(0, len(steps) - left)
    if hidden:
        hidden = min(len(steps), hidden + 1)
    rows = _phase_rows(phase, canvas, steps[hidden:], hidden, phase.notes[-2:], running=True)
    return [*rows, *tail, *notice][: max(1, canvas.height - 1)]


def final_rows(model: BuildModel, canvas: Canvas) -> list[Text]:
    """The end of the build: what failed in full, then its last line."""
    if model.end is None:
        return []
    ready = model.end.result is Result.READY
    rows = failed_output(model.failed, canvas) if model.failed is not None and not ready else []
    mark = canvas.symbols.done if ready else canvas.symbols.failed
    style = "bold green" if ready else "bold red"
    return [*rows, Text(f"{mark} ", style=style) + Text(plain_line(model.last_line), style=style)]


def failed_output(failed: FailedOutput, canvas: Canvas) -> list[Text]:
    """Every line of what failed, uncut, between two rules."""
    title = Text(f"--- output of {failed.title} ", style="red", no_wrap=True)
    title.truncate(canvas.room, overflow="ellipsis")
    if not failed.lines:
        return [title, Text("(it printed nothing)", style="dim")]
    return [title, *(_line_text(line) for line in failed.lines), Text("---", style="red")]


def _phase_rows(
    phase: PhaseView,
    canvas: Canvas,
    steps: Sequence[StepView],
    hidden: int = 0,
    notes: Sequence[str] | None = None,
    *,
    running: bool = False,
) -> list[Text]:
    symbol = _symbol(phase.mark, canvas)
    if phase.phase is Phase.READY and not running:
        return []
    rows = [
        _row(canvas, 0, symbol, str(phase.phase), _time(phase.seconds, phase.began_ms, canvas), _STYLES[phase.mark])
    ]
    if hidden:
        rows.append(_row(canvas, 2, canvas.symbols.dots, f"{hidden} earlier steps", "", "dim"))
    for step in steps:
        right = "CACHED" if step.mark is Mark.CACHED else _time(step.seconds, step.began_ms, canvas)
        rows.append(_row(canvas, 2, _symbol(step.mark, canvas), step.label, right, _STYLES[step.mark]))
    for note in phase.notes if notes is None else notes:
        rows += _note(note, canvas)[: 1 if running else None]
    return rows


def _tail(lines: Sequence[str], canvas: Canvas, indent: int) -> list[Text]:
    rows = []
    for line in lines[-TAIL:]:
        text = Text(f"{' ' * indent}{canvas.symbols.bar} ", style="dim") + _line_text(line)
        rows.append(_cut(text, canvas))
    return rows


def _row(canvas: Canvas, indent: int, symbol: str, label: str, right: str, style: str) -> Text:
    """`  ✓ label ………… 1.2s`: the label is cut, the right end never."""
    left = Text(" " * indent) + Text(f"{symbol} ", style=style) + Text(plain_line(label), style="" if right else "dim")
    room = canvas.room - (len(right) + 1 if right else 0)
    left.truncate(max(room, 4), overflow="ellipsis")
    if not right:
        return left
    left.pad_right(max(0, room - left.cell_len))
    return left + Text(f" {right}", style="cyan" if right == "CACHED" else "dim")


def _time(seconds: float | None, began_ms: int, canvas: Canvas) -> str:
    return duration(max(0.0, (canvas.now_ms - began_ms) / 1000) if seconds is None else seconds)


def _symbol(mark: Mark, canvas: Canvas) -> str:
    if mark is Mark.RUNNING:
        return _spin(canvas)
    return canvas.symbols.done if mark in (Mark.DONE, Mark.CACHED) else canvas.symbols.failed


def _spin(canvas: Canvas) -> str:
    return canvas.symbols.spinner[canvas.now_ms // 100 % len(canvas.symbols.spinner)]


def _cut(text: Text, canvas: Canvas) -> Text:
    text.truncate(canvas.room, overflow="ellipsis")
    return text


_MEASURE = Console(width=1000, legacy_windows=False)


def _note(note: str, canvas: Canvas) -> list[Text]:
    """A warning, folded to the width, its later rows indented as the first."""
    rows = _line_text(note).wrap(_MEASURE, canvas.room - 4, overflow="fold")
    first = Text(f"  {canvas.symbols.note} ", style="yellow")
    return [(first if place == 0 else Text("    ")) + row for place, row in enumerate(rows)]


def _line_text(line: str) -> Text:
    """A build's line: colours as they came, tabs as blanks, nothing else that moves the cursor."""
    text = Text.from_ansi(_clean(line)) if "\x1b" in line else Text(_clean(line))
    text.expand_tabs(8)
    return text


def _clean(line: str) -> str:
    kept = _ESCAPE.sub(lambda found: found[0] if found["sgr"] else "", line) if "\x1b" in line else line
    return _CONTROL.sub("", kept)


def plain_line(line: str) -> str:
    """A build's line without any escape sequence, for files and terminals without colour."""
    kept = _ESCAPE.sub("", line) if "\x1b" in line else line
    return _CONTROL.sub("", kept)
