"""From what went wrong to the `Failure` that ends the build: which code, and words that help. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ingot.errors import (
    BuildError,
    DeadlineError,
    IngotError,
    MachineDiskError,
    MachineLostError,
    MachineMemoryError,
)
from ingot.records.build import Failure, FailureCode
from ingot.records.machine import CommandResult


def failed(
    code: FailureCode, message: str, step: str | None = None, exit_code: int | None = None, lines: Sequence[str] = ()
) -> BuildError:
    return BuildError(Failure(code, message, step, exit_code, tuple(lines)))


def judge(result: CommandResult, step: str, lines: Sequence[str], timeout: float) -> BuildError | None:
    """None for a command that did what it should; otherwise the error that ends the build. A killed process or a
    full disk that the command itself survived is no failure."""
    if result.timed_out:
        return failed(FailureCode.TIMED_OUT, f"{step} did not end within {timeout:g} s", step, None, lines)
    if result.exit_code == 0:
        return None
    if result.memory_killed:
        message = f"{step} ran out of memory; ask for more with hardware.ram_gb"
        return failed(FailureCode.OUT_OF_MEMORY, message, step, result.exit_code, lines)
    if result.disk_full:
        message = f"{step} filled the machine's disk; ask for more with hardware.disk_gb"
        return failed(FailureCode.OUT_OF_DISK, message, step, result.exit_code, lines)
    message = f"{step} ended with exit code {result.exit_code}"
    return failed(FailureCode.STEP_FAILED, message, step, result.exit_code, lines)


def as_build_error(error: IngotError, step: str) -> BuildError:
    """Any other error of ours, met in `step`, as the error that ends the build."""
    if isinstance(error, BuildError):
        return error
    if isinstance(error, DeadlineError):
        code = FailureCode.TIMED_OUT
    elif isinstance(error, MachineMemoryError):
        code = FailureCode.OUT_OF_MEMORY
    elif isinstance(error, MachineDiskError):
        code = FailureCode.OUT_OF_DISK
    elif isinstance(error, MachineLostError):
        code = FailureCode.MACHINE_LOST
    else:
        code = FailureCode.INTERNAL
    return failed(code, str(error), step)
