"""What is done at a server's start for computers that ran when the last one was killed, before the host is swept.

Their files are taken from what their machines left, where they can be had, and become layers of their own. It starts
nothing.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from ingot.computer_records import ComputerRecords
from ingot.errors import IngotError
from ingot.launcher.own_layers import OwnLayers
from ingot.machine.contract import Backend
from ingot.records.computer import Computer, ComputerStatus

log = logging.getLogger(__name__)

_DEADLINE = 600.0
_AT_REST = frozenset({ComputerStatus.STOPPED, ComputerStatus.ERROR, ComputerStatus.DELETING})


async def recover_computers(backend: Backend, records: ComputerRecords, own: OwnLayers) -> None:
    """Afterwards no row speaks of a machine, and every computer is stopped, in error or being deleted; `wanted` says
    which of them ran, and `error` which of those lost files."""
    for computer in await records.all():
        if computer.machine is None and computer.status in _AT_REST:
            continue
        changed = replace(computer, machine=None)
        if computer.status not in _AT_REST:
            changed = replace(changed, status=ComputerStatus.STOPPED)
        if computer.machine is not None and computer.status is not ComputerStatus.DELETING:
            changed = await _recovered(changed, computer.machine, backend, own)
        await records.save(changed)


async def _recovered(computer: Computer, machine: str, backend: Backend, own: OwnLayers) -> Computer:
    why, finished = "nothing of its machine is left", own.find_later(computer.id, computer.layers)
    computer = replace(computer, layers=(*computer.layers, *finished))
    try:
        async with own.making(computer.id) as new, asyncio.timeout(_DEADLINE):
            captured = await backend.recover(machine, new.place)
            if captured is not None:
                log.info("recovered %d files of computer %s", captured.files, computer.id)
                return replace(computer, layers=(*computer.layers, await own.keep(new)))
    except (IngotError, OSError) as error:
        why = str(error) or f"it took longer than {_DEADLINE:g} s"
    if finished:
        return computer  # it was being stopped, and that was all but written down
    state = "its last stop" if computer.layers else "its template"
    log.warning("a computer lost files", extra={"action": "computer_lost_files", "computer": computer.id})
    return replace(computer, error=f"the server was killed while it ran: its files are those of {state} ({why})")
