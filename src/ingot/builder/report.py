"""What the builder is given to tell what it does. It knows neither database nor stream.

Phases never go backwards: `enter` of an earlier phase than the one reached keeps the one reached.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from ingot.records.build import StepRecord
from ingot.records.event import Level, Phase


class Output(Protocol):
    """Takes what a command prints. `last_lines` are the last 20 finished lines, redacted, for the failure."""

    async def write(self, chunk: bytes) -> None: ...

    def last_lines(self) -> tuple[str, ...]: ...


class Reporter(Protocol):
    async def enter(self, phase: Phase) -> None:
        """The build is in `phase` now; later lines carry it."""

    async def say(self, line: str, *, level: Level = Level.INFO, source: str | None = None) -> None:
        """A line of the builder's own. Never a secret's value; never level `error` (the end is told by
        whoever runs the builder)."""

    def output(self, source: str) -> AbstractAsyncContextManager[Output]:
        """Where one step's raw output goes; leaving flushes it. Redaction, caps and line splitting are behind it."""

    async def step(self, record: StepRecord) -> None:
        """A step of the plan began or ended; the record of the same index replaces the earlier one."""
