"""A computer as this process knows it, beside the row that says so after a restart."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ingot.computer_records import ComputerRecords
from ingot.errors import HOST_FULL, MAKE_ROOM, ConflictError, IngotError, lacks_room
from ingot.records.computer import SETTLED, Computer

if TYPE_CHECKING:
    from ingot.launcher.life import Life

log = logging.getLogger(__name__)


class Tracked:
    """`life` is its machine's time, the last one when it has ended. `work` is what goes on with it beside its life (a
    restart, a start), `deleting` its end for good, `over_since` when a test run ended; `taking_up` is held by who
    takes what its last machine left. `short_lives` counts those that a reboot from inside ended soon, in a row."""

    def __init__(self, computer: Computer, records: ComputerRecords) -> None:
        self.computer = computer
        self.life: Life | None = None
        self.work: asyncio.Task[None] | None = None
        self.deleting: asyncio.Task[None] | None = None
        self.over_since: float | None = None
        self.short_lives = 0
        self.taking_up = asyncio.Lock()
        self._records = records

    @property
    def is_on(self) -> bool:
        """Whether it has a machine, or is about to."""
        alive = self.life is not None and not self.life.task.done()
        return alive or (self.work is not None and not self.work.done())

    @property
    def has_machine(self) -> bool:
        """Whether a machine of it is there, in whatever state."""
        return self.life is not None and self.life.has_machine

    def check_settled(self) -> None:
        """Raises ConflictError while it changes."""
        status = self.computer.status
        if status not in SETTLED:
            raise ConflictError(f"the computer is {status}", hint="try again when it is not", code="in_transition")

    def refuse_run(self, what: str) -> None:
        """Raises ConflictError for a test run, which cannot be `what`."""
        if self.computer.test_run:
            hint = "end it with DELETE /api/templates/run, or launch a computer with POST /api/computers"
            raise ConflictError(f"a test run cannot be {what}", hint=hint, code="test_run")

    def alive(self) -> Life:
        """Its life. Raises ConflictError where it never had one."""
        if self.life is None:
            why, hint = f"the computer is {self.computer.status}", "commands need one that is running"
            raise ConflictError(why, hint=hint, code="not_running")
        return self.life

    def set(self, **changes: Any) -> None:
        """Changes fields of `computer`, at once and in memory alone: `save` is to follow."""
        self.computer = replace(self.computer, **changes)

    async def save(self) -> None:
        """Raises HostError when the database cannot take it."""
        if not self.computer.test_run:
            await self._records.save(self.computer)

    async def note(self, **changes: Any) -> None:
        """`set` and `save`, where nothing hangs on the row: a failure is only logged."""
        self.set(**changes)
        try:
            await self.save()
        except IngotError:
            log.exception("a computer's row cannot be written", extra={"computer": self.computer.id})


def words_of(error: BaseException) -> str:
    """What a computer's `error` says of a failure."""
    if isinstance(error, IngotError):
        return str(error)
    return f"{HOST_FULL}; {MAKE_ROOM}" if lacks_room(error) else "an error of Ingot's own; see the server's log"
