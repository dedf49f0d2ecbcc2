"""A build that runs: its lines come as they are written, in sections, and the view moves with them."""

from __future__ import annotations

from playwright.async_api import expect

from ingot.records.event import Phase
from tests.console.builds import begin_build
from tests.console.conftest import OpenPage
from tests.service.api_server import STEP_FAILED, Server


async def test_lines_come_live_and_the_running_section_is_open(server: Server, open_page: OpenPage) -> None:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.cached(1, 3, "apt curl")
    await build.step(2, 3, "run make")
    await build.say("compiling")
    page = await open_page(build.path)
    await expect(page.locator(".log-line", has_text="compiling")).to_be_visible()
    await build.say("linking")
    await expect(page.locator(".log-line", has_text="linking")).to_be_visible()
    await build.done(2, 3, "run make")
    await build.step(3, 3, "run test")
    await build.say("testing")
    await expect(page.locator(".log-line", has_text="testing")).to_be_visible()
    await expect(page.locator(".log-line", has_text="linking")).to_have_count(0)
    await build.failed(3, 3, "run test")
    await build.end(STEP_FAILED)
    await expect(page.locator(".log-line.error")).to_contain_text("build failed: run make ended with exit code 2")
    await page.screenshot(path="/tmp/log1.png")
