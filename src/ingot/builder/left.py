"""The machine that a failed build leaves behind for whoever wants to look into it.

Nothing of it is captured, and nothing it downloaded reaches a cache: later builds do not learn of what was tried in it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ingot.builder.bake import Bake
from ingot.builder.scripts import STEP_ENV
from ingot.builder.steps import Close, Install, Script
from ingot.machine.contract import Machine
from ingot.records.build import Failure, FailureCode
from ingot.records.event import Phase

_WORTH_A_LOOK = frozenset(
    {
        FailureCode.STEP_FAILED,
        FailureCode.OUT_OF_MEMORY,
        FailureCode.OUT_OF_DISK,
        FailureCode.READY_CHECK_FAILED,
        FailureCode.NETWORK,
        FailureCode.TIMED_OUT,
    }
)
"""Failures of the step's own; after any other one there is no machine, or the server is to blame."""


@dataclass(frozen=True, slots=True)
class LeftMachine:
    """`machine` is as the failed `step` left it; `env` is what the step's commands saw but for secrets; `resources` has
    the machine and the layers it stands on: closing it removes the one and lets go of the others."""

    build_id: str
    machine: Machine
    phase: Phase
    step: str
    env: Mapping[str, str]
    resources: AsyncExitStack


Take = Callable[[LeftMachine], None]
"""Becomes the owner of what a build left."""


def leave_machine(bake: Bake, failure: Failure, resources: AsyncExitStack) -> LeftMachine | None:
    """Takes the machine out of the build's `resources` when a step failed in it and the build is to keep it; None, and
    nothing is taken, otherwise."""
    step, machine = bake.running, bake.seat.machine
    if not bake.request.flags.keep_on_failure or failure.code not in _WORTH_A_LOOK or step is None or machine is None:
        return None
    bake.seat.forget_downloads()
    env = step.work.env if isinstance(step.work, (Script, Install, Close)) else {}
    return LeftMachine(bake.request.build_id, machine, step.phase, step.title, {**STEP_ENV, **env}, resources.pop_all())
