"""The machines of builds that run in this server, for who looks at their screens. They stay their builds' own: nothing
here runs a command in one, keeps one, or ends one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ingot.builder.request import BuildRequest
from ingot.builder.seat import Seat
from ingot.errors import ConflictError, DeadlineError, MachineError, MachineLostError, NotFoundError


class BuildingMachines:
    """To be called from tasks of one loop."""

    def __init__(self, *, have_screens: bool) -> None:
        self._have_screens = have_screens
        self._seats: dict[str, tuple[str, Seat]] = {}

    @contextlib.contextmanager
    def watch(self, request: BuildRequest, seat: Seat) -> Iterator[None]:
        """Around a build: the machine that its seat has meanwhile can be looked at."""
        self._seats[request.build_id] = request.account, seat
        try:
            yield
        finally:
            del self._seats[request.build_id]

    async def screenshot(self, account: str, build_id: str) -> bytes:
        """The screen of a build's machine, as a PNG; also of one that only boots. Raises NotFoundError
        `nothing_builds`, ConflictError `no_screen`."""
        owner, seat = self._seats.get(build_id, ("", None))
        machine = None if seat is None or owner != account else seat.shown
        if machine is None:
            raise _nothing_builds()
        if not self._have_screens:
            hint = "builds have one where machines are virtual machines"
            raise ConflictError("the machine that builds has no screen", hint=hint, code="no_screen")
        try:
            return await machine.screenshot()
        except MachineLostError:
            raise _nothing_builds() from None
        except (MachineError, DeadlineError) as error:
            raise ConflictError(error.message, hint=error.hint, code=error.code) from error


def _nothing_builds() -> NotFoundError:
    hint = "a build has a machine only while a step of it runs"
    return NotFoundError("no machine builds it on this server just now", hint=hint, code="nothing_builds")
