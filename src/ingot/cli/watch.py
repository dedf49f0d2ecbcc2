"""What can be asked of watching a build, as values. Light: every command's flags are made from it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from ingot.records.ref import Ref


class ProgressMode(StrEnum):
    AUTO = "auto"
    TTY = "tty"
    PLAIN = "plain"
    RAWJSON = "rawjson"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Watch:
    """What to watch. `results_are_frames`: the lines are what was asked for and go to stdout (`ingot logs`);
    otherwise they are talk. With `live` off it ends where the log ends now."""

    ref: Ref
    attempt: int | None
    mode: ProgressMode
    give_up_after: float
    results_are_frames: bool
    live: bool = True
