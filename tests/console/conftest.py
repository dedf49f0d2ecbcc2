"""A real server with the console's pages, and pages of a real browser that are signed in to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright, expect

import ingot.console
from tests.service.api_server import Server, running_server

CONSOLE = Path(__file__).parents[2] / "console"
OpenPage = Callable[..., Awaitable[Page]]
_DEADLINE_MS = 60_000
_NARROW = {"width": 390, "height": 780}
_WIDE = {"width": 1280, "height": 800}
expect.set_options(timeout=_DEADLINE_MS)
_QUICK = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


@pytest.fixture(scope="session")
def console_pages() -> Path:
    """The console as it is built from the source here."""
    pages = ingot.console.PAGES
    assert (pages / "index.html").exists(), "the console is not built: run `npm ci && npm run build` in console/"
    return pages


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_QUICK)
        yield browser
        await browser.close()


@pytest.fixture
async def server(tmp_path: Path, console_pages: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path, pages=console_pages) as server:
        yield server


@pytest.fixture
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A browser of its own: cookies, storage, clipboard."""
    context = await browser.new_context(viewport=_WIDE, bypass_csp=False)
    context.set_default_timeout(_DEADLINE_MS)
    yield context
    await context.close()


@contextlib.asynccontextmanager
async def watched_pages(context: BrowserContext) -> AsyncIterator[Callable[[str, str, str], Awaitable[Page]]]:
    """Opens a server's (url, path) signed in with a key. A page that throws, or breaks its policy, fails the test."""
    problems: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            problems.append(message.text)

    async def open_(url: str, path: str, key: str) -> Page:
        await sign_in(context, url, key)
        page = await context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", listen)
        await page.goto(f"{url}{path}")
        return page

    yield open_
    assert problems == []


@pytest.fixture
async def open_page(context: BrowserContext, server: Server) -> AsyncIterator[OpenPage]:
    """Opens `path` of the server, or of another one."""
    async with watched_pages(context) as open_:

        async def open_path(path: str, *, url: str = "", key: str = "") -> Page:
            return await open_(url or server.url, path, key or server.api_key)

        yield open_path


async def sign_in(context: BrowserContext, url: str, key: str) -> None:
    answer = await context.request.post(f"{url}/api/session", data={"key": key}, headers={"Origin": url})
    assert answer.status == 201, await answer.text()
