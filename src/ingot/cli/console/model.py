"""A build as its frames tell it: phases with their steps, the lines of what runs, and the end. No clock, no terminal.

`BuildModel.take` takes frames in order and changes the model; everything else reads it. Times are the server's, in
milliseconds. Only the lines of what runs now are kept, so that a failing step can be shown in full.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from ingot.client.frames import End, Frame
from ingot.records.build import StepState
from ingot.records.event import Level, Phase, Result
from ingot.records.step_line import STEP_SOURCE, StepLine, parse_step_line

TAIL = 6
_MOST_NOTES = 20


class Mark(Enum):
    """What stands before a phase or step."""

    RUNNING = "running"
    DONE = "done"
    CACHED = "cached"
    FAILED = "failed"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed out"


_MARK_OF_RESULT = {
    Result.READY: Mark.DONE,
    Result.FAILED: Mark.FAILED,
    Result.CANCELLED: Mark.CANCELLED,
    Result.TIMED_OUT: Mark.TIMED_OUT,
}
_MARK_OF_STEP = {
    StepState.RUNNING: Mark.RUNNING,
    StepState.REUSED: Mark.CACHED,
    StepState.DONE: Mark.DONE,
    StepState.FAILED: Mark.FAILED,
}


@dataclass
class StepView:
    """One step. `seconds` is None while it runs and for a cached one."""

    index: int
    total: int
    title: str
    mark: Mark
    reason: str
    began_ms: int
    seconds: float | None = None

    @property
    def label(self) -> str:
        return f"{self.index}/{self.total} {self.title}"


@dataclass
class PhaseView:
    """One phase with its steps, and `notes`: its warnings, which stay on the screen."""

    phase: Phase
    began_ms: int
    mark: Mark = Mark.RUNNING
    seconds: float | None = None
    steps: list[StepView] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def running_step(self) -> StepView | None:
        return self.steps[-1] if self.steps and self.steps[-1].mark is Mark.RUNNING else None


@dataclass(frozen=True, slots=True)
class FailedOutput:
    """The whole output of what failed; `title` is the step, or the phase outside of steps."""

    title: str
    lines: tuple[str, ...]


class BuildModel:
    """`phases` in order, the last one running until `end` is set. `last_line` is the terminal frame's."""

    def __init__(self) -> None:
        self.phases: list[PhaseView] = []
        self.lines: list[str] = []
        self.end: End | None = None
        self.last_line = ""
        self.failed: FailedOutput | None = None

    @property
    def current(self) -> PhaseView | None:
        """The phase that runs; None before the first frame and after the last."""
        return self.phases[-1] if self.phases and self.end is None else None

    def take(self, frame: Frame) -> None:
        """The next frame of the attempt."""
        event = frame.event
        if frame.end is not None:
            self._finish(frame, frame.end)
            return
        phase = self._enter(event.phase, event.ts_ms)
        announced = parse_step_line(event.line) if event.source == STEP_SOURCE else None
        if announced is not None:
            self._announce(phase, announced, event.ts_ms)
            return
        if event.level is Level.WARN and len(phase.notes) < _MOST_NOTES:
            phase.notes.append(event.line)
        self.lines.append(event.line)

    def _enter(self, phase: Phase, ts_ms: int) -> PhaseView:
        if not self.phases or self.phases[-1].phase is not phase:
            if self.phases:
                self._close(self.phases[-1], Mark.DONE, ts_ms)
            self.phases.append(PhaseView(phase, ts_ms))
            self.lines = []
        return self.phases[-1]

    def _announce(self, phase: PhaseView, line: StepLine, ts_ms: int) -> None:
        step = phase.running_step
        if step is None or step.index != line.index:
            if step is not None:
                _end_step(step, Mark.DONE, ts_ms)
            step = StepView(line.index, line.total, line.title, Mark.RUNNING, line.reason, ts_ms)
            phase.steps.append(step)
            self.lines = []
        step.mark = _MARK_OF_STEP[line.state]
        step.seconds = line.seconds
        if line.state is StepState.FAILED:
            self.failed = FailedOutput(f"step {step.label}", tuple(self.lines))
        if line.state is not StepState.RUNNING:
            self.lines = []

    def _finish(self, frame: Frame, end: End) -> None:
        mark = _MARK_OF_RESULT[end.result]
        self.end, self.last_line = end, frame.event.line
        if end.result is Result.READY:
            self._enter(frame.event.phase, frame.event.ts_ms)
        elif self.failed is None and end.result is not Result.CANCELLED:
            self.failed = self._output_of_what_ran()
        if self.phases:
            self._close(self.phases[-1], mark, frame.event.ts_ms)
        self.lines = []

    def _output_of_what_ran(self) -> FailedOutput | None:
        if not self.lines:
            return None
        phase = self.phases[-1]
        step = phase.running_step
        return FailedOutput(f"step {step.label}" if step else str(phase.phase), tuple(self.lines))

    def _close(self, phase: PhaseView, mark: Mark, ts_ms: int) -> None:
        if phase.running_step is not None:
            _end_step(phase.running_step, mark, ts_ms)
        phase.mark = mark
        phase.seconds = max(0.0, (ts_ms - phase.began_ms) / 1000)


def _end_step(step: StepView, mark: Mark, ts_ms: int) -> None:
    step.mark, step.seconds = mark, max(0.0, (ts_ms - step.began_ms) / 1000)
