"""One line of a build, as the event stream carries it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    INFO = "info"
    SUCCESS = "success"
    WARN = "warn"
    ERROR = "error"


class Phase(StrEnum):
    """In the order of a build; `cancel` and `timeout` are where a stopped build ends."""

    PUBLISH = "publish"
    COMPILE = "compile"
    BOOT = "boot"
    INSTALL = "install"
    SNAPSHOT = "snapshot"
    RECORD = "record"
    ARCHIVE = "archive"
    READY = "ready"
    CANCEL = "cancel"
    TIMEOUT = "timeout"


PHASE_ORDER: dict[Phase, int] = {phase: place for place, phase in enumerate(Phase)}


class Result(StrEnum):
    READY = "ready"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Event:
    """`ts_ms` is milliseconds since the epoch, UTC; `source` is `apt`, `run`, `builder`, an app's name …"""

    ts_ms: int
    level: Level
    phase: Phase
    line: str
    source: str | None = None


@dataclass(frozen=True, slots=True)
class FrameId:
    """`<attempt>-<seq>`: attempts of a ref count from 1, frames of an attempt from 0 without gaps."""

    attempt: int
    seq: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> FrameId | None:
        """None for anything that is not an id, since a client may send whatever it has."""
        attempt, dash, seq = text.partition("-")
        if not dash or not (attempt.isascii() and attempt.isdigit() and seq.isascii() and seq.isdigit()):
            return None
        if len(attempt) > 9 or len(seq) > 12:
            return None
        return cls(int(attempt), int(seq))
