"""One step's raw output on its way into the log: slices for the event loop, timers, caps.

The lines themselves are made by `ingest`; this module only says when.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Protocol

from ingot.errors import IngotError
from ingot.events.ingest import Ingest, Limits, Omission, SecretForms
from ingot.events.writer import LogWriter
from ingot.records.event import Level

_SLICE = 32 * 1024
_DENSE_SLICE = 4 * 1024
_DENSE = 40
"""Fewer bytes a line than this, and a slice must be small to be quick."""
_LOOP_SHARE = 0.001
"""Seconds of work after which a step's output waits, so that others are served."""
_REST = 7
"""Seconds that it waits for each second of work: a step that floods is slowed down by its own full pipe, and takes at
most an eighth of the server's core, and of what its own processes could take of the machine's."""


class Sink(Protocol):
    """Where finished lines go: the reporter."""

    @property
    def forms(self) -> SecretForms: ...

    def store(self, lines: Sequence[str], *, level: Level = Level.INFO, source: str | None) -> int: ...


class StepOutput:
    """Takes what a step's commands print. Fits `builder.report.Output` by its shape."""

    def __init__(self, sink: Sink, writer: LogWriter, source: str, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._ingest = Ingest(sink.forms, limits, now=self._loop.time())
        self._sink = sink
        self._writer = writer
        self._source = source
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._told_capped = 0.0
        self._worked = 0.0
        self._closed = False
        self._check_attempt()

    @property
    def forms(self) -> SecretForms:
        return self._ingest.forms

    @forms.setter
    def forms(self, forms: SecretForms) -> None:
        self._ingest.forms = forms

    async def write(self, chunk: bytes) -> None:
        """Takes a chunk of any size; waits when the disk does not keep up."""
        if self._closed:
            return
        for piece in (chunk,) if self._ingest.ring is not None else _slices(chunk):
            began = self._loop.time()
            self._take(piece)
            self._worked += self._loop.time() - began
            await self._writer.room()
            if self._worked > _LOOP_SHARE:
                await asyncio.sleep(_REST * self._worked)
                self._worked = 0.0
        self._arm()

    def last_lines(self) -> tuple[str, ...]:
        """The last 20 lines, redacted, the unfinished one included."""
        return self._ingest.last_lines()

    def close(self) -> None:
        """Stores what is left. Nothing is taken afterwards."""
        if self._closed:
            return
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        lines, omission, ring = self._ingest.finish()
        self._sink.store(lines, source=self._source)
        if omission is not None:
            self._sink.store([_omitted(omission, len(ring))], level=Level.WARN, source=self._source)
            self._sink.store(ring, source=self._source)

    def _take(self, piece: bytes) -> None:
        lines = self._ingest.feed(piece, self._loop.time())
        if lines:
            self._ingest.charge(self._sink.store(lines, source=self._source))
        self._check_attempt()

    def _check_attempt(self) -> None:
        if self._writer.stored_bytes >= self._limits.attempt_frames:
            self._ingest.stop_storing()

    def _arm(self) -> None:
        """Sees to it that a partial line, or the progress of a capped step, is shown when it is due."""
        if self._timer is not None or self._closed:
            return
        due = self._ingest.due()
        if self._ingest.ring is not None:
            due = max(self._told_capped, self._loop.time()) + self._limits.capped_seconds
        if due is not None:
            self._timer = self._loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        # A stale or failing log is reported to the step's own next write, not to the event loop.
        with contextlib.suppress(IngotError, OSError):
            if self._ingest.ring is not None:
                self._told_capped = self._loop.time()
                self._sink.store([_going_on(self._ingest.ring.lines, self._ingest.ring.bytes)], source=self._source)
            else:
                lines = self._ingest.show_partial(self._loop.time())
                self._ingest.charge(self._sink.store(lines, source=self._source))
            self._arm()


def _slices(chunk: bytes) -> Sequence[bytes]:
    """Parts of a chunk that each cost the event loop little."""
    if len(chunk) <= _DENSE_SLICE:
        return (chunk,)
    dense = len(chunk) < _DENSE * (chunk.count(b"\n") + chunk.count(b"\r"))
    size = _DENSE_SLICE if dense else _SLICE
    if len(chunk) <= size:
        return (chunk,)
    return [chunk[start : start + size] for start in range(0, len(chunk), size)]


def _going_on(lines: int, size: int) -> str:
    return f"still writing: {lines:,} more lines ({_megabytes(size)}) so far that are not shown"


def _omitted(omission: Omission, following: int) -> str:
    return (
        f"this step wrote more than the log keeps: {omission.lines:,} lines ({_megabytes(omission.bytes)}) "
        f"are left out here, the last {following:,} lines follow"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1_000_000:,.1f} MB"
