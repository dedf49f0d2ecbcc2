"""Screens of computers: their passwords, their viewers, and what those without a screen answer."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import ACCOUNT, RUN, House, house

from ingot.errors import CapacityError, ConflictError
from ingot.launcher.use import MOST_VIEWERS
from ingot.machine.contract import Viewer
from ingot.machine.scripted import ScriptedBackend, ScriptedMachine
from ingot.records.computer import Computer, ComputerStatus
from ingot.records.wire import computer_json, run_json


@pytest.fixture
def passwords(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Gives scripted machines screens; the passwords that these were given, in order."""
    told: list[str] = []

    async def set_screen_password(machine: ScriptedMachine, password: str) -> None:
        told.append(password)

    async def view_screen(machine: ScriptedMachine) -> Viewer:
        ours, theirs = socket.socketpair()
        theirs.close()
        return await asyncio.open_unix_connection(sock=ours)

    async def screenshot(machine: ScriptedMachine) -> bytes:
        return b"picture"

    monkeypatch.setattr(ScriptedBackend, "has_screen", True)
    for work in (set_screen_password, view_screen, screenshot):
        monkeypatch.setattr(ScriptedMachine, work.__name__, work)
    return told


@contextlib.asynccontextmanager
async def launched(directory: Path) -> AsyncIterator[tuple[House, Computer]]:
    async with house(directory) as home:
        yield home, await home.launch()


async def test_a_computer_has_a_password_of_its_own_that_its_machine_asks_for(
    tmp_path: Path, passwords: list[str]
) -> None:
    async with launched(tmp_path) as (home, computer):
        password = computer.vnc_password
        assert password is not None
        assert re.fullmatch("[A-Za-z0-9_-]{8}", password)
        assert passwords == [password]
        assert computer_json(computer)["vnc_password"] == password
        assert password not in repr(computer)
        clone = await home.computers.clone(ACCOUNT, computer.id)
        run = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert passwords == [password, clone.vnc_password, run.vnc_password]
        assert len(set(passwords)) == 3
        assert run_json(run)["vnc_password"] == run.vnc_password


async def test_the_password_is_the_same_after_a_stop_and_with_the_next_server(
    tmp_path: Path, passwords: list[str]
) -> None:
    async with launched(tmp_path) as (home, computer):
        await home.computers.stop(ACCOUNT, computer.id)
        await home.computers.start(ACCOUNT, computer.id)
        await home.computers.aclose()
        await home.next_server()
        again = await home.until(computer.id, ComputerStatus.RUNNING)
        assert again.vnc_password == computer.vnc_password
        assert passwords == [computer.vnc_password] * 3


async def test_a_computer_from_before_there_were_screens_gets_a_password(tmp_path: Path, passwords: list[str]) -> None:
    async with launched(tmp_path) as (home, computer):
        await home.computers.aclose()
        [row] = await home.records.all()
        await home.records.save(replace(row, vnc_password=None))
        await home.next_server()
        again = await home.until(computer.id, ComputerStatus.RUNNING)
        [row] = await home.records.all()
        assert row.vnc_password == again.vnc_password == passwords[-1]


async def test_no_more_than_some_viewers_at_a_time(tmp_path: Path, passwords: list[str]) -> None:
    async with launched(tmp_path) as (home, computer):
        assert await home.computers.screenshot(ACCOUNT, computer.id) == b"picture"
        async with contextlib.AsyncExitStack() as viewing:
            for _ in range(MOST_VIEWERS):
                await viewing.enter_async_context(home.computers.view(ACCOUNT, computer.id))
            with pytest.raises(CapacityError, match="the computer's screen has 8 viewers already; try again in 30 s"):
                async with home.computers.view(ACCOUNT, computer.id):
                    pass
        async with home.computers.view(ACCOUNT, computer.id) as (reader, _):
            assert await reader.read() == b""
        await home.computers.stop(ACCOUNT, computer.id)
        with pytest.raises(ConflictError, match="the computer is stopped"):
            await home.computers.screenshot(ACCOUNT, computer.id)


async def test_who_is_watched_is_not_idle(tmp_path: Path, passwords: list[str]) -> None:
    async with house(tmp_path, idle=3) as home:
        run = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        async with home.computers.view(ACCOUNT, run.id):
            await asyncio.sleep(4)
            assert (await home.computers.get(ACCOUNT, run.id)).status is ComputerStatus.RUNNING
        async with asyncio.timeout(60):
            while await home.computers.list(ACCOUNT):
                await asyncio.sleep(0.05)


async def test_one_without_a_screen_says_so(tmp_path: Path) -> None:
    async with launched(tmp_path) as (home, computer):
        assert computer.vnc_password is None
        told = "this computer has no screen; computers that are virtual machines have one"
        with pytest.raises(ConflictError, match=told) as refused:
            await home.computers.screenshot(ACCOUNT, computer.id)
        assert refused.value.code == "no_screen"
        with pytest.raises(ConflictError, match=told):
            async with home.computers.view(ACCOUNT, computer.id):
                pass
