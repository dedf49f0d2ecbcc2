"""A log of a million lines: taller than a browser's elements can be, and each of its lines can be reached."""

from __future__ import annotations

import pytest
from playwright.async_api import expect

from ingot.records.event import Phase
from tests.console.builds import begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.service.api_server import Server

COUNT = 1_000_000
_DEADLINE = 120_000


@pytest.mark.timeout(600)
@pytest.mark.parametrize("wrap", [False, True])
async def test_a_million_lines(server: Server, open_page: OpenPage, wrap: bool) -> None:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.raw(
        [f"{number:07d} gcc -O2 -c src/file_{number % 977}.c -o build/obj.o" for number in range(1, COUNT + 1)]
    )
    log = LogPage(await open_page(build.path))
    await expect(log.line(COUNT)).to_be_in_viewport(timeout=_DEADLINE)
    if wrap:
        await log.button("Wrap").click()
        await log.sees_line(COUNT)

    await log.find("0777777")
    await log.counts("1 line")
    await log.page.get_by_label("Search the log").press("Enter")
    await log.sees("0777777 gcc")

    for number in (1, 500_000, COUNT, 250_001):
        await log.page.evaluate(f"() => {{ location.hash = '#L{number}'; }}")
        await log.sees_line(number)
        await expect(log.line(number)).to_contain_text(f"{number:07d} gcc")

    await log.wheel(200)  # a small move in a scaled list is a small move
    await log.sees_line(250_012)
    await log.wheel(-200)
    await log.sees_line(250_001)

    await log.frame.evaluate("(frame) => { frame.scrollTop = frame.scrollHeight / 2; }")
    await expect(log.page.locator(".log-line", has_text="0500").or_(log.text("0499")).nth(30)).to_be_in_viewport()

    await log.page.get_by_label("Search the log").blur()
    await log.page.keyboard.press("Home")
    await log.sees_line(1)
    await log.page.keyboard.press("End")
    await log.sees_line(COUNT)
    assert await log.frame.evaluate("(frame) => frame.scrollHeight") <= 12_100_000
    await build.raw(["the newest"])
    await log.sees("the newest")
