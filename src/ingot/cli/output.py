"""Where words go: results on stdout, talk on stderr, JSON on stdout when asked for. Nothing else prints.

Tables are aligned by the cells that characters take on a terminal, so that wide characters do not shift columns.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.errors import IngotError, TemplateError
from ingot.records.problem import Problem


@dataclass(frozen=True, slots=True)
class Talk:
    """One command's voice. With `as_json`, `result` prints nothing and `json` does; otherwise the reverse."""

    as_json: bool = False

    def result(self, text: str) -> None:
        if not self.as_json:
            sys.stdout.write(text + "\n")

    def json(self, value: Any) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
        """A table on stdout; `empty` is said on stderr when there are no rows."""
        if self.as_json:
            return
        if rows:
            sys.stdout.write(align([list(headings), *map(list, rows)]))
        else:
            self.say(empty)

    def say(self, text: str) -> None:
        """Talk: on stderr, and not where a program reads."""
        if not self.as_json:
            self.complain(text)

    def complain(self, text: str) -> None:
        """What a person should see in any case."""
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def align(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length as lines with columns two blanks apart."""
    from rich.cells import cell_len

    widths = [max(cell_len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip() + "\n")
    return "".join(lines)


def problem_line(file: str, problem: Problem) -> str:
    """A problem as compilers tell it: `file:line:col: code: message (hint)`."""
    place = [file, *(str(part) for part in (problem.line, problem.column) if part is not None)]
    field = f"{problem.field}: " if problem.field and problem.field not in problem.message else ""
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"{':'.join(place)}: {problem.code}: {field}{problem.message}{hint}"


def problem_object(problem: Problem) -> dict[str, Any]:
    """A problem as the API shows it."""
    shown = {"field": problem.field, "code": str(problem.code), "message": problem.message}
    more = {"hint": problem.hint, "line": problem.line, "column": problem.column}
    return shown | {name: value for name, value in more.items() if value is not None}


def error_object(error: IngotError) -> Mapping[str, Any]:
    """An error as `--json` shows it, in the shape of the API's envelope."""
    shown: dict[str, Any] = {"error": error.message, "code": error.code}
    if error.hint:
        shown["hint"] = error.hint
    if isinstance(error, TemplateError):
        shown["errors"] = [problem_object(problem) for problem in error.problems]
    return shown


def duration(seconds: float) -> str:
    """`0.4s`, `59.9s`, `1m04s`, `2h03m`: seven characters at most."""
    if seconds < 59.95:
        return f"{max(seconds, 0):.1f}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def size(count: float) -> str:
    """Bytes for a person: `312 B`, `4.2 MiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return ""
