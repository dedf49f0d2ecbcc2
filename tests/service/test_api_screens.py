"""Screens through the API: pictures, viewers through the WebSocket, and who is refused."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.rfb import open_viewer
from tests.service.api_server import PICTURE, Server, running_server
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from ingot.api import carrying, keyed
from ingot.errors import CapacityError
from ingot.machine.contract import Viewer
from ingot.records.account import Scope

BLOCK = b"x" * 65536


class FakeScreen:
    """Gives back what it gets. `flood` has it send without end instead; `sent` counts what went out that way; `over`
    has an event for each connection, set when that has ended."""

    def __init__(self) -> None:
        self.flood = False
        self.sent = 0
        self.over: list[asyncio.Event] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        over = asyncio.Event()
        self.over.append(over)
        self.writers.append(writer)
        try:
            while self.flood:
                writer.write(BLOCK)
                await writer.drain()
                self.sent += len(BLOCK)
            while chunk := await reader.read(65536):
                writer.write(chunk)
                await writer.drain()
        except OSError:
            pass
        finally:
            over.set()
            writer.close()


class Stage:
    """A server with a running computer that has a screen."""

    def __init__(self, server: Server, computer: str, fake: FakeScreen) -> None:
        self.server, self.computer, self.fake = server, computer, fake
        self.headers = {"Authorization": server.http.headers["Authorization"]}

    def viewer(self, **headers: str) -> connect:
        return open_viewer(self.server.url, self.computer, {**self.headers, **headers})

    async def refusal(self, computer: str = "", headers: dict[str, str] | None = None) -> tuple[int, str]:
        """Status and code of the answer to a viewer that is not let in; a page has them from the closing."""
        wanted = self.headers if headers is None else headers
        viewing = open_viewer(self.server.url, computer or self.computer, wanted)
        with pytest.raises((InvalidStatus, ConnectionClosed)) as refused:
            async with viewing as viewer:
                await viewer.recv()
        if isinstance(refused.value, InvalidStatus):
            body = json.loads(refused.value.response.body or b"")
            assert body["request_id"] == refused.value.response.headers["X-Request-Id"]
            return refused.value.response.status_code, body["code"]
        assert refused.value.rcvd is not None
        return refused.value.rcvd.code - 4000, refused.value.rcvd.reason.partition(":")[0]


@contextlib.asynccontextmanager
async def staged(directory: Path, hosts: frozenset[str] | None = None) -> AsyncIterator[Stage]:
    fake = FakeScreen()
    place = str(directory / "screen")
    listener = await asyncio.start_unix_server(fake.serve, place)
    try:
        async with asyncio.timeout(120), running_server(directory, hosts) as server:
            ref = await server.ready_template()
            made = await server.http.post("/api/computers", json={"template_ref": ref})
            computer: str = made.json()["id"]
            server.computers.screens[computer] = lambda: asyncio.open_unix_connection(place)
            yield Stage(server, computer, fake)
    finally:
        listener.close()
        for writer in fake.writers:
            writer.close()
        for over in fake.over:
            await over.wait()


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with staged(tmp_path) as stage:
        yield stage


async def test_a_picture_is_a_png_for_whoever_may_read(stage: Stage) -> None:
    reader = await stage.server.key(Scope.READ)
    answer = await stage.server.http.get(f"/api/computers/{stage.computer}/screenshot", headers=reader)
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["Content-Type"] == "image/png"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_no_picture_without_a_screen_a_machine_or_the_right(stage: Stage) -> None:
    async def ask(computer: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        answer = await stage.server.http.get(f"/api/computers/{computer}/screenshot", headers=headers)
        return answer.status_code, answer.json()["code"]

    assert await ask("nobody") == (404, "not_found")
    assert await ask(stage.computer, await stage.server.key(Scope.READ, account="other")) == (404, "not_found")
    assert await ask(stage.computer, await stage.server.key(Scope.BUILD)) == (403, "forbidden")
    assert await ask(stage.computer, {"Authorization": ""}) == (401, "unauthorized")
    kept = stage.server.computers.screens.pop(stage.computer)
    assert await ask(stage.computer) == (409, "no_screen")
    stage.server.computers.screens[stage.computer] = kept
    await stage.server.http.post(f"/api/computers/{stage.computer}/stop")
    assert await ask(stage.computer) == (409, "not_running")


async def test_bytes_go_both_ways_as_they_are(stage: Stage) -> None:
    sent = bytes(range(256)) * 2000
    async with stage.viewer() as viewer:
        assert viewer.subprotocol == "binary"
        await viewer.send(sent)
        got = b""
        while len(got) < len(sent):
            message = await viewer.recv()
            assert isinstance(message, bytes)
            got += message
    assert got == sent
    await asyncio.wait_for(stage.fake.over[0].wait(), 60)


async def test_who_is_not_let_in_is_told_why(stage: Stage) -> None:
    assert await stage.refusal(headers={}) == (401, "unauthorized")
    assert await stage.refusal(headers={"Authorization": "Bearer sk_live_wrong"}) == (401, "unauthorized")
    assert await stage.refusal(headers=await stage.server.key(Scope.READ)) == (403, "forbidden")
    assert await stage.refusal(headers=await stage.server.key(Scope.LAUNCH, account="other")) == (404, "not_found")
    assert await stage.refusal("nobody") == (404, "not_found")
    del stage.server.computers.screens[stage.computer]
    assert await stage.refusal() == (409, "no_screen")
    await stage.server.http.post(f"/api/computers/{stage.computer}/stop")
    assert await stage.refusal() == (409, "not_running")
    assert stage.fake.over == []


async def test_a_page_is_told_why_in_the_closing(stage: Stage) -> None:
    async def told(**headers: str) -> tuple[int, str]:
        async with stage.viewer(Origin=stage.server.url, **headers) as viewer:
            assert viewer.subprotocol == "binary"
            with pytest.raises(ConnectionClosed) as closed:
                await viewer.recv()
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code, closed.value.rcvd.reason

    async def full() -> Viewer:
        raise CapacityError("the screen has viewers – " * 9, retry_after=30)

    code, reason = await told(Authorization="Bearer sk_live_wrong")
    assert (code, reason[:14]) == (4401, "unauthorized: ")
    assert (await told(**await stage.server.key(Scope.READ)))[0] == 4403
    assert (await told(**await stage.server.key(Scope.LAUNCH, account="other")))[0] == 4404
    stage.server.computers.screens[stage.computer] = full
    code, reason = await told()
    assert (code, reason[:33]) == (4429, "capacity: the screen has viewers ")
    assert len(reason.encode()) in range(120, 124)
    del stage.server.computers.screens[stage.computer]
    assert await told() == (4409, "no_screen: this computer has no screen")
    assert stage.fake.over == []


async def test_a_key_in_the_address_opens_nothing(stage: Stage) -> None:
    key = stage.headers["Authorization"].removeprefix("Bearer ")
    address = stage.server.url.replace("http:", "ws:") + f"/api/computers/{stage.computer}/vnc?key={key}"
    with pytest.raises(InvalidStatus, match="401"):
        async with connect(address, proxy=None):
            pass


async def test_pages_of_other_origins_and_other_names_are_refused(stage: Stage, tmp_path: Path) -> None:
    foreign = {**stage.headers, "Origin": "http://evil.test"}
    assert await stage.refusal(headers=foreign) == (403, "bad_origin")
    for origin in (stage.server.url, "http://console.test"):
        async with stage.viewer(Origin=origin) as viewer:
            await viewer.send(b"in")
            assert await viewer.recv() == b"in"
    other = tmp_path / "other"
    other.mkdir()
    async with staged(other, hosts=frozenset({"ingot.example"})) as named:
        address = named.server.url.replace("http:", "ws:") + f"/api/computers/{named.computer}/vnc"
        async with connect(address, additional_headers=named.headers, proxy=None) as viewer:
            await viewer.send(b"in")
            assert await viewer.recv() == b"in"
        host, _, port = named.server.url.removeprefix("http://").rpartition(":")
        rebound = f"ws://evil.test:{port}/api/computers/{named.computer}/vnc"
        with pytest.raises(InvalidStatus, match="403"):
            async with connect(rebound, host=host, port=int(port), additional_headers=named.headers, proxy=None):
                pass


async def test_a_viewer_ends_with_the_screen(stage: Stage) -> None:
    async with stage.viewer() as viewer:
        await viewer.send(b"in")
        assert await viewer.recv() == b"in"
        stage.fake.writers[0].close()
        with pytest.raises(ConnectionClosed) as closed:
            await viewer.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1000, "the screen is gone")


async def test_a_viewer_ends_with_its_key(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "_LIVE_CHECK", 0.05)
    headers = await stage.server.key(Scope.LAUNCH)
    keys = await stage.server.services.access.list_keys("default")
    newest = max(keys, key=lambda key: (key.created_ms, key.scopes == frozenset({Scope.LAUNCH})))
    async with open_viewer(stage.server.url, stage.computer, headers) as viewer:
        await viewer.send(b"in")
        assert await viewer.recv() == b"in"
        assert (await stage.server.http.delete(f"/api/keys/{newest.id}")).status_code == 200
        with pytest.raises(ConnectionClosed) as closed:
            await viewer.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the key was revoked")
    assert await stage.refusal(headers=headers) == (401, "unauthorized")


async def test_text_is_no_vnc(stage: Stage) -> None:
    async with stage.viewer() as viewer:
        await viewer.send("hello")
        with pytest.raises(ConnectionClosed, match="only binary messages are taken"):
            await viewer.recv()


async def test_a_viewer_that_takes_nothing_holds_the_screen_back_and_is_let_go(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carrying, "_STALLED", 1.0)
    monkeypatch.setattr(carrying, "_CLOSE", 0.1)
    stage.fake.flood = True
    async with stage.viewer() as viewer:
        await viewer.recv()
        await asyncio.wait_for(stage.fake.over[0].wait(), 60)
        assert stage.fake.sent < 32 << 20
        viewer.transport.abort()


async def test_viewers_end_with_the_server(tmp_path: Path) -> None:
    async with contextlib.AsyncExitStack() as stack:
        stage = await stack.enter_async_context(staged(tmp_path))
        viewer = await stage.viewer()
        await viewer.send(b"in")
        assert await viewer.recv() == b"in"
        await stack.aclose()
        with pytest.raises(ConnectionClosed):
            await viewer.recv()
        await viewer.close()
        assert stage.fake.over[0].is_set()


async def test_the_address_without_a_websocket_and_a_websocket_elsewhere_are_nothing(stage: Stage) -> None:
    plain = await stage.server.http.get(f"/api/computers/{stage.computer}/vnc")
    assert plain.status_code == 404
    with pytest.raises(InvalidStatus, match="403"):
        async with connect(stage.server.url.replace("http:", "ws:") + "/api/computers", proxy=None):
            pass
    assert (await stage.server.http.get("/api/computers")).status_code == 200
