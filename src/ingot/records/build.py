"""One attempt to build a ref, its steps and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ingot.records.event import Phase, Result
from ingot.records.ref import Ref


class BuildState(StrEnum):
    """Where an attempt is. `joined` waits for another build of the same digest."""

    QUEUED = "queued"
    JOINED = "joined"
    RUNNING = "running"
    READY = "ready"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        return self in (BuildState.READY, BuildState.FAILED)


class BuildStatus(StrEnum):
    """What the API shows: nothing else, ever."""

    NOT_BUILT = "not_built"
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"


class FailureCode(StrEnum):
    STEP_FAILED = "step_failed"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_DISK = "out_of_disk"
    READY_CHECK_FAILED = "ready_check_failed"
    NETWORK = "network"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    QUEUE_EXPIRED = "queue_expired"
    MACHINE_LOST = "machine_lost"
    INTERNAL = "internal"

    @property
    def result(self) -> Result:
        """The terminal frame's `result` that belongs to this code."""
        if self is FailureCode.CANCELLED:
            return Result.CANCELLED
        if self in (FailureCode.TIMED_OUT, FailureCode.QUEUE_EXPIRED):
            return Result.TIMED_OUT
        return Result.FAILED


@dataclass(frozen=True, slots=True)
class Failure:
    """`step` is the plan's step title, or the phase's name outside of steps; `last_lines` its last output."""

    code: FailureCode
    message: str
    step: str | None = None
    exit_code: int | None = None
    last_lines: tuple[str, ...] = ()


KEEP_SECONDS = (60, 7200)
"""The least and the most for which a failed step's machine can be held."""

CANCELLED_ON_REQUEST = Failure(FailureCode.CANCELLED, "cancelled on request")


@dataclass(frozen=True, slots=True)
class BuildFlags:
    """How a build was asked for. `force` builds although a golden exists, `no_cache` ignores known layers,
    `refresh` takes the newest base image. `keep_on_failure` is for how many seconds the machine of a step that fails
    is held, 0 not at all."""

    force: bool = False
    no_cache: bool = False
    refresh: bool = False
    keep_on_failure: int = 0

    @property
    def takes_golden(self) -> bool:
        """True when a golden that is there already will do: then nothing can fail."""
        return not (self.force or self.no_cache or self.refresh)

    def is_served_by(self, other: BuildFlags) -> bool:
        """True when a build under way with the flags `other` gives what these ask for. `force` asks for a build
        although a golden exists; one that is under way is such a build."""
        return other.no_cache >= self.no_cache and other.refresh >= self.refresh


class StepState(StrEnum):
    RUNNING = "running"
    REUSED = "reused"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One step of an attempt's history. Times are milliseconds since the epoch."""

    index: int
    title: str
    phase: Phase
    source: str
    reason: str
    state: StepState
    started_ms: int
    duration_ms: int | None = None
    layer: str | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """One attempt. `epoch` is the fencing number of the claim that may write; 0 belongs to the queue.
    `golden_key` is the golden's key in the object store once ready; times are milliseconds since the epoch."""

    id: str
    account: str
    ref: Ref
    digest: str
    attempt: int
    epoch: int
    state: BuildState
    flags: BuildFlags
    phase: Phase | None
    step: str | None
    queued_ms: int
    started_ms: int | None = None
    finished_ms: int | None = None
    reused: bool = False
    failure: Failure | None = None
    golden_key: str | None = None
    joined_to: str | None = None
    cancel_requested: bool = False
    steps: tuple[StepRecord, ...] = ()
    manifest: dict[str, Any] | None = None

    @property
    def result(self) -> Result | None:
        """None while the attempt is not over."""
        if self.state is BuildState.READY:
            return Result.READY
        return self.failure.code.result if self.failure is not None else None


@dataclass(frozen=True, slots=True)
class Standing:
    """How published content stands: `last` is its last attempt, without steps and manifest, None when it was never
    built; `golden_key` its newest golden, `queue_position` the place of an attempt that waits, from 1."""

    status: BuildStatus
    last: Build | None = None
    golden_key: str | None = None
    queue_position: int | None = None


@dataclass(frozen=True, slots=True)
class HeldMachine:
    """The machine of a failed build, held as the step left it that failed. Times are milliseconds since the epoch."""

    build_id: str
    account: str
    ref: Ref
    attempt: int
    phase: Phase
    step: str
    held_ms: int
    expires_ms: int
