"""Finding lines: by text, by level, and from one to the next."""

from __future__ import annotations

import re

from playwright.async_api import expect

from ingot.records.event import Level, Phase
from tests.console.builds import LiveBuild, begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.service.api_server import STEP_FAILED, Server

_TRIES = 5
_STOPPED_OR_BESIDE = """([expression, text]) => {
  const told = document.querySelector(".log-count")?.textContent ?? "";
  if (told.startsWith(`Stopped: ${expression} `)) return "stopped";
  const lines = [...document.querySelectorAll(".log-line")];
  return told === "searching …" && lines.some((line) => line.textContent.includes(text)) && "beside";
}"""
_TYPES_ON = """() => {
  const field = document.querySelector(".log-search input");
  const type = (text) => {
    field.value += text;
    field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  };
  const begun = new MutationObserver(() => {
    begun.disconnect();
    type(" 9");
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(() => type("9"))));
  });
  begun.observe(document.querySelector(".log-count"), { childList: true, subtree: true, characterData: true });
  type("line");
}"""
_TYPES_AND_ESCAPES = """(field) => {
  field.value = "line 99";
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "Escape", bubbles: true }));
}"""


async def with_lines(server: Server) -> LiveBuild:
    """A thousand lines: each hundredth has `Needle` in colours, each 250th is a warning."""
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.step(1, 2, "run make")
    for number in range(1, 1001):
        if number % 250 == 0:
            await build.reporter.say(f"line {number} careful", level=Level.WARN, source="run")
        else:
            text = "Nee\x1b[31mdle\x1b[0m" if number % 100 == 0 else "hay"
            await build.reporter.say(f"line {number} {text}", source="run")
    await build.writer.flush()
    return build


async def is_beside(log: LogPage, expression: str, line: str = "") -> bool:
    """Waits for a frame in which the search is under way and a line with the text is there; False where the search was
    stopped before."""
    seen = await log.page.wait_for_function(_STOPPED_OR_BESIDE, arg=[expression, line])
    return bool(await seen.json_value() == "beside")


async def run_wild_beside(log: LogPage, build: LiveBuild) -> str:
    """Looks for an expression that runs wild, and for a line that comes while it does; the expression. Another one is
    tried where all that took longer than it may run."""
    for turn in range(_TRIES):
        expression = f"(a+)+$|never{turn}"
        await log.find(expression)
        if await is_beside(log, expression):
            await build.say(f"meanwhile {turn}")
            if await is_beside(log, expression, f"meanwhile {turn}"):
                return expression
    raise AssertionError("no line came while an expression ran")


async def test_a_search_counts_marks_and_goes_from_one_to_the_next(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    await log.find("needle")
    await log.counts("8 lines")
    field = log.page.get_by_label("Search the log")
    await field.press("Enter")
    await log.counts("1 of 8")
    await log.sees("line 100 Needle")
    await expect(log.text("line 100 Needle").locator("mark")).to_have_text(["Nee", "dle"])
    await field.press("Shift+Enter")
    await log.counts("8 of 8")
    await log.sees("line 900 Needle")
    await log.button("Next match").click()
    await log.counts("1 of 8")
    await build.say("another Needle")
    await log.counts("1 of 9")
    await log.find("NEEDLE")
    await log.counts("not found")
    await log.find("Needle")
    await log.counts("9 lines")
    await field.press("Escape")
    await log.counts("")
    await expect(log.page.locator("mark")).to_have_count(0)


async def test_what_one_types_while_a_search_begins_stays(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    await log.page.evaluate(_TYPES_ON)
    await expect(log.page.get_by_label("Search the log")).to_have_value("line 99")
    await log.counts("11 lines")


async def test_escape_takes_back_what_was_only_typed(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    field = log.page.get_by_label("Search the log")
    await field.evaluate(_TYPES_AND_ESCAPES)
    await expect(field).to_have_value("")
    await log.page.wait_for_timeout(500)  # when it would have been looked for
    await expect(field).to_have_value("")
    await log.counts("")


async def test_an_expression_finds_lines_and_a_bad_one_says_so(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    await log.find("line .00 nee")
    await log.counts("not found")
    await log.button("Regular expression").click()
    await log.counts("8 lines")
    await log.find("line (")
    await expect(log.page.locator(".log-count")).to_contain_text("Invalid regular expression")


async def test_an_expression_marks_where_it_is(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    await log.button("Regular expression").click()
    await log.find("[1-9]00 |ee.")
    await log.counts("9 lines")
    await log.page.get_by_label("Search the log").press("Enter")
    await log.sees("line 100 Needle")
    await expect(log.text("line 100 Needle").locator("mark")).to_have_text(["100 ", "ee", "d"])
    await build.say("another 500 times")
    await log.counts("1 of 10")
    await log.button("Follow").click()
    await expect(log.text("another 500 times").locator("mark")).to_have_text("500 ")


async def test_an_expression_that_runs_wild_is_stopped_and_the_log_goes_on(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    await build.say("a" * 40 + "b")
    log = LogPage(await open_page(build.path))
    await log.sees("aaab")
    await log.button("Regular expression").click()
    expression = await run_wild_beside(log, build)
    await log.sees("meanwhile")
    told = log.page.locator(".log-count .problem")
    await expect(told).to_contain_text(f"Stopped: {expression} takes more than 5 s")
    await expect(told).to_contain_text("search for plain text")
    await build.say("thereafter")
    await log.sees("thereafter")
    await log.find("line .00 nee")
    await log.counts("8 lines")
    await log.find("(a|a)+$")
    await expect(log.page.locator(".log-count")).to_have_text(re.compile("searching|Stopped"))
    await log.find("^there.*r$")  # while the one before runs
    await log.counts("1 line")


async def test_places_of_an_expression_that_runs_wild_stop_it_as_well(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    await build.say("x" + "a" * 40 + "b")
    log = LogPage(await open_page(build.path))
    await log.sees("aaab")
    await log.button("Regular expression").click()
    await log.find("x|(a+)+$")  # the line has it at its beginning, and then no end
    await expect(log.page.locator(".log-count")).to_contain_text("Stopped: x|(a+)+$")
    await build.say("thereafter")
    await log.sees("thereafter")


async def test_a_match_in_a_folded_section_is_shown(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    await build.done(1, 2, "run make")
    await build.end()
    log = LogPage(await open_page(build.path))
    await log.sees("golden snapshot ready")
    await log.is_open("1/2 run make", False)
    await log.find("line 300 needle")
    await log.counts("1 line")
    await log.page.get_by_label("Search the log").press("Enter")
    await log.sees("line 300 Needle")


async def test_only_warnings_and_errors(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    await log.page.get_by_label("Lines shown").select_option("Warnings and errors")
    await expect(log.page.locator(".log-line")).to_have_count(4)
    await log.sees("line 250 careful")
    await build.say("more care", level=Level.WARN)
    await expect(log.page.locator(".log-line")).to_have_count(5)
    await build.failed(1, 2, "run make")
    await build.end(STEP_FAILED)
    await log.sees("build failed: run make ended")
    await log.page.get_by_label("Lines shown").select_option("Errors only")
    await expect(log.page.locator(".log-line")).to_have_count(2)
    await log.page.get_by_label("Lines shown").select_option("All lines")
    await log.sees("step 1/2 run make: failed")


async def test_to_the_next_error_or_warning(server: Server, open_page: OpenPage) -> None:
    build = await with_lines(server)
    log = LogPage(await open_page(build.path))
    await log.sees("line 1000")
    await log.button("Next error").click()
    await log.sees("line 250 careful")  # no error yet: warnings
    await log.button("Next error").click()
    await log.sees("line 500 careful")
    await build.failed(1, 2, "run make")
    await build.end(STEP_FAILED)
    await log.is_connection("ended")
    await log.page.keyboard.press("e")
    await log.sees("failed after 8.0s (exit code 2)")
