"""Where one arrives: a way in for a stranger, and what is under way and ended for everybody else."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.console.axe import axe_findings
from tests.console.build_fixtures import Host, Show, running_host, shown


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, console_pages: Path) -> Iterator[Host]:
    """One for all tests here; nothing was built on it when the first one begins."""
    with running_host(tmp_path_factory.mktemp("host"), builds="1") as host:
        yield host


@pytest.fixture
async def show(context: BrowserContext) -> AsyncIterator[Show]:
    async with shown(context) as show:
        yield show


async def check_access(page: Page) -> None:
    """As it is, in both colours; and it fits a narrow screen."""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        assert await axe_findings(page) == []
    wide = page.viewport_size
    assert wide is not None
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.wait_for_function("() => document.documentElement.scrollWidth === 360")
    await page.set_viewport_size(wide)


async def test_a_stranger_comes_from_the_first_page_to_a_computer_by_pressing_what_it_offers(
    host: Host, show: Show
) -> None:
    page = await show(host, "/")
    await expect(page.get_by_role("heading", name="Welcome to Ingot")).to_be_visible()
    await expect(page.get_by_role("link", name="Write a template")).to_have_attribute("href", "/console/templates/new")
    await expect(page.get_by_role("button", name="Build it: python")).to_be_visible()
    await check_access(page)
    await page.get_by_role("button", name="Build it: hello").click()
    await expect(page).to_have_url(re.compile("/console/builds/default/hello/1.0.0$"))
    await expect(page.locator(".build-badge")).to_have_text("ready")
    await page.get_by_role("link", name="Builds").click()
    row = page.locator("tr", has_text="default/hello@1.0.0")
    await expect(row).to_contain_text("ready")
    await row.get_by_role("button", name="Launch").click()
    await expect(page).to_have_url(re.compile("/console/computers/[^/]+$"))
    await expect(page.get_by_role("tab", name="Screen")).to_be_visible()


async def test_builds_under_way_move_and_end_before_ones_eyes(host: Host, show: Show) -> None:
    gate = host.gate("moves")
    first = host.template("say one", f"wait {gate}", name="moves")
    second = host.template("say two\nexit 7", name="waits")
    host.build(first)
    host.build(second)
    page = await show(host, "/console/")
    rows = page.locator(".active-build")
    await expect(rows).to_have_count(2)
    await expect(rows.nth(0)).to_contain_text(f"run wait {gate}")
    await expect(rows.nth(0)).to_contain_text("building")
    await expect(rows.nth(1)).to_contain_text("first in the queue")
    await expect(page).to_have_title(re.compile("1 building"))
    await check_access(page)
    gate.touch()
    await expect(rows).to_have_count(0)
    failed = page.locator("tr", has_text="default/waits")
    await expect(failed).to_contain_text("ended with exit code 7")
    await expect(failed.get_by_role("button")).to_have_count(0)
    await expect(page.locator("tr", has_text="default/moves")).to_contain_text("both steps ran")
    await failed.get_by_role("link").click()
    await expect(page.locator(".ending strong")).to_have_text("A step failed")


async def test_it_says_that_it_is_old_news_while_the_server_is_away(host: Host, show: Show) -> None:
    ref = host.template("say one", name="news")
    host.build(ref)
    host.follow(ref)
    page = await show(host, "/console/")
    await expect(page.locator("tr", has_text="default/news")).to_be_visible()
    host.kill()
    await expect(page.get_by_role("main").get_by_role("status")).to_contain_text("The server cannot be reached")
    await expect(page.locator("tr", has_text="default/news")).to_be_visible()
    host.start()
    await expect(page.get_by_role("main").get_by_role("status")).to_have_count(0)
