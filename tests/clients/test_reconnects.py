"""Clients that reconnect by themselves: cut off in the middle, they go on where they were, and they stop at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot.records.event import Phase
from tests.clients import browser, builds, node
from tests.clients.cutting_proxy import CuttingProxy
from tests.clients.readers import READERS
from tests.service.event_stream_server import KEY, PATH, TICKET, Stream, end, serving


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


async def test_fetch_event_source_goes_on_behind_a_cut_between_events(stream: Stream) -> None:
    """Between events only: it notes an id before it has the data, so a cut inside an event costs it that event."""
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.INSTALL)
    proxy = CuttingProxy(stream.port, [])
    async with proxy.open() as url, browser.opened(url) as page, asyncio.TaskGroup() as group:
        reading = group.create_task(browser.fetch_event_source(page, url + PATH, KEY))
        for part in range(3):
            async with reporter.output("run") as output:
                await output.write(b"".join(b"part %d line %d\n" % (part, line) for line in range(300)))
            await browser.until_seen(page, f"part {part} line 299")
            proxy.cut()
        await end(reporter)
    assert proxy.connections == 4
    assert reading.result() == builds.stored_events(stream)


async def test_eventsource_stops_by_itself_behind_the_end(stream: Stream) -> None:
    wanted = await builds.hostile(stream)
    proxy = CuttingProxy(stream.port, [])
    async with proxy.open() as url:
        events = await node.events("eventsource.mjs", url + PATH, KEY, "stay")
    assert proxy.connections == 2, "the second is answered 204"
    assert events == wanted


async def test_a_browser_stops_by_itself_behind_the_end(stream: Stream) -> None:
    wanted = await builds.hostile(stream)
    url = f"http://127.0.0.1:{stream.port}"
    async with browser.opened(url) as page:
        events, state = await browser.event_source(page, f"{url}{PATH}?ticket={TICKET}", close=False)
    assert events == wanted, "the reconnect behind the end brings nothing"
    assert state == 2, "EventSource.CLOSED"
