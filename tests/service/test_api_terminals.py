"""Terminals through the API: what is typed and shown, sizes, ends, and who is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from tests.service.api_server import Server, running_server
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ingot.api import carrying, keyed, terminal
from ingot.machine.scripted_terminal import ScriptedTerminal
from ingot.records.account import Scope


class Stage:
    """A server with a running computer."""

    def __init__(self, server: Server, computer: str) -> None:
        self.server, self.computer = server, computer
        self.headers = {"Authorization": server.http.headers["Authorization"]}

    def open(self, query: str = "", headers: Mapping[str, str] | None = None, computer: str = "") -> connect:
        address = self.server.url.replace("http:", "ws:")
        address += f"/api/computers/{computer or self.computer}/terminal{query}"
        wanted = self.headers if headers is None else headers
        return connect(address, additional_headers=wanted, proxy=None)

    async def refusal(
        self, query: str = "", headers: Mapping[str, str] | None = None, computer: str = ""
    ) -> tuple[int, str]:
        """Status and code of the answer to one who is not let in."""
        with pytest.raises(InvalidStatus) as refused:
            async with self.open(query, headers, computer):
                pass
        return refused.value.response.status_code, json.loads(refused.value.response.body or b"")["code"]


@contextlib.asynccontextmanager
async def staged(directory: Path) -> AsyncIterator[Stage]:
    async with asyncio.timeout(120), running_server(directory) as server:
        made = await server.http.post("/api/computers", json={"template_ref": await server.ready_template()})
        yield Stage(server, made.json()["id"])


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as stage:
        yield stage


async def until(websocket: ClientConnection, text: str) -> str:
    """What shows up to and with the text."""
    shown = b""
    while text.encode() not in shown:
        message = await websocket.recv()
        assert isinstance(message, bytes)
        shown += message
    return shown.decode()


async def closing(websocket: ClientConnection) -> tuple[int, str]:
    """With what it is closed."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await websocket.recv()
    assert websocket.close_code is not None
    return websocket.close_code, websocket.close_reason or ""


async def gone(stage: Stage) -> None:
    """Until no terminal is open."""
    while stage.server.computers.terminals:
        await asyncio.sleep(0.01)


async def test_what_is_typed_runs_and_the_exit_code_is_the_reason(stage: Stage) -> None:
    async with stage.open() as websocket:
        await websocket.send("grüße".encode())
        await websocket.send(b"\r")
        assert await until(websocket, "grüße\r\ngrüße\r\n# ")
        await websocket.send(b"stty size\r")
        await until(websocket, "24 80\r\n")
        await websocket.send(b"exit 7\r")
        assert await closing(websocket) == (1000, "exited 7")
    await gone(stage)


async def test_the_size_is_that_of_the_window(stage: Stage) -> None:
    async with stage.open("?cols=120&rows=40") as websocket:
        await websocket.send(b"stty size\r")
        await until(websocket, "40 120\r\n")
        await websocket.send('{"resize": {"cols": 90, "rows": 33}}')
        await websocket.send(b"stty size\r")
        await until(websocket, "33 90\r\n")


@pytest.mark.parametrize(
    "query",
    [
        "?cols=0",
        "?rows=1001",
        "?cols=-1",
        "?cols=ten",
        "?rows=²",
        "?cols=",
        "?cols=0000000801234567",
        "?rows=" + "9" * 5000,
    ],
)
async def test_a_size_that_is_none_is_refused(stage: Stage, query: str) -> None:
    assert await stage.refusal(query) == (400, "bad_request")


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "[]",
        "{}",
        '{"resize": 5}',
        '{"resize": {"cols": 80}}',
        '{"resize": {"cols": true, "rows": 2}}',
        '{"resize": {"cols": 80, "rows": 0}}',
        '{"resize": {"cols": 80, "rows": 24.5}}',
    ],
)
async def test_a_text_message_that_is_no_size_ends_it(stage: Stage, text: str) -> None:
    async with stage.open() as websocket:
        await websocket.send(text)
        assert await closing(websocket) == (1003, 'a text message is {"resize": {"cols": n, "rows": n}}')
    await gone(stage)


async def test_who_is_not_let_in_is_told_why(stage: Stage) -> None:
    assert await stage.refusal(headers={}) == (401, "unauthorized")
    assert await stage.refusal(headers=await stage.server.key(Scope.READ)) == (403, "forbidden")
    assert await stage.refusal(headers=await stage.server.key(Scope.LAUNCH, account="other")) == (404, "not_found")
    assert await stage.refusal(headers={**stage.headers, "Origin": "http://evil.test"}) == (403, "bad_origin")
    assert await stage.refusal(computer="nobody") == (404, "not_found")
    await stage.server.http.post(f"/api/computers/{stage.computer}/stop")
    assert await stage.refusal() == (409, "not_running")


async def test_one_too_many_is_refused_until_another_has_gone(stage: Stage) -> None:
    async with contextlib.AsyncExitStack() as opened:
        first, *_ = [await opened.enter_async_context(stage.open()) for _ in range(8)]
        assert await stage.refusal() == (429, "capacity")
        await first.close()
        while len(stage.server.computers.terminals) == 8:
            await asyncio.sleep(0.01)
        async with stage.open() as websocket:
            await until(websocket, "# ")
    await gone(stage)


async def test_the_shell_ends_with_the_connection_however_that_ends(stage: Stage) -> None:
    async with stage.open() as websocket:
        await until(websocket, "# ")
        websocket.transport.abort()
        await gone(stage)


async def test_it_ends_with_its_key(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "_LIVE_CHECK", 0.05)
    headers = await stage.server.key(Scope.LAUNCH)
    [key] = [key for key in await stage.server.services.access.list_keys("default") if key.scopes == {Scope.LAUNCH}]
    async with stage.open(headers=headers) as websocket:
        await until(websocket, "# ")
        assert (await stage.server.http.delete(f"/api/keys/{key.id}")).status_code == 200
        assert await closing(websocket) == (1008, "the key was revoked")
    await gone(stage)


async def test_it_ends_with_the_server(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged(tmp_path))
        websocket = await stage.open()
        await until(websocket, "# ")
        await stack.aclose()
        assert (await closing(websocket))[0] == 1012
        assert stage.server.computers.terminals == []


async def test_what_is_typed_waits_for_a_program_that_does_not_read_up_to_a_bound(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_STALLED", 1.0)
    monkeypatch.setattr(terminal, "_MOST_TYPED", 100_000)
    typed: list[bytes] = []
    blocked = asyncio.Event()

    async def write(self: ScriptedTerminal, chunk: bytes) -> None:
        typed.append(chunk)
        await blocked.wait()

    monkeypatch.setattr(ScriptedTerminal, "write", write)
    async with stage.open() as websocket:
        await websocket.send(b"a")
        while not typed:
            await asyncio.sleep(0.01)
        for _ in range(10):
            await websocket.send(b"b" * 10_000)
        await websocket.send('{"resize": {"cols": 90, "rows": 33}}')
        while stage.server.computers.terminals[0]._cols != 90:  # it is still listened to
            await asyncio.sleep(0.01)
        await websocket.send(b"c")
        assert await closing(websocket) == (1008, "the terminal takes nothing")
    assert typed == [b"a"]
    await gone(stage)


async def test_a_caller_that_takes_nothing_is_let_go(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(carrying, "_STALLED", 1.0)
    monkeypatch.setattr(carrying, "_CLOSE", 0.1)
    sent = 0

    async def read(self: ScriptedTerminal) -> bytes:
        nonlocal sent
        sent += 65536
        return b"x" * 65536

    monkeypatch.setattr(ScriptedTerminal, "read", read)
    async with stage.open() as websocket:
        await websocket.recv()
        await gone(stage)
        assert sent < 32 << 20
        websocket.transport.abort()
