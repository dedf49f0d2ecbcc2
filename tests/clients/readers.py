"""Clients that others wrote. Each reads a stream to its end and gives (id, data) of every event that it delivers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

import httpx
import httpx_sse
import sseclient

from tests.clients import browser, node
from tests.service.event_stream_server import KEY, TICKET

Events = list[tuple[str, str]]
HEADERS = {"Authorization": f"Bearer {KEY}"}
_DEADLINE = 120.0


async def curl(url: str, *flags: str) -> Events:
    """curl gives the bytes; they are read as the standard says."""
    command = ["curl", "-sSNk", *flags, "-H", f"Authorization: Bearer {KEY}", url]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0
    return by_the_standard(output.decode())


async def by_httpx_sse(url: str) -> Events:
    client = httpx.AsyncClient(timeout=_DEADLINE, trust_env=False, headers=HEADERS)
    async with client, httpx_sse.aconnect_sse(client, "GET", url) as source:
        return [(event.id, event.data) async for event in source.aiter_sse()]


async def by_sseclient(url: str) -> Events:
    def read() -> Events:
        client = httpx.Client(timeout=_DEADLINE, trust_env=False, headers=HEADERS)
        with client, client.stream("GET", url) as response:
            return [(event.id or "", event.data) for event in sseclient.SSEClient(response.iter_bytes()).events()]

    return await asyncio.to_thread(read)


async def by_eventsource_parser(url: str) -> Events:
    return await node.events("parser.mjs", url, KEY)


async def by_eventsource(url: str) -> Events:
    return await node.events("eventsource.mjs", url, KEY)


async def by_fetch_event_source(url: str) -> Events:
    async with browser.opened(_origin(url)) as page:
        return await browser.fetch_event_source(page, url, KEY)


async def by_a_browser(url: str) -> Events:
    """Chromium's own EventSource, with a ticket: it cannot send a key."""
    async with browser.opened(_origin(url)) as page:
        events, _ = await browser.event_source(page, f"{url}?ticket={TICKET}")
        return events


READERS: dict[str, Callable[[str], Awaitable[Events]]] = {
    "curl": curl,
    "httpx-sse": by_httpx_sse,
    "sseclient-py": by_sseclient,
    "eventsource-parser": by_eventsource_parser,
    "eventsource": by_eventsource,
    "fetch-event-source": by_fetch_event_source,
    "Chromium": by_a_browser,
}


def by_the_standard(text: str) -> Events:
    """Server-sent events as the HTML standard reads them."""
    events: Events = []
    last_id, data = "", list[str]()
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append((last_id, "\n".join(data)))
            data = []
        elif name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value
    return events


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
