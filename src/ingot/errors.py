"""Every error Ingot raises on purpose, drawn as one tree.

    IngotError
      SettingsError            a setting cannot be used
      HostError                this host lacks something; `hint` is the command that mends it
      CommandError             a host command failed: argv, status and last output
      DeadlineError            a wait reached its deadline
      TemplateError            a document with problems, all of them
      RequestError             what a caller of the registry, queue, vault or access asked cannot be done
        UnauthenticatedError     no key, or a key that is not valid
        ForbiddenError           the key lacks the scope
        NotFoundError            it is not there, or not for this account
        GoneError                it was there and was removed when its time was over
        ConflictError            it contradicts what is there
        TooLargeError            it passes a size limit
        UnprocessableError       it can be read but means nothing valid
        CapacityError            a queue, quota or host is full; `retry_after` seconds
      StaleEpochError          a writer that lost its lease tried to write
      CorruptStoreError        stored bytes do not match their digest
      MachineError             something about a running machine
        MachineLostError         the machine is gone and cannot be had back; with the code `network`, `out_of_disk`,
                                 `powered_off` or `rebooted`: its network has ended, this host's disk has no room, or
                                 somebody inside ended it
        MachineMemoryError       the machine's memory limit killed a process
        MachineDiskError         the machine's disk, bytes or inodes, is full
      BuildError               ends a build: carries the `Failure` that the terminal frame shows
      ServerError              a server answered with a failure of its own, or with what is no answer of Ingot's
      UnreachableError         no server answers where the client looked
      StreamLostError          the event stream broke off and could not be had back

Each says what happened, why, and what to do. `code` is the stable snake_case name that the API shows.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ingot.records.build import Failure
    from ingot.records.problem import Problem


class IngotError(Exception):
    """The root. `str(error)` is one or two sentences for a person; `hint` says what to do next."""

    code = "internal"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class SettingsError(IngotError):
    code = "bad_setting"


class HostError(IngotError):
    code = "host"


class CommandError(IngotError):
    """A host command ended with a status other than 0. `output` is the end of what it printed."""

    code = "command_failed"

    def __init__(self, argv: Sequence[str], status: int, output: str) -> None:
        super().__init__(f"`{' '.join(argv)}` ended with status {status}: {output.strip()[-2000:]}")
        self.argv = tuple(argv)
        self.status = status
        self.output = output


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_ROOM_SAID = "No space left on device"
HOST_FULL = "the server's disk is full"
MAKE_ROOM = "free space on the disk of its data directory (`ingot gc` removes what nothing needs), then try again"


def lacks_room(error: BaseException | None) -> bool:
    """Whether an error, or what caused it, is that this host's disk is full."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        if isinstance(error, CommandError) and _NO_ROOM_SAID in error.output:
            return True
        if isinstance(error, (HostError, MachineLostError)) and error.code == MachineDiskError.code:
            return True
        error = error.__cause__
    return False


class DeadlineError(IngotError):
    """A wait reached its deadline. `seconds` is how long was waited."""

    code = "deadline"

    def __init__(self, message: str, *, seconds: float) -> None:
        super().__init__(message)
        self.seconds = seconds


class TemplateError(IngotError):
    """A document that cannot be used; `problems` are all that were found, in document order."""

    code = "invalid_template"

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        where = f"{first.field}: " if first.field else ""
        super().__init__(f"the template is not valid: {where}{first.message}{more}")
        self.problems = tuple(problems)


class RequestError(IngotError):
    code = "bad_request"


class UnauthenticatedError(RequestError):
    code = "unauthorized"


class ForbiddenError(RequestError):
    code = "forbidden"


class NotFoundError(RequestError):
    code = "not_found"


class GoneError(RequestError):
    code = "gone"


class ConflictError(RequestError):
    code = "conflict"


class TooLargeError(RequestError):
    code = "body_too_large"


class UnprocessableError(RequestError):
    code = "unprocessable"


class CapacityError(RequestError):
    """Something is full. `retry_after` (seconds) is when to ask again."""

    code = "capacity"

    def __init__(self, message: str, *, retry_after: int, code: str | None = None) -> None:
        super().__init__(message, hint=f"try again in {retry_after} s", code=code)
        self.retry_after = retry_after


class StaleEpochError(IngotError):
    code = "stale_epoch"


class CorruptStoreError(IngotError):
    code = "corrupt_store"


class MachineError(IngotError):
    code = "machine"


class MachineLostError(MachineError):
    code = "machine_lost"


class MachineMemoryError(MachineError):
    code = "out_of_memory"


class MachineDiskError(MachineError):
    code = "out_of_disk"


class BuildError(IngotError):
    """Ends a build with `failure`, which the terminal frame and the build object show."""

    code = "build_failed"

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


class ServerError(IngotError):
    """The server failed, or answered what no Ingot server answers. `code` is the server's where it sent one."""

    code = "server"


class UnreachableError(IngotError):
    """No server answers. The build, if there is one, goes on without us."""

    code = "unreachable"


class StreamLostError(IngotError):
    """The event stream broke off and did not come back in time, or not where it broke off."""

    code = "stream_lost"
