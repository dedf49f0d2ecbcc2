"""What a computer wrote that its machine could not give: it is taken from what the machine left on the host.

That is so when the server was killed, when the machine was lost (it was switched off or rebooted from inside, its
process died), and when there was no room for its files. Until they are a layer of the computer's own its row names the
machine, and the host keeps the machine's disk. Nothing is started here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace

from ingot.computer_records import ComputerRecords
from ingot.errors import ConflictError, IngotError
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.tracked import Tracked
from ingot.machine.contract import Backend
from ingot.records.computer import Computer, ComputerStatus

log = logging.getLogger(__name__)

_DEADLINE = 600.0
_AT_REST = frozenset({ComputerStatus.STOPPED, ComputerStatus.ERROR, ComputerStatus.DELETING})


async def recover_computers(backend: Backend, records: ComputerRecords, own: OwnLayers) -> frozenset[str]:
    """At a server's start, before the host is swept: every computer is then stopped, in error or being deleted;
    `wanted` says which of them ran, and `error` which of those lost files. The machines whose files cannot be taken now
    are returned, for the sweep to spare."""
    pending = set()
    for computer in await records.all():
        machine, at_rest = computer.machine, computer.status in _AT_REST
        if machine is None and at_rest:
            continue
        changed = computer if at_rest else replace(computer, status=ComputerStatus.STOPPED)
        try:
            changed = await _without_machine(changed, backend, own)
        except ConflictError as error:
            changed = replace(changed, status=ComputerStatus.ERROR, error=str(error))
            pending |= {machine} if machine else set()
        await records.save(changed)
        if machine is not None and changed.machine is None:
            await _discard(backend, machine)
    return frozenset(pending)


async def take_up(tracked: Tracked, backend: Backend, own: OwnLayers) -> None:
    """What a computer that is off wrote before becomes a layer, where that is still to be done; one that has come on
    meanwhile is left alone. Raises ConflictError `files_pending` when it cannot be done now; then nothing has
    changed."""
    async with tracked.taking_up:
        before, machine = tracked.computer, tracked.computer.machine
        if machine is None or tracked.has_machine:
            return
        found = await _without_machine(before, backend, own)
        tracked.set(layers=found.layers, machine=None)
        if tracked.computer.status is before.status:
            tracked.set(status=found.status, error=found.error)
        await tracked.save()
        await _discard(backend, machine)


async def _without_machine(computer: Computer, backend: Backend, own: OwnLayers) -> Computer:
    """The computer with a layer more, or with words on what it lost. One that was in error, since its files had to
    wait, is stopped then."""
    machine = computer.machine
    if machine is None or computer.status is ComputerStatus.DELETING:
        return replace(computer, machine=None)
    finished = own.find_later(computer.id, computer.layers)
    status = ComputerStatus.STOPPED if computer.status is ComputerStatus.ERROR else computer.status
    changed = replace(computer, machine=None, status=status, error=None, layers=(*computer.layers, *finished))
    try:
        async with own.making(computer.id) as new, asyncio.timeout(_DEADLINE):
            captured = await backend.recover(machine, new.place, kept=bool(finished))
            if captured is not None:
                log.info("recovered %d files of computer %s", captured.files, computer.id)
                return replace(changed, layers=(*changed.layers, await own.keep(new)))
    except (IngotError, OSError) as error:
        why = str(error) or f"it took longer than {_DEADLINE:g} s"
        told = f"what it wrote since its last start cannot be taken from its machine's disk: {why}"
        hint = "mend that and start it; until then the disk is kept"
        raise ConflictError(told, hint=hint, code="files_pending") from error
    if finished:
        return changed  # it was being stopped, and that was all but written down
    state = "its last stop" if computer.layers else "its template"
    log.warning("a computer lost files", extra={"action": "computer_lost_files", "computer": computer.id})
    return replace(changed, error=f"nothing of its machine is left: its files are those of {state}")


async def _discard(backend: Backend, machine: str) -> None:
    """The next sweep removes what this cannot."""
    with contextlib.suppress(IngotError, OSError):
        await backend.discard(machine)
