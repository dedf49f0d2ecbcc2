"""The screen of a machine that builds: whose it is, while it is there, and what those without one say."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.service.builder_stage import BuildLog, Stage, document_bytes, stage

from ingot.builder.request import BuildRequest, Limits
from ingot.builder.run import build
from ingot.building import BuildingMachines
from ingot.errors import ConflictError, MachineLostError, NotFoundError
from ingot.machine.contract import Show, show_nobody
from ingot.machine.scripted import Scripted, ScriptedBackend, ScriptedMachine
from ingot.template import load_canonical, parse_template


@asynccontextmanager
async def baking(directory: Path, building: BuildingMachines) -> AsyncIterator[Stage]:
    """Inside, a step of build `b1` of the account `acme` runs."""
    script = {"wait here": Scripted(until=asyncio.Event())}
    template = load_canonical(parse_template(document_bytes({"build": {"run": ["wait here"]}})).canonical)
    async with stage(directory, script) as made:
        request = BuildRequest(template, "acme", "b1", limits=Limits(16, 65536, 65536))
        task = asyncio.create_task(build(request, made.tools, BuildLog(), watch=building.watch))
        try:
            async with asyncio.timeout(60):
                while not any("wait here" in " ".join(command.argv) for command in made.backend.commands):
                    await asyncio.sleep(0.01)
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def pictured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gives scripted machines screens; those that were looked at."""
    looked: list[str] = []

    async def screenshot(machine: ScriptedMachine) -> bytes:
        looked.append(machine.id)
        return b"picture"

    monkeypatch.setattr(ScriptedMachine, "screenshot", screenshot)
    return looked


async def test_the_account_sees_the_machine_while_it_builds(tmp_path: Path, pictured: list[str]) -> None:
    building = BuildingMachines(have_screens=True)
    async with baking(tmp_path, building) as made:
        assert await building.screenshot("acme", "b1") == b"picture"
        assert pictured == [made.backend.running[0].id]
        for account, build_id in (("other", "b1"), ("acme", "b2")):
            with pytest.raises(NotFoundError, match="no machine builds it on this server just now") as refused:
                await building.screenshot(account, build_id)
            assert refused.value.code == "nothing_builds"
    with pytest.raises(NotFoundError):
        await building.screenshot("acme", "b1")


async def test_one_without_a_screen_and_one_that_is_lost_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    building = BuildingMachines(have_screens=False)
    async with baking(tmp_path, building):
        with pytest.raises(ConflictError, match="the machine that builds has no screen") as refused:
            await building.screenshot("acme", "b1")
        assert refused.value.code == "no_screen"

    async def lost(machine: ScriptedMachine) -> bytes:
        raise MachineLostError("it is gone")

    monkeypatch.setattr(ScriptedMachine, "screenshot", lost)
    building = BuildingMachines(have_screens=True)
    other = tmp_path / "other"
    other.mkdir()
    async with baking(other, building):
        with pytest.raises(NotFoundError):
            await building.screenshot("acme", "b1")


async def test_one_that_only_comes_up_is_seen_already(
    tmp_path: Path, pictured: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As virtual machines do it, whose base is booted first."""
    building, coming, go_on = BuildingMachines(have_screens=True), asyncio.Event(), asyncio.Event()
    opened = ScriptedBackend.open

    @asynccontextmanager
    async def slowly(backend: ScriptedBackend, *given: object, show: Show = show_nobody) -> AsyncIterator[object]:
        show(ScriptedMachine(backend, "the base", given[0], {}))  # type: ignore[arg-type]
        coming.set()
        await go_on.wait()
        async with opened(backend, *given) as machine:  # type: ignore[arg-type]
            yield machine

    async def look() -> bytes:
        await coming.wait()
        picture = await building.screenshot("acme", "b1")
        go_on.set()
        return picture

    monkeypatch.setattr(ScriptedBackend, "open", slowly)
    looking = asyncio.create_task(look())
    async with baking(tmp_path, building) as made:
        assert await looking == b"picture"
        assert await building.screenshot("acme", "b1") == b"picture"
        assert pictured == ["the base", made.backend.running[0].id]
