"""What the command's exit status means: part of the interface, never renumbered."""

from __future__ import annotations

from enum import IntEnum

from ingot.errors import (
    IngotError,
    SettingsError,
    StreamLostError,
    TemplateError,
    UnauthenticatedError,
    UnreachableError,
)
from ingot.records.event import Result


class ExitCode(IntEnum):
    """`INTERRUPTED` is Ctrl-C: we stopped watching, whatever the build does."""

    READY = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    CANCELLED = 4
    TIMED_OUT = 5
    STREAM_LOST = 6
    INTERRUPTED = 130


_OF_RESULT = {
    Result.READY: ExitCode.READY,
    Result.FAILED: ExitCode.FAILED,
    Result.CANCELLED: ExitCode.CANCELLED,
    Result.TIMED_OUT: ExitCode.TIMED_OUT,
}


def code_of(error: IngotError) -> ExitCode:
    """The exit status for an error that ended a command."""
    if isinstance(error, (TemplateError, SettingsError)):
        return ExitCode.USAGE
    if isinstance(error, UnauthenticatedError):
        return ExitCode.USAGE
    if isinstance(error, UnreachableError):
        return ExitCode.UNREACHABLE
    if isinstance(error, StreamLostError):
        return ExitCode.STREAM_LOST
    return ExitCode.FAILED


def code_of_result(result: Result) -> ExitCode:
    """The exit status for how a watched build ended."""
    return _OF_RESULT[result]
