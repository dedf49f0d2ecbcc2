"""A build that runs: its lines come as they are written, in sections, and the view moves with them."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from ingot.records.build import Failure, FailureCode
from ingot.records.event import Level, Phase
from tests.console.builds import LiveBuild, begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.service.api_server import STEP_FAILED, Server

_GETS_ANOTHER_HEIGHT = """async ([by, room]) => {
  const frame = document.querySelector(".log-frame");
  frame.scrollTop -= 1;
  frame.scrollTop += 1 + by; // the page is told of it also where it leads nowhere, and before it is of the height
  document.querySelector(".log-toolbar").style.paddingBottom = `${room}px`;
  for (let frames = 0; frames < 3; frames++) await new Promise(requestAnimationFrame);
}"""
_SCROLLED_AND_DRAWN = """(times) => {
  document.querySelector(".log-frame").scrollTop = 0;
  times.selectedIndex = 1;
  times.dispatchEvent(new Event("change", { bubbles: true })); // the list is drawn before it is told of the scrolling
}"""
MANY = [f"line {number}" for number in range(400)]


async def making(server: Server) -> LiveBuild:
    """A build in its second step of three."""
    build = await begin_build(server)
    await build.say("accepted", source="builder")
    await build.enter(Phase.INSTALL)
    await build.cached(1, 3, "apt curl")
    await build.step(2, 3, "run make", "run make changed")
    return build


async def test_lines_come_live_and_sections_fold_when_they_end(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say("compiling")
    log = LogPage(await open_page(build.path))
    await log.sees("compiling")
    await build.say("linking", "careful", level=Level.WARN)
    await log.sees("linking")
    await log.is_open("2/3 run make")
    await expect(log.header("2/3 run make")).to_contain_text("2 warnings")
    await expect(log.header("2/3 run make")).to_contain_text("run (run make changed)")
    await expect(log.header("1/3 apt curl")).to_contain_text("cached (unchanged)")
    await log.is_open("1/3 apt curl", False)
    await build.done(2, 3, "run make")
    await build.step(3, 3, "run test")
    await build.say("testing")
    await log.sees("testing")
    await log.misses("linking")
    await log.is_open("2/3 run make", False)
    await build.done(3, 3, "run test")
    await build.enter(Phase.SNAPSHOT)
    await build.say("snapshot captured", source="builder")
    await build.end()
    await log.sees("golden snapshot ready in 118.4s")
    await log.misses("testing")
    await expect(log.page.get_by_role("status").get_by_text("golden snapshot ready")).to_have_count(1)


async def test_the_time_of_what_runs_ticks(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    log = LogPage(await open_page(build.path))
    took = log.header("2/3 run make").locator(".log-took")
    before = await took.inner_text()
    await expect(took).not_to_have_text(before)


async def test_a_failure_opens_its_section_and_is_shown(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await build.failed(2, 3, "run make")
    await build.say("the machine is kept", level=Level.WARN, source="builder")
    await build.end(STEP_FAILED)
    await log.sees("build failed: run make ended with exit code 2")
    await log.sees("line 399")  # what explains it stands above it
    await expect(log.page.locator(".log-sticky .log-header.failed")).to_contain_text("2/3 run make")


async def test_a_failed_log_that_is_opened_later_shows_the_error(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    await build.failed(2, 3, "run make")
    await build.end(STEP_FAILED)
    log = LogPage(await open_page(build.path))
    await log.sees("build failed: run make ended with exit code 2")
    await log.sees("line 399")


async def test_a_failure_is_shown_by_what_the_command_said_last(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await build.failed(2, 3, "run make")
    await build.say(*(f"left behind {number}" for number in range(100)), source="builder")
    await build.end(STEP_FAILED)
    for _ in range(2):
        await log.is_connection("ended")
        await log.sees("line 399")
        await log.misses("build failed: run make")
        await expect(log.page.locator(".last-lines")).to_be_visible()  # which takes of the log's height
        await log.wheel(-4000)
        await log.misses("line 399")
        await log.page.get_by_role("link", name=re.compile("^line ")).click()
        await log.sees("line 399")
        await log.page.reload()


async def test_a_cancelled_build_ends_where_it_was(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say("compiling")
    log = LogPage(await open_page(build.path))
    await log.sees("compiling")
    await build.end(Failure(FailureCode.CANCELLED, "by you", None, None, ()))
    await log.sees("build cancelled: by you")
    await expect(log.header("2/3 run make").get_by_text(", cancelled")).to_have_count(1)


async def test_follow_yields_to_scrolling_up_and_comes_back_at_the_end(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await log.follows()
    await log.wheel(-1200)
    await log.follows(False)
    await expect(log.text("line 320").first).to_be_in_viewport()
    await build.say("another", "and another")
    await expect(log.button("↓ Jump to latest (2 new)")).to_be_visible()
    await expect(log.text("line 320").first).to_be_in_viewport()  # nothing moved
    await log.wheel(4000)
    await log.sees("and another")
    await log.follows()
    await build.say("the newest")
    await log.sees("the newest")


@pytest.mark.parametrize("gets", ["taller", "lower"])
async def test_scrolling_counts_also_while_the_view_gets_another_height(
    server: Server, open_page: OpenPage, gets: str
) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await log.page.evaluate(_GETS_ANOTHER_HEIGHT, [0, 150 if gets == "taller" else 0])
    await log.follows()
    await log.page.evaluate(_GETS_ANOTHER_HEIGHT, [-1200, 0 if gets == "taller" else 150])
    await log.follows(False)
    await build.say("another")
    await expect(log.button("↓ Jump to latest (1 new)")).to_be_visible()
    await log.sees("line 320")


async def test_scrolling_counts_also_when_the_list_is_drawn_before_it_is_told(
    server: Server, open_page: OpenPage
) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await log.wheel(-1000)
    await log.misses("line 399")
    await log.page.get_by_label("Timestamps").evaluate(_SCROLLED_AND_DRAWN)
    await expect(log.header("1/3 apt curl")).to_be_in_viewport()


async def test_a_view_of_another_height_goes_on_following(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    for number, room in enumerate((150, 0, 300, 20)):
        await build.say(f"newest {number}")
        await log.sees(f"newest {number}")
        await log.page.evaluate(_GETS_ANOTHER_HEIGHT, [0, room])
        await log.follows()
        await log.sees(f"newest {number}")


async def test_jump_to_latest(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await log.wheel(-2000)
    await log.follows(False)
    await build.say("one more")
    await log.button("↓ Jump to latest (1 new)").click()
    await log.sees("one more")
    await log.follows()


async def test_pause_keeps_receiving_and_says_how_many(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await log.button("Pause").click()
    await build.say("while paused", "and more", "and still")
    await expect(log.button("Paused (3 new)")).to_be_visible()
    await log.misses("while paused")
    await log.button("Paused (3 new)").click()
    await log.sees("and still")


async def test_a_section_in_which_one_reads_stays_open_when_it_ends(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    await log.wheel(-2000)
    await log.follows(False)
    await log.sees("line 280")
    await build.done(2, 3, "run make")
    await build.step(3, 3, "run test")
    await build.say("testing")
    await expect(log.button("↓ Jump to latest (3 new)")).to_be_visible()
    await log.sees("line 280")


async def test_sections_open_and_fold_and_what_one_opened_stays(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    log = LogPage(await open_page(build.path))
    await log.header("1/3 apt curl").locator(".log-fold").click()
    await log.sees("step 1/3 apt curl: cached (unchanged)")
    await build.done(2, 3, "run make")
    await build.end()
    await log.sees("golden snapshot ready")
    await log.sees("step 1/3 apt curl: cached (unchanged)")
    await log.header("1/3 apt curl").locator(".log-fold").click()
    await log.misses("step 1/3 apt curl")
    await log.more("Open all sections")
    await log.sees("accepted")
    await log.more("Fold all sections")
    await log.misses("accepted")


async def test_the_header_of_the_section_one_is_in_stays_on_top(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    await build.say(*MANY)
    log = LogPage(await open_page(build.path))
    await log.sees("line 399")
    sticky = log.page.locator(".log-sticky")
    await expect(sticky).to_contain_text("2/3 run make")
    await sticky.locator(".log-fold").click()
    await log.misses("line 399")
    await log.is_open("2/3 run make", False)


async def test_the_list_is_a_log_that_is_not_read_aloud_line_by_line(server: Server, open_page: OpenPage) -> None:
    build = await making(server)
    log = LogPage(await open_page(build.path))
    await expect(log.page.get_by_role("log")).to_have_attribute("aria-live", "off")
