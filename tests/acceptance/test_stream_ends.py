"""A server that goes, in order or at once, while a thousand clients follow a build: all come back and miss nothing."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time

import pytest

from ingot.client import Client, Patience
from ingot.records.ref import Ref
from tests.acceptance.conftest import NewServer
from tests.acceptance.documents import template
from tests.acceptance.server import KEY

WATCHERS = 1000
PATIENCE = Patience(give_up_after=300)
_EXIT = 10.0


async def watch(client: Client, ref: Ref, connected: asyncio.Semaphore) -> list[str]:
    """The data of every frame, through whatever happens to the server."""
    async with contextlib.aclosing(
        client.follow(ref, patience=PATIENCE, on_connect=lambda _: connected.release())
    ) as frames:
        return [frame.data async for frame in frames]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_thousand_clients_come_back(new_server: NewServer, number: signal.Signals) -> None:
    server = new_server()
    first = "for i in $(seq 1 60); do echo tick $i; sleep 0.5; done"
    ref = server.publish(template("seq 1 300", first, "seq 1 200"))
    server.build(ref)
    connected = asyncio.Semaphore(0)
    async with Client(server.url, KEY) as client:
        watching = [asyncio.create_task(watch(client, Ref.parse(ref), connected)) for _ in range(WATCHERS)]
        async with asyncio.timeout(300):
            for _ in range(WATCHERS):
                await connected.acquire()
        began = time.monotonic()
        status = await asyncio.to_thread(server.end, number, _EXIT)
        assert time.monotonic() - began < _EXIT
        assert status == (0 if number is signal.SIGTERM else -number)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(300):
            seen = await asyncio.gather(*watching)
    stored = [frame.data for frame in server.follow(ref)]
    wanted = seen[0]
    assert len(stored) == len(wanted) > 500
    assert all(one == wanted for one in seen)
    assert '"result":"ready"' in wanted[-1]
