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
from ingot.machine.container.cgroups import ControlGroup

_DEADLINE = 10.0
_ROUND = 0.005


@contextlib.asynccontextmanager
async def frozen(group: ControlGroup) -> AsyncIterator[None]:
    """Inside, no process of the machine runs but its first, which does nothing. Raises HostError where the host cannot
    freeze, MachineError when something does not stand still within ten seconds."""
    children = group.children()
    if children is None:
        raise HostError("this host cannot freeze a machine's processes", hint="stop the computer first")
    try:
        for child in children:
            _freeze(child)
        await _wait_until_frozen(children)
        yield
    finally:
        for child in children:
            _thaw(child)


def _freeze(child: Path) -> None:
    _tell(child, "FROZEN", "1")


def _thaw(child: Path) -> None:
    _tell(child, "THAWED", "0")


def _tell(child: Path, first: str, second: str) -> None:
    """In the words of the host's version. A group that is gone has nothing to be told."""
    with contextlib.suppress(OSError):
        if (child / "freezer.state").exists():
            (child / "freezer.state").write_text(first)
        else:
            (child / "cgroup.freeze").write_text(second)


async def _wait_until_frozen(children: Sequence[Path]) -> None:
    deadline = time.monotonic() + _DEADLINE
    waiting = list(children)
    while waiting := [child for child in waiting if not _is_frozen(child)]:
        if time.monotonic() > deadline:
            raise MachineError(f"the machine's processes do not stand still within {_DEADLINE:g} s", hint="try again")
        await asyncio.sleep(_ROUND)


def _is_frozen(child: Path) -> bool:
    try:
        if (child / "freezer.state").exists():
            return (child / "freezer.state").read_text().strip() == "FROZEN"
        return "frozen 1" in (child / "cgroup.events").read_text()
    except OSError:
        return True  # it is gone, and everything in it
