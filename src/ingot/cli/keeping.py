"""`--keep-on-failure[=30m]` of `ingot build`: a flag whose value may be left out."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from ingot.cli.options import read_duration
from ingot.records.build import KEEP_SECONDS

_FLAG = "--keep-on-failure"
_DEFAULT = "30m"

KeepFlag = Annotated[
    str | None,
    typer.Option(
        _FLAG,
        metavar="[=DURATION]",
        help=f"Hold the machine of a step that fails, for `ingot debug`: 1m to 2h, {_DEFAULT} when not told.",
    ),
]


class BuildCommand(TyperCommand):
    """Says the value where the flag stands alone: the word behind it is never its value, but what to build."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [f"{_FLAG}={_DEFAULT}" if word == _FLAG else word for word in args])


def read_keep(text: str | None) -> int:
    """Seconds, 0 without the flag; a usage error for what no server takes."""
    if text is None:
        return 0
    seconds, (least, most) = read_duration(text), KEEP_SECONDS
    if not least <= seconds <= most:
        raise typer.BadParameter(f"{_FLAG}={text}: a machine is held for {least // 60}m to {most // 3600}h")
    return seconds
