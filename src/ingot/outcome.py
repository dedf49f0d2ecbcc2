"""How an attempt ends, and how that is known from what is there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ingot.builder.failures import as_build_error
from ingot.errors import IngotError
from ingot.events.frames import TerminalFrame
from ingot.records.build import Build, BuildState, Failure, FailureCode
from ingot.records.event import Result
from ingot.storage.clock import now_ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ends: with a golden, or with a failure."""

    golden_key: str | None = None
    manifest: Mapping[str, Any] | None = None
    failure: Failure | None = None

    @property
    def result(self) -> Result:
        return Result.READY if self.failure is None else self.failure.code.result

    @property
    def state(self) -> BuildState:
        return BuildState.READY if self.failure is None else BuildState.FAILED


def outcome_for(joiner: Build, leader: Build) -> Outcome:
    """How a build ends that waited for `leader`, which is over. Nobody reads another account's lines."""
    if leader.state is BuildState.READY:
        return Outcome(golden_key=leader.golden_key, manifest=leader.manifest)
    failure = leader.failure or Failure(FailureCode.INTERNAL, "the build that this one waited for left no result")
    return Outcome(failure=failure if joiner.account == leader.account else replace(failure, last_lines=()))


def outcome_told_by(build: Build, terminal: TerminalFrame) -> Outcome:
    """The outcome that a log's last frame tells."""
    if terminal.result is Result.READY:
        return Outcome(golden_key=build.golden_key, manifest=build.manifest)
    told = terminal.error or {}
    code = FailureCode(told.get("code", FailureCode.INTERNAL))
    message = told.get("message", terminal.line)
    return Outcome(failure=Failure(code, message, told.get("step"), told.get("exit_code")))


def failure_of(error: Exception) -> Failure:
    if isinstance(error, (IngotError, OSError)):
        return as_build_error(error, None).failure
    return Failure(FailureCode.INTERNAL, f"{type(error).__name__}: {error}")


def expired(build: Build) -> Outcome:
    waited = (now_ms() - build.queued_ms) // 1000
    message = f"no builder was free within {waited} s; try again when the queue is shorter"
    return Outcome(failure=Failure(FailureCode.QUEUE_EXPIRED, message))
