"""Waits for what a computer was asked for, and finds the computer that a person means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ingot.errors import ConflictError, DeadlineError, NotFoundError

if TYPE_CHECKING:
    from ingot.client import Client, ComputerAnswer

_START_DEADLINE = 120.0
STOP_DEADLINE = 660.0
"""Seconds: a stop writes all that the computer wrote to the server's disk."""

_SETTLED = ("running", "stopped", "error")


async def until_settled(
    client: Client, computer: ComputerAnswer, wanted: str = "running", deadline: float = _START_DEADLINE
) -> ComputerAnswer:
    """The computer once it is as `wanted`. What it became instead is told with the server's own words."""
    import asyncio

    try:
        async with asyncio.timeout(deadline):
            while computer.status not in _SETTLED:
                await asyncio.sleep(0.1)
                computer = await client.computer(computer.id)
    except TimeoutError:
        raise DeadlineError(f"the computer is still {computer.status} after {deadline:g} s", seconds=deadline) from None
    if computer.status != wanted:
        raise ConflictError(f"the computer is {computer.status}", hint=computer.error)
    return computer


async def find_computer(client: Client, text: str) -> ComputerAnswer:
    """By id, short id, or name. Raises NotFoundError, and ConflictError when several have the name."""
    known = await client.computers()
    by_id = [computer for computer in known if text in (computer.id, computer.instance_id)]
    found = by_id or [computer for computer in known if computer.name == text]
    if not found:
        raise NotFoundError(f"there is no computer {text!r}", hint="`ingot ps` lists them")
    if len(found) > 1:
        ids = ", ".join(computer.instance_id for computer in found)
        raise ConflictError(f"{len(found)} computers are called {text!r}", hint=f"name one by its id: {ids}")
    return found[0]
