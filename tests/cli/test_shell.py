"""`ingot shell` on real pseudo-terminals against a real server: keys, sizes, ends; and `ingot services`."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import struct
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cli.conftest import INGOT, Run, clean_environment
from tests.service.api_server import Server, running_server


class Person:
    """Someone at a terminal of 24 rows and 80 columns with `ingot shell` running on it."""

    def __init__(self, process: asyncio.subprocess.Process, ours: int, theirs: int) -> None:
        self.process, self.ours, self.theirs = process, ours, theirs
        self.seen = ""
        self._came = asyncio.Event()
        asyncio.get_running_loop().add_reader(ours, self._read)

    def _read(self) -> None:
        self.seen += os.read(self.ours, 65536).decode(errors="replace")
        self._came.set()

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    async def until(self, text: str) -> None:
        try:
            async with asyncio.timeout(30):
                while text not in self.seen:
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} was not seen: {self.seen!r}") from None
        self.seen = self.seen.partition(text)[2]

    def modes(self) -> list[object]:
        return termios.tcgetattr(self.theirs)

    def resize(self, cols: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
        self.process.send_signal(signal.SIGWINCH)  # it is no session leader of this terminal


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        ref = await server.ready_template()
        await server.http.post("/api/computers", json={"template_ref": ref, "name": "box"})
        yield server


@contextlib.asynccontextmanager
async def at_shell(server: Server, home: Path) -> AsyncIterator[Person]:
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    process = await asyncio.create_subprocess_exec(
        *(INGOT, "shell", "box"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(home, INGOT_URL=server.url, INGOT_API_KEY=key),
    )
    person = Person(process, ours, theirs)
    try:
        yield person
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        asyncio.get_running_loop().remove_reader(ours)
        os.close(ours)
        os.close(theirs)


async def test_keys_go_there_and_the_exit_code_comes_back(server: Server, tmp_path: Path) -> None:
    async with at_shell(server, tmp_path) as person:
        before = person.modes()
        await person.until("# ")
        assert person.modes() != before, "the terminal hands on every key"
        person.type("\x03")
        await person.until("^C\r\n# ")
        person.type("stty size\r")
        await person.until("24 80\r\n")
        person.resize(100, 30)
        async with asyncio.timeout(30):
            while server.computers.terminals[0]._cols != 100:
                await asyncio.sleep(0.01)
        person.type("stty size\r")
        await person.until("30 100\r\n")
        person.type("exit 7\r")
        assert await asyncio.wait_for(person.process.wait(), 30) == 7
        assert person.modes() == before
        assert "\x1b[?1049l" not in person.seen


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
async def test_a_signal_that_ends_it_leaves_the_terminal_as_it_was(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    async with at_shell(server, tmp_path) as person:
        before = person.modes()
        await person.until("# ")
        person.process.send_signal(number)
        assert await asyncio.wait_for(person.process.wait(), 30) == 128 + number
        assert person.modes() == before
        async with asyncio.timeout(30):
            while server.computers.terminals:
                await asyncio.sleep(0.01)


async def test_a_connection_that_breaks_leaves_the_terminal_as_it_was(server: Server, tmp_path: Path) -> None:
    async with at_shell(server, tmp_path) as person:
        before = person.modes()
        await person.until("# ")
        await server.computers.terminals[0].hang_up()
        assert await asyncio.wait_for(person.process.wait(), 30) == 137
        assert person.modes() == before
    async with at_shell(server, tmp_path) as person:
        await person.until("# ")
        keys = await server.services.access.list_keys("default")
        await server.services.access.revoke_key("default", keys[0].id)
        assert await asyncio.wait_for(person.process.wait(), 30) == 6
        await person.until("\x1b[?1049l")
        await person.until(
            "ingot: the terminal was closed: the key was revoked\r\n  `ingot ps` tells how the computer is\r\n"
        )
        assert person.modes() == before


async def test_without_a_terminal_standard_input_is_typed(server: Server, ingot: Run) -> None:
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    ran = await ingot("shell", "box", url=server.url, key=key, stdin=b"hello there\nexit 3\n")
    assert ran.status == 3, ran.err
    assert "hello there\r\nhello there\r\n" in ran.out
    ran = await ingot("shell", "box", "--json", url=server.url, key=key, stdin=b"hello\n")
    assert (ran.status, json.loads(ran.out[ran.out.rindex("{") :])) == (0, {"exit_code": 0})


async def test_what_cannot_be_opened_is_told_in_the_servers_words(server: Server, ingot: Run) -> None:
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    ran = await ingot("shell", "crate", url=server.url, key=key)
    assert (ran.status, "there is no computer 'crate'" in ran.err) == (1, True)
    [computer] = server.computers.all
    await server.http.post(f"/api/computers/{computer}/stop")
    ran = await ingot("shell", "box", url=server.url, key=key)
    assert (ran.status, "the computer is stopped" in ran.err) == (1, True)


async def test_services_are_a_table_and_one_of_them_its_log(server: Server, ingot: Run) -> None:
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    ran = await ingot("services", "box", url=server.url, key=key)
    assert ran.out.splitlines() == [
        "NAME          APP   STATE    PID  DETAIL",
        "web           site  running  12   uptime 0:00:07",
        "ingot-health  -     fatal",
    ]
    ran = await ingot("services", "box", "--json", url=server.url, key=key)
    assert [entry["name"] for entry in json.loads(ran.out)["services"]] == ["web", "ingot-health"]
    ran = await ingot("services", "box", "web", "--tail", "1", url=server.url, key=key)
    assert (ran.status, ran.out) == (0, "line 2 ö\n")
    ran = await ingot("services", "box", "web", "--json", url=server.url, key=key)
    assert json.loads(ran.out) == {"service": "web", "log": "line 0 ö\nline 1 ö\nline 2 ö\n"}
    ran = await ingot("services", "box", "mail", url=server.url, key=key)
    assert (ran.status, "no service 'mail'" in ran.err) == (1, True)
