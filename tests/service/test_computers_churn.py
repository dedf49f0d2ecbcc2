"""Many changes at once, in any order, some of them failing: afterwards rows, layers and machines say the same."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from house import ACCOUNT, House, house

from ingot.errors import ConflictError, HostError, NotFoundError
from ingot.machine.scripted import Scripted
from ingot.records.computer import SETTLED, Computer, ComputerStatus

NO_ROOM = HostError("a layer cannot be written: no room")


async def change_something(home: House, dice: random.Random) -> None:
    """One change of one computer, whatever it is; that it may be refused is all that can go wrong."""
    known = list(await home.computers.list(ACCOUNT))
    try:
        if not known or dice.random() < 0.15:
            await home.launch(test_run=dice.random() < 0.2)
            return
        chosen = dice.choice(known)
        home.backend.capture_error = NO_ROOM if dice.random() < 0.15 else None
        what = dice.choice(["start", "stop", "stop", "restart", "clone", "delete", "bash"])
        if what == "bash":
            await home.computers.bash(ACCOUNT, chosen.id, f"write {dice.randrange(3)}", 5)
        else:
            await getattr(home.computers, what)(ACCOUNT, chosen.id)
    except (ConflictError, NotFoundError):
        pass


async def settled(home: House) -> list[Computer]:
    async with asyncio.timeout(60):
        while any(one.status not in SETTLED for one in await home.computers.list(ACCOUNT)):
            await asyncio.sleep(0.01)
    return list(await home.computers.list(ACCOUNT))


def layers_of(known: list[Computer]) -> list[str]:
    return sorted({name for one in known for name in one.layers})


@pytest.mark.parametrize("seed", range(8))
async def test_what_is_left_agrees(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    script = {f"write {number}": Scripted(writes={f"/srv/{number}": b"x"}) for number in range(3)}
    async with house(tmp_path, script) as home:
        for _ in range(12):
            await asyncio.gather(*(change_something(home, dice) for _ in range(dice.randint(1, 6))))
        home.backend.capture_error = None
        known = await settled(home)
        lasting = [one for one in known if not one.test_run]
        assert sorted(await home.records.all(), key=lambda one: one.id) == sorted(lasting, key=lambda one: one.id)
        assert home.kept() == layers_of(known)
        running = [one for one in known if one.status is ComputerStatus.RUNNING]
        assert sorted(machine.id for machine in home.backend.running) == sorted(str(one.machine) for one in running)

        await asyncio.gather(*(change_something(home, dice) for _ in range(4)), home.computers.aclose())
        assert home.backend.running == []
        wanted = {one.id for one in await home.records.all() if one.wanted}
        home.backend.capture_error = None
        await home.next_server()
        again = await settled(home)
        assert {one.id for one in again if one.status is ComputerStatus.RUNNING} == wanted
        assert home.kept() == layers_of(again)
        for one in again:
            await home.computers.delete(ACCOUNT, one.id)
        assert home.kept() == []
        assert home.backend.remains == {}
        assert await home.records.all() == []
        assert home.layers.held() == frozenset()
