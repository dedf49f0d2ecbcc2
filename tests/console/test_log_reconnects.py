"""What the log does when the connection goes: it says so, comes back by itself, and nothing is lost or doubled."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from tests.console.builds import begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.console.log_server import KEY, PATH, LogServer, log_server
from tests.ports import held_port
from tests.service.api_server import Server


@pytest.fixture
async def steady(tmp_path: Path) -> AsyncIterator[LogServer]:
    directory = tmp_path / "steady"
    directory.mkdir()
    with held_port() as held, log_server(directory, held.getsockname()[1]) as server:
        yield server


async def opened(open_page: OpenPage, steady: LogServer) -> LogPage:
    log = LogPage(await open_page(PATH, url=steady.url, key=KEY))
    await expect(log.page.locator(".log-line").first).to_be_visible()
    return log


async def has_all(log: LogPage) -> None:
    """Every tick once, in its order, and the end."""
    await log.sees("golden snapshot ready")
    await log.header("install").get_by_role("button", name="Copy the lines of install").click()
    await expect(log.page.locator(".log-notice")).to_contain_text("Copied")
    ticks = (await log.clipboard()).splitlines()
    assert ticks == [f"tick {number}" for number in range(len(ticks))]
    assert len(ticks) > 10


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_server_that_ends_and_comes_back(
    open_page: OpenPage, steady: LogServer, number: signal.Signals
) -> None:
    log = await opened(open_page, steady)
    await log.is_connection("live")
    for _ in range(2):
        steady.stop(number)
        await log.is_connection("waiting")
        steady.start()
        await log.is_connection("resumed")
        seen = await log.page.locator(".log-line").last.get_attribute("data-line")
        await expect(log.page.locator(".log-line").last).not_to_have_attribute("data-line", seen or "")
    steady.end_build()
    await log.is_connection("ended")
    await has_all(log)


async def test_a_network_that_is_gone_for_a_while(
    open_page: OpenPage, steady: LogServer, context: BrowserContext
) -> None:
    log = await opened(open_page, steady)
    steady.stop(signal.SIGKILL)
    await context.set_offline(True)
    await log.is_connection("waiting")
    steady.start()
    await context.set_offline(False)  # tells the page, which does not wait any longer
    await log.is_connection("resumed")
    steady.end_build()
    await has_all(log)


async def test_a_log_stays_when_its_server_goes_before_all_else_has_come(
    open_page: OpenPage, steady: LogServer, context: BrowserContext
) -> None:
    await context.route(re.compile(r"/build$"), lambda route: route.abort())
    log = await opened(open_page, steady)
    steady.stop(signal.SIGKILL)
    await log.is_connection("waiting")
    await expect(log.page.locator(".log-line").first).to_be_visible()


async def test_a_log_without_an_end_is_live_until_it_ends(server: Server, open_page: OpenPage) -> None:
    build = await begin_build(server)
    log = LogPage(await open_page(build.path))
    await log.is_connection("live")
    await expect(log.page.get_by_text("Waiting for the first line …")).to_be_visible()
    await build.end()
    await log.is_connection("ended")


async def test_a_session_that_is_over_ends_the_log(
    server: Server, open_page: OpenPage, context: BrowserContext
) -> None:
    build = await begin_build(server)
    await build.say("compiling")
    log = LogPage(await open_page(build.path))
    await log.sees("compiling")
    answer = await context.request.delete(f"{server.url}/api/session", headers={"Origin": server.url})
    assert answer.status == 204
    await expect(log.page.get_by_label("API key")).to_be_visible()
