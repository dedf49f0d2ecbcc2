"""From what went wrong to the `Failure` that ends the build: which code, and words that help. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from ingot.errors import (
    HOST_FULL,
    MAKE_ROOM,
    BuildError,
    DeadlineError,
    HostError,
    IngotError,
    MachineLostError,
    lacks_room,
)
from ingot.machine.contract import POWERED_OFF, REBOOTED
from ingot.records.build import Failure, FailureCode
from ingot.records.machine import CommandResult

_CODES = {code.value: code for code in FailureCode}


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
    if result.host_full:
        told = HostError(f"{HOST_FULL}: what {step} wrote was not taken", hint=MAKE_ROOM, code="out_of_disk")
        error = failed(FailureCode.OUT_OF_DISK, str(told), step, result.exit_code, lines)
        error.__cause__ = told
        return error
    if result.memory_killed:
        message = f"{step} ran out of memory; ask for more with hardware.ram_gb"
        return failed(FailureCode.OUT_OF_MEMORY, message, step, result.exit_code, lines)
    if result.disk_full:
        message = f"{step} filled the machine's disk; ask for more with hardware.disk_gb"
        return failed(FailureCode.OUT_OF_DISK, message, step, result.exit_code, lines)
    message = f"{step} ended with exit code {result.exit_code}"
    return failed(FailureCode.STEP_FAILED, message, step, result.exit_code, lines)


def leaves_no_machine(error: BuildError) -> bool:
    """Whether a failed step leaves no machine that is worth a look: it is lost, or the host has no room for it."""
    return isinstance(error.__cause__, MachineLostError) or lacks_room(error)


_UNREACHABLE = re.compile(
    r"Temporary failure (resolving|in name resolution)|Could not resolve|Could not connect to|Unable to connect to"
    r"|Connection (failed|refused|timed out|reset by peer)|[Nn]etwork is unreachable|No route to host"
    r"|\b(EAI_AGAIN|ENOTFOUND|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ERR_SOCKET_TIMEOUT)\b"
    r"|Read timed out|ConnectTimeoutError|NewConnectionError"
)
"""What apt, pip and npm say when they do not get through to a registry."""


def blame_network(error: BuildError) -> BuildError:
    """The failure of a package manager's own command, as one of the network where that is what it complained of."""
    failure = error.failure
    said = next((line.strip() for line in reversed(failure.last_lines) if _UNREACHABLE.search(line)), None)
    if failure.code is not FailureCode.STEP_FAILED or said is None:
        return error
    hint = "see that this host reaches the registry, then build again: the steps that were finished are kept"
    message = f"{failure.step} did not reach its registry: {said}; {hint}"
    return BuildError(replace(failure, code=FailureCode.NETWORK, message=message))


def as_build_error(error: IngotError | OSError, step: str | None) -> BuildError:
    """Any other error, met in `step`, as the error that ends the build."""
    if isinstance(error, BuildError):
        return error
    if isinstance(error, DeadlineError):
        return failed(FailureCode.TIMED_OUT, str(error), step)
    if isinstance(error, MachineLostError) and error.code in (POWERED_OFF, REBOOTED):
        return failed(FailureCode.MACHINE_LOST, f"{error}: a step must leave its machine running", step)
    if isinstance(error, IngotError) and error.code in _CODES:
        again = "" if error.hint else "; build again: the steps that were finished are kept"
        return failed(_CODES[error.code], f"{error}{again}", step)
    if lacks_room(error):
        return failed(FailureCode.OUT_OF_DISK, f"{HOST_FULL}; {MAKE_ROOM}", step)
    told = str(error) if isinstance(error, IngotError) else f"the server could not go on: {error.strerror or error}"
    return failed(FailureCode.INTERNAL, told, step)
