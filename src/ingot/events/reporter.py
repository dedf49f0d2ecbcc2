"""What the builder reports to, with the log behind it: phases, lines, raw output, and the attempt's end.

Fits `builder.report.Reporter` by its shape. Everything passes the redactor before it is stored, shown or told
to anyone. It decides nothing about a build: the worker says how the attempt ended.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from ingot.events.frames import encode_lines, encode_terminal
from ingot.events.ingest import Limits, SecretForms, redact_line, sanitise
from ingot.events.ingest.caps import DEFAULT_LIMITS
from ingot.events.ingest.lines import cut_line
from ingot.events.step_output import StepOutput
from ingot.events.writer import LogWriter
from ingot.records.build import Failure, StepRecord, StepState
from ingot.records.event import PHASE_ORDER, FrameId, Level, Phase, Result

OnProgress = Callable[[Phase, str | None], Awaitable[None]]
OnStep = Callable[[StepRecord], Awaitable[None]]

_ENDS = frozenset({Phase.READY, Phase.CANCEL, Phase.TIMEOUT})


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class BuildReporter:
    """Reports one attempt into its log. `secrets` are the values that must never show.

    `on_progress(phase, step)` is called when a phase is entered and a step begins; `on_step` for every step
    record, with titles and reasons redacted.
    """

    def __init__(
        self,
        writer: LogWriter,
        attempt: int,
        secrets: Sequence[bytes | str],
        on_progress: OnProgress,
        on_step: OnStep,
        *,
        limits: Limits = DEFAULT_LIMITS,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        self._writer = writer
        self._attempt = attempt
        self._secrets = tuple(secrets)
        self._forms = SecretForms(self._secrets)
        self._on_progress = on_progress
        self._on_step = on_step
        self._limits = limits
        self._now_ms = now_ms
        self._ts_ms = writer.last_ts_ms
        reached = writer.last_phase
        self._phase = reached if reached is not None and reached not in _ENDS else Phase.PUBLISH
        self._outputs: set[StepOutput] = set()
        self._recent: tuple[str, ...] = ()
        self._ended = False

    @property
    def phase(self) -> Phase:
        """The phase reached: what lines carry now."""
        return self._phase

    @property
    def forms(self) -> SecretForms:
        return self._forms

    @property
    def limits(self) -> Limits:
        return self._limits

    def add_secrets(self, secrets: Sequence[bytes | str]) -> None:
        """More values that must not show, from now on."""
        self._secrets = (*self._secrets, *secrets)
        self._forms = SecretForms(self._secrets)
        for output in self._outputs:
            output.forms = self._forms

    async def enter(self, phase: Phase) -> None:
        """The build is in `phase` now. Going back changes nothing; `ready`, `cancel` and `timeout` belong to the
        terminal frame alone, and entering them changes nothing either."""
        if phase not in _ENDS and PHASE_ORDER[phase] > PHASE_ORDER[self._phase]:
            self._phase = phase
        await self._on_progress(self._phase, None)

    async def say(self, line: str, *, level: Level = Level.INFO, source: str | None = None) -> None:
        """A line of our own, never capped. Level `error` is lowered to `warn`: what makes a build fail is told
        by the terminal frame, and clients take any error for the end."""
        lines = [piece for text in line.splitlines() or [""] for piece in self._presentable(text)]
        self.store(lines, level=Level.WARN if level is Level.ERROR else level, source=source)
        await self._writer.room()

    @asynccontextmanager
    async def output(self, source: str) -> AsyncIterator[StepOutput]:
        """Where a step's raw output goes; leaving stores what is left of it, also when the step was cancelled."""
        output = StepOutput(self, self._writer, source, self._limits)
        self._outputs.add(output)
        try:
            yield output
        finally:
            self._outputs.discard(output)
            self._close(output)

    async def step(self, record: StepRecord) -> None:
        """A step began or ended."""
        shown = dataclasses.replace(record, title=self.redact(record.title), reason=self.redact(record.reason))
        await self._on_step(shown)
        if shown.state is StepState.RUNNING:
            await self._on_progress(self._phase, shown.title)

    def last_lines(self) -> tuple[str, ...]:
        """The last lines of the step whose output ended last, or of the one that is running."""
        for output in self._outputs:
            return output.last_lines()
        return self._recent

    async def finish(
        self, result: Result, duration_ms: int, failure: Failure | None, commit: Callable[[], Awaitable[None]]
    ) -> None:
        """Ends the attempt with its terminal frame: durable, then `commit`, then visible. `failure` is required
        for every result but `ready`. What is written afterwards goes nowhere.

        May be called again when `commit` or the disk failed.
        """
        for output in tuple(self._outputs):
            self._close(output)
        self._ended = True
        frame = encode_terminal(
            FrameId(self._attempt, self._writer.next_seq),
            ts_ms=self._now(),
            reached=self._phase,
            result=result,
            duration_ms=duration_ms,
            failure=self.redact_failure(failure),
        )
        await self._writer.finish(frame, commit)

    def redact(self, text: str) -> str:
        """`text` as one line that may be shown."""
        return redact_line(self._forms, sanitise(redact_line(self._forms, text)).replace("\n", " "))

    def redact_failure(self, failure: Failure | None) -> Failure | None:
        """The failure as it may be stored and shown, also by the build object."""
        if failure is None:
            return None
        return dataclasses.replace(
            failure,
            message=self.redact(failure.message),
            step=failure.step and self.redact(failure.step),
            last_lines=tuple(map(self.redact, failure.last_lines)),
        )

    def store(self, lines: Sequence[str], *, level: Level = Level.INFO, source: str | None) -> int:
        """Stores finished, redacted lines under the phase reached; returns their stored bytes."""
        if self._ended or not lines:
            return 0
        first = FrameId(self._attempt, self._writer.next_seq)
        frames = encode_lines(first, lines, ts_ms=self._now(), level=level, phase=self._phase, source=source)
        self._writer.append(frames)
        return sum(map(len, frames))

    def _close(self, output: StepOutput) -> None:
        output.close()
        self._recent = output.last_lines()

    def _presentable(self, text: str) -> list[str]:
        return cut_line(self.redact(_printable(text)), self._limits.line)

    def _now(self) -> int:
        """The time, never before the last line's."""
        self._ts_ms = max(self._ts_ms, self._now_ms())
        return self._ts_ms


def _printable(text: str) -> str:
    """Without the lone surrogates that stand for undecodable bytes in paths: JSON cannot carry them."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()
