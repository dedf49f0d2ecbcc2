"""Has everything in a machine stand still for a while, through its control groups.

The groups of the commands are frozen, not the machine's own: runc refuses to start a command in a machine that is
paused, and a command that is just being started then simply waits. Whatever happens, all of them go on afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ingot.errors import HostError, MachineError
from ingot.machine.container.cgroups import ControlGroup, freeze, is_frozen, thaw

_DEADLINE = 10.0
_ROUND = 0.005


@contextlib.asynccontextmanager
async def frozen(group: ControlGroup) -> AsyncIterator[Sequence[Path]]:
    """Inside, no process of the machine runs but its first, which does nothing; gives the groups that stand still.

    Raises HostError where the host cannot freeze, MachineError when something does not stand still in ten seconds.
    """
    children = group.children()
    if children is None:
        raise HostError("this host cannot freeze a machine's processes", hint="stop the computer first")
    try:
        for child in children:
            freeze(child)
        await _wait_until_frozen(children)
        yield children
    finally:
        for child in children:
            thaw(child)


async def _wait_until_frozen(children: Sequence[Path]) -> None:
    deadline = time.monotonic() + _DEADLINE
    waiting = list(children)
    while waiting := [child for child in waiting if not is_frozen(child)]:
        if time.monotonic() > deadline:
            raise MachineError(f"the machine's processes do not stand still within {_DEADLINE:g} s", hint="try again")
        await asyncio.sleep(_ROUND)
