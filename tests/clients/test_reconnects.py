"""Clients that reconnect by themselves: cut off in the middle, they go on where they were, and they stop at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients import browser, builds
from tests.clients.cutting_proxy import CuttingProxy
from tests.clients.readers import READERS
from tests.service.event_stream_server import PATH, TICKET, Stream, serving


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with serving(tmp_path, heartbeat=0.1) as started:
        yield started


@pytest.mark.parametrize("name", ["eventsource", "Chromium"])
async def test_a_client_that_is_cut_off_loses_nothing(stream: Stream, name: str) -> None:
    await stream.finished(2000)
    proxy = CuttingProxy(stream.port, [5000, 23_456, 777])
    async with proxy.open() as url:
        events = await READERS[name](url + PATH)
    assert proxy.connections == 4
    assert events == builds.stored_events(stream)


async def test_a_browser_stops_by_itself_behind_the_end(stream: Stream) -> None:
    wanted = await builds.hostile(stream)
    url = f"http://127.0.0.1:{stream.port}"
    async with browser.opened(url) as page:
        events, state = await browser.event_source(page, f"{url}{PATH}?ticket={TICKET}", close=False)
    assert events == wanted, "the reconnect behind the end brings nothing"
    assert state == 2, "EventSource.CLOSED"
