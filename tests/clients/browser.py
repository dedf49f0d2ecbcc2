"""Event streams in a real browser: its own EventSource, and a package that was made for pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from playwright.async_api import Page, Route, async_playwright

from tests.clients import node

_DEADLINE = 120.0
_PAGE = "<!doctype html><title>events</title>"
_EVENT_SOURCE = """([url, close]) => new Promise((done) => {
  const events = window.events = [], source = new EventSource(url);
  const finish = () => done({events, state: source.readyState});
  source.onmessage = (event) => {
    events.push([event.lastEventId, event.data]);
    if (close && JSON.parse(event.data).result) { source.close(); finish(); }
  };
  source.onerror = () => { if (source.readyState === EventSource.CLOSED) finish(); };
})"""
_FETCH_EVENT_SOURCE = """async ([url, key]) => {
  const { fetchEventSource } = await import("/packages/index.js");
  const events = window.events = [], ended = new AbortController();
  await fetchEventSource(url, {
    headers: { Authorization: `Bearer ${key}` },
    openWhenHidden: true,
    signal: ended.signal,
    onmessage: (event) => {
      events.push([event.id, event.data]);
      if (event.data && JSON.parse(event.data).result) ended.abort();
    },
  });
  return events;
}"""


@contextlib.asynccontextmanager
async def opened(origin: str) -> AsyncIterator[Page]:
    """An empty page of the server's own origin, in headless Chromium; `/packages/` are the locked ones."""
    modules = await node.installed() / "node_modules/@microsoft/fetch-event-source/lib/esm"

    async def page(route: Route) -> None:
        await route.fulfill(body=_PAGE, content_type="text/html")

    async def module(route: Route) -> None:
        name = route.request.url.rpartition("/")[2].removesuffix(".js")
        await route.fulfill(body=(modules / f"{name}.js").read_text(), content_type="text/javascript")

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        try:
            context = await browser.new_context(ignore_https_errors=True)
            made = await context.new_page()
            made.set_default_timeout(_DEADLINE * 1000)
            await made.route(f"{origin}/page", page)
            await made.route(f"{origin}/packages/*", module)
            await made.goto(f"{origin}/page")
            yield made
        finally:
            await browser.close()


async def event_source(page: Page, url: str, *, close: bool = True) -> tuple[list[tuple[str, str]], int]:
    """(id, data) of each event, and the readyState at the end. Without `close` the end is left to the server."""
    found: Any = await asyncio.wait_for(page.evaluate(_EVENT_SOURCE, [url, close]), _DEADLINE)
    return [(identity, data) for identity, data in found["events"]], found["state"]


async def fetch_event_source(page: Page, url: str, key: str) -> list[tuple[str, str]]:
    found: Any = await asyncio.wait_for(page.evaluate(_FETCH_EVENT_SOURCE, [url, key]), _DEADLINE)
    return [(identity, data) for identity, data in found]


async def until_seen(page: Page, text: str) -> None:
    """Waits until the page has an event with `text` in it."""
    await page.wait_for_function("(text) => window.events?.some(([, data]) => data.includes(text))", arg=text)
