"""The log by keyboard alone, and for those who do not see it."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from ingot.records.event import Level, Phase
from tests.console.axe import axe_findings
from tests.console.builds import LiveBuild, begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.service.api_server import STEP_FAILED, Server


async def failed_build(server: Server) -> LiveBuild:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.cached(1, 2, "apt curl")
    await build.step(2, 2, "run make")
    await build.say(*(f"line {number} \x1b[33myellow\x1b[0m https://a.example/{number}" for number in range(300)))
    await build.say("careful", level=Level.WARN)
    await build.failed(2, 2, "run make")
    await build.end(STEP_FAILED)
    return build


async def test_keys(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page((await failed_build(server)).path))
    keyboard = log.page.keyboard
    await log.sees("build failed")
    await keyboard.press("g")
    await expect(log.header("install")).to_be_in_viewport()
    await keyboard.press("G")
    await log.sees("build failed")
    await log.follows()
    await keyboard.press("f")
    await log.follows(False)
    await keyboard.press("/")
    await expect(log.page.get_by_label("Search the log")).to_be_focused()
    await keyboard.type("line 2gfe")  # letters are text in a field
    await log.counts("not found")
    await keyboard.press("Escape")
    await expect(log.page.get_by_label("Search the log")).not_to_be_focused()
    await keyboard.press("/")
    await keyboard.type("line 20")
    await log.counts("11 lines")
    await keyboard.press("Enter")
    await log.counts("1 of 11")
    await log.page.get_by_label("Search the log").blur()
    await keyboard.press("n")
    await log.counts("2 of 11")
    await keyboard.press("Shift+N")
    await log.counts("1 of 11")
    await log.sees("line 20 ")
    await keyboard.press("Escape")
    await log.counts("")
    await keyboard.press("e")
    await log.sees("failed after 8.0s")
    await keyboard.press("w")
    await expect(log.button("Wrap")).to_have_attribute("aria-pressed", "true")
    await keyboard.press("?")
    await expect(log.page.get_by_role("dialog")).to_be_visible()
    await keyboard.press("Escape")
    await expect(log.page.get_by_role("dialog")).to_be_hidden()


async def test_sections_fold_by_keyboard_and_the_focus_stays(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page((await failed_build(server)).path))
    fold = log.header("1/2 apt curl").locator(".log-fold")
    await log.sees("build failed")
    await log.page.keyboard.press("g")
    await fold.focus()
    await log.page.keyboard.press("Enter")
    await log.sees("step 1/2 apt curl: cached")
    await expect(fold).to_be_focused()
    await log.page.keyboard.press("Space")
    await log.misses("step 1/2 apt curl")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_nothing_serious_stands_in_anybodys_way(server: Server, open_page: OpenPage, scheme: str) -> None:
    log = LogPage(await open_page((await failed_build(server)).path))
    await log.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await log.sees("build failed")
    await log.find("line 29")
    await log.counts("11 lines")
    assert await axe_findings(log.page) == []
    await log.page.get_by_label("Search the log").blur()
    await log.page.set_viewport_size({"width": 390, "height": 780})
    await log.page.keyboard.press("Shift+G")
    await log.sees("build failed")
    assert await axe_findings(log.page) == []
