"""Taking a log, or a part of it, elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

from playwright.async_api import expect

from ingot.records.event import Phase
from tests.console.builds import LiveBuild, begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.service.api_server import Server


async def built(server: Server) -> LiveBuild:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.step(1, 1, "run make")
    await build.say(*(f"line {number} \x1b[31mred\x1b[0m" for number in range(1, 1001)))
    await build.done(1, 1, "run make")
    await build.end()
    return build


async def test_a_whole_step_is_copied_without_numbers_and_colours(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page((await built(server)).path))
    await expect(log.page.get_by_text("Complete", exact=True)).to_be_visible()
    await log.header("1/1 run make").get_by_role("button", name="Copy the lines of 1/1 run make").click()
    await expect(log.page.get_by_text("Copied 1,002 lines.")).to_be_visible()
    lines = (await log.clipboard()).splitlines()
    assert (len(lines), lines[1], lines[1000]) == (1002, "line 1 red", "line 1000 red")


async def test_selected_lines_are_copied(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page(f"{(await built(server)).path}#L3-L900"))
    await expect(log.page.get_by_text("Complete", exact=True)).to_be_visible()
    await log.more("Copy the selected lines")
    await expect(log.page.get_by_text("Copied 898 lines.")).to_be_visible()
    assert (await log.clipboard()).splitlines()[::897] == ["line 2 red", "line 899 red"]


async def test_of_lines_that_are_not_there_only_those_that_are_count(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page(f"{(await built(server)).path}#L1000-L9999"))
    await expect(log.page.get_by_text("Complete", exact=True)).to_be_visible()
    await log.more("Copy the selected lines")
    told = log.page.get_by_text("Copied ")
    await expect(told).to_be_visible()
    said = await told.inner_text()  # it goes after a while
    count = len((await log.clipboard()).splitlines())
    assert said == f"Copied {count} lines."
    assert 1 < count < 20


async def test_what_the_mouse_selects_has_no_numbers(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page(f"{(await built(server)).path}#L3"))
    await log.sees("line 3 red")
    await log.page.get_by_label("Timestamps").select_option("relative")
    await expect(log.line(4).locator(".log-time")).to_be_visible()
    text = await log.page.evaluate("""() => {
      const [from, to] = [3, 4].map((number) => document.querySelector(`[data-line="${number}"]`));
      getSelection().setBaseAndExtent(from, 0, to, to.childNodes.length);
      return getSelection().toString();
    }""")
    assert text.split("\n") == ["line 2 red", "line 3 red"]


async def test_the_command_has_no_key_in_it(server: Server, open_page: OpenPage) -> None:
    build = await built(server)
    log = LogPage(await open_page(f"{build.path}?attempt=1"))
    await log.sees("golden snapshot ready")
    await log.more("Copy as curl")
    await expect(log.page.get_by_text("Copied the command.")).to_be_visible()
    url = f"{server.url}{build.events_path}?attempt=1"
    assert await log.clipboard() == f"curl -N -H \"Authorization: Bearer $INGOT_API_KEY\" '{url}'"


async def test_the_log_is_downloaded(server: Server, open_page: OpenPage) -> None:
    log = LogPage(await open_page((await built(server)).path))
    await log.sees("golden snapshot ready")
    contents = []
    for name in ("Download as text", "Download as NDJSON"):
        async with log.page.expect_download() as coming:
            await log.more(name)
        contents.append(Path(await (await coming.value).path()).read_text())
        await log.page.keyboard.press("Escape")
    assert contents[0].splitlines()[1] == "line 1 \x1b[31mred\x1b[0m"
    assert json.loads(contents[1].splitlines()[1])["line"] == "line 1 \x1b[31mred\x1b[0m"
