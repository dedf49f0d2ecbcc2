"""Many tabs with live logs: a browser has six connections to a host, and every tab that one goes to is live all the
same. The tabs are really hidden."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser

from ingot.records.event import Phase
from tests.console.builds import LiveBuild, begin_build
from tests.console.window import Tab, Window, opened_window
from tests.service.api_server import Server

_PLACES = 4
_STATE = "document.querySelector('section.log')?.dataset.stream"
_IS_LIVE = f"['live', 'resumed'].includes({_STATE})"
_CONNECTION = "document.querySelector('.connection-told')?.innerText.trim()"
_TELLS_LIVE = f"['Live', 'Live, nothing lost'].includes({_CONNECTION})"
_LAST = "[...document.querySelectorAll('.log-line .log-text')].at(-1)?.innerText"
_DRAWN = "[...document.querySelectorAll('.log-line')].map(row => [row.dataset.line, row.innerText.trim()])"
_STRAY = f"{_DRAWN}.filter(([number, text]) => text !== 'tick ' + number)"
_ASKED = "fetch('/api/builds').then(answer => answer.status)"
_HIDDEN = "document.visibilityState"


@pytest.fixture
async def window(browser: Browser, server: Server, console_pages: object) -> AsyncIterator[Window]:
    async with opened_window(browser, server.url, server.api_key) as window:
        yield window


async def counting(server: Server) -> LiveBuild:
    """A build whose lines are their own numbers, as the page shows them."""
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await count_on(build)
    return build


async def count_on(build: LiveBuild, lines: int = 3) -> str:
    """Prints some more; the last."""
    first = build.writer.next_seq + 1
    await build.say(*(f"tick {number}" for number in range(first, first + lines)))
    return f"tick {first + lines - 1}"


async def has_all(tab: Tab, build: LiveBuild) -> None:
    """The lines at its end are in their places, so none before them is missing or there twice."""
    await tab.until(f"{_DRAWN}.at(-1)?.[0]", str(build.writer.next_seq))
    await tab.until(_STRAY, [])  # a line that the page has not got yet is drawn as one that waits


async def open_streams(server: Server, number: int) -> None:
    """Waits until the server has so many."""
    deadline = time.monotonic() + 60
    while (seen := server.services.stream.count_open()) != number:
        assert time.monotonic() < deadline, f"{seen} streams are open"
        await asyncio.sleep(0.05)


async def watching(window: Window, build: LiveBuild) -> Tab:
    """A tab in front, until the next one."""
    tab = await window.open(build.path)
    await tab.until(_STATE, "live")
    return tab


async def test_each_of_eight_tabs_is_live_when_one_goes_to_it(server: Server, window: Window) -> None:
    builds = [await counting(server) for _ in range(2)]
    tabs = [(await watching(window, builds[number % 2]), builds[number % 2]) for number in range(8)]
    for _ in range(2):
        for tab, build in tabs:
            newest = [await count_on(each) for each in builds]
            await tab.front()
            await tab.until(_LAST, newest[builds.index(build)])
            await tab.until(_IS_LIVE)
            assert await tab.evaluate(_ASKED) == 200
            await tab.until(_TELLS_LIVE)
    await tabs[-1][0].until(_HIDDEN, "visible")
    for tab, _ in tabs[:-1]:
        await tab.until(_HIDDEN, "hidden")
    for tab, _ in tabs[: 8 - _PLACES]:
        await tab.until(_STATE, "parked")
        await tab.until(_CONNECTION, "Looks every 10 s")
    await open_streams(server, _PLACES)
    for tab, build in tabs:
        await tab.front()
        await tab.until(_LAST, f"tick {build.writer.next_seq}")
        await has_all(tab, build)


async def test_a_hidden_tab_without_a_connection_tells_the_end_in_its_title(server: Server, window: Window) -> None:
    build, other = await counting(server), await counting(server)
    first = await watching(window, build)
    for _ in range(_PLACES):
        await watching(window, other)
    await first.until(_STATE, "parked")
    await first.until("document.title[0]", "●")
    await count_on(build)
    await build.end()
    await first.until("document.title[0]", "✓")
    await first.until(_STATE, "ended")
    assert await first.evaluate(_HIDDEN) == "hidden"
    await first.front()
    await first.until(_LAST, "golden snapshot ready in 118.4s")
    assert int((await first.evaluate(_DRAWN))[-1][0]) == build.writer.next_seq + 1


async def test_a_place_that_gets_free_is_taken(server: Server, window: Window) -> None:
    build, other = await counting(server), await counting(server)
    first = await watching(window, build)
    for _ in range(_PLACES):
        last = await watching(window, other)
    await first.until(_STATE, "parked")
    await last.evaluate("location.href = '/console/templates'")
    await first.until(_STATE, "resumed")
    await count_on(build)
    await first.until(f"{_DRAWN}.length", build.writer.next_seq)
    await has_all(first, build)


async def test_a_tab_that_opens_behind_others_has_its_connection_when_it_is_seen(
    server: Server, window: Window
) -> None:
    build = await counting(server)
    tab = await window.open(build.path, behind=True)
    await tab.until(_HIDDEN, "hidden")
    await tab.until(f"{_STATE} + document.title[0]", "parked●")
    newest = await count_on(build)
    await tab.front()
    await tab.until(_LAST, newest)
    await tab.until(_STATE, "resumed")


async def test_a_frozen_tab_misses_nothing(server: Server, window: Window) -> None:
    build = await counting(server)
    tab = await watching(window, build)
    await window.open("/console/templates")
    await tab.until(_HIDDEN, "hidden")
    await tab.freeze()
    await count_on(build, 200)
    await tab.front()
    await tab.until(_LAST, f"tick {build.writer.next_seq}")
    await tab.until(_IS_LIVE)
    await has_all(tab, build)


async def test_a_tab_that_nobody_sees_for_a_minute_learns_the_end(server: Server, window: Window) -> None:
    """Hidden for as long as browsers take to slow a page's timers down."""
    build = await counting(server)
    tab = await watching(window, build)
    await window.open("/console/templates")
    await tab.until(_HIDDEN, "hidden")
    for _ in range(60):
        await count_on(build)
        await asyncio.sleep(1)
    await build.end()
    await tab.until("document.title[0]", "✓")
    await tab.until(_STATE, "ended")
