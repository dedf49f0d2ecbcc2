"""What computers wrote does not pile up: many layers become one, and nothing is lost whenever the server is killed."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from house import ACCOUNT, House, house

from ingot.errors import HostError
from ingot.launcher.merging import MOST_LAYERS, first_to_merge
from ingot.machine.scripted import Scripted
from ingot.records.computer import Computer, ComputerStatus

OVER = MOST_LAYERS + 1


async def turn(home: House, computer: Computer, times: int) -> Computer:
    """Off and on again, a file written each time: the file's name and content are how often before."""
    for _ in range(times):
        number = len(notes(home))
        home.backend.script = {"note": Scripted(writes={f"/srv/{number}": str(number).encode(), "/srv/last": b"x"})}
        await home.computers.bash(ACCOUNT, computer.id, "note", 5)
        await home.computers.stop(ACCOUNT, computer.id)
        await home.computers.start(ACCOUNT, computer.id)
    return await home.until(computer.id, ComputerStatus.RUNNING)


def notes(home: House, machine: int = -1) -> list[str]:
    files = home.backend.running[machine].files
    return [name for name in files if name.startswith("/srv/") and name != "/srv/last"]


@pytest.mark.parametrize(
    ("weights", "first"),
    [([1] * 17, 0), ([100, *[1] * 16], 1), ([100, 20, *[1] * 15], 2), ([2**n for n in range(17, 0, -1)], 8)],
)
def test_a_layer_that_outweighs_those_above_it_is_left_alone(weights: list[int], first: int) -> None:
    assert first_to_merge(weights) == first


async def test_layers_are_merged_when_there_are_many(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await turn(home, await home.launch(), 3 * OVER)
        assert len(computer.layers) <= MOST_LAYERS
        assert set(notes(home)) == {f"/srv/{number}" for number in range(3 * OVER)}
        assert home.kept() == sorted(computer.layers)
        assert [row.layers for row in await home.records.all()] == [computer.layers]
        await home.computers.delete(ACCOUNT, computer.id)
        assert home.kept() == []


async def test_what_a_clone_stands_on_stays(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        source = await turn(home, await home.launch(), MOST_LAYERS)
        await home.computers.stop(ACCOUNT, source.id)
        clone = await home.computers.clone(ACCOUNT, source.id)
        kept = (await home.computers.get(ACCOUNT, source.id)).layers
        assert len(kept) == OVER
        assert len((await home.computers.get(ACCOUNT, clone.id)).layers) == 1, "the clone's start merged its own"
        assert set(kept) < set(home.kept())
        await home.computers.start(ACCOUNT, source.id)
        assert len((await home.computers.get(ACCOUNT, source.id)).layers) == 1
        assert len(home.kept()) == 2
        for machine in (0, 1):
            assert len(notes(home, machine)) == MOST_LAYERS
        await home.computers.delete(ACCOUNT, source.id)
        await home.computers.stop(ACCOUNT, clone.id)
        await home.computers.start(ACCOUNT, clone.id)
        assert len(notes(home)) == MOST_LAYERS


async def test_a_computer_whose_layers_cannot_be_merged_starts_all_the_same(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.backend.merge_error = HostError("the disk is full")
        computer = await turn(home, await home.launch(), OVER + 2)
        assert (len(computer.layers), computer.error) == (OVER + 2, None)
        assert home.kept() == sorted(computer.layers)
        home.backend.merge_error = None
        assert len((await turn(home, computer, 1)).layers) == 1
        assert len(notes(home)) == OVER + 3


async def test_a_row_that_cannot_be_written_keeps_the_layers_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as home:
        computer = await turn(home, await home.launch(), MOST_LAYERS)
        await home.computers.stop(ACCOUNT, computer.id)
        save, before = home.records.save, (await home.computers.get(ACCOUNT, computer.id)).layers

        async def fail(changed: Computer) -> None:
            if len(changed.layers) < len(before):
                raise HostError("the database is full")
            await save(changed)

        monkeypatch.setattr(home.records, "save", fail)
        started = await home.computers.start(ACCOUNT, computer.id)
        assert (started.status, started.layers) == (ComputerStatus.RUNNING, before)
        assert home.kept() == sorted(before)


@pytest.mark.parametrize("moment", ["while it is merged", "before the row says so", "before the old ones are gone"])
async def test_a_crash_at_any_moment_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """What is there at the moment is put aside, and is what the next server finds."""
    async with house(tmp_path) as home:
        computer = await turn(home, await home.launch(), MOST_LAYERS)
        await home.computers.stop(ACCOUNT, computer.id)
        rows: list[Computer] = []

        def crashing(work: Callable[..., Awaitable[object]]) -> Callable[..., Awaitable[object]]:
            async def crash_first(*arguments: Any) -> object:
                if not rows and (work != save or len(arguments[0].layers) < OVER):
                    if work == merge:
                        (arguments[2] / "half").write_text("made")
                    rows.extend(await home.records.all())
                    shutil.copytree(tmp_path / "computers", tmp_path / "crashed")
                return await work(*arguments)

            return crash_first

        merge, save, remove = home.backend.merge, home.records.save, home.own.remove
        with monkeypatch.context() as patched:
            if moment == "while it is merged":
                patched.setattr(home.backend, "merge", crashing(merge))
            elif moment == "before the row says so":
                patched.setattr(home.records, "save", crashing(save))
            else:
                patched.setattr(home.own, "remove", crashing(remove))
            await home.computers.start(ACCOUNT, computer.id)
            await home.computers.aclose()
        shutil.rmtree(tmp_path / "computers")
        (tmp_path / "crashed").rename(tmp_path / "computers")
        await home.records.save(rows[0])
        assert len(home.kept()) == OVER + 1
        await home.next_server()
        again = await home.until(computer.id, ComputerStatus.RUNNING)
        assert again.error is None
        assert len(notes(home)) == MOST_LAYERS
        assert home.kept() == sorted(again.layers)
