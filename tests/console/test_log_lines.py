"""Lines as they are shown: numbers, times, colours, links, and what a hostile program prints."""

from __future__ import annotations

import re

from playwright.async_api import expect

from ingot.records.event import Level, Phase
from tests.console.builds import LiveBuild, begin_build
from tests.console.conftest import OpenPage
from tests.console.log_page import LogPage
from tests.service.api_server import Server

_IS_TALL = "(number) => document.querySelector(`.log-line[data-line='${number}']`)?.offsetHeight > 20"
_ENDS_WITH = """(number) => {
  const row = document.querySelector(`.log-line[data-line="${number}"]`);
  const frame = row?.closest(".log-frame");
  return frame && Math.abs(row.getBoundingClientRect().bottom - frame.getBoundingClientRect().bottom) <= 2;
}"""


async def printed(server: Server, *lines: str) -> LiveBuild:
    """A build that printed the lines just so, as its first ones."""
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.raw(lines)
    return build


async def test_a_number_is_a_link_to_its_line(server: Server, open_page: OpenPage) -> None:
    build = await printed(server, *(f"line {number}" for number in range(1, 1001)))
    log = LogPage(await open_page(f"{build.path}?attempt=1"))
    await log.sees_line(1000)
    await log.line(990).locator(".log-number").click()
    await log.address_ends_with("?attempt=1#L990")
    await expect(log.line(990)).to_have_class(re.compile("selected"))
    await log.line(995).locator(".log-number").click(modifiers=["Shift"])
    await log.address_ends_with("#L990-L995")
    await expect(log.page.locator(".log-line.selected")).to_have_count(6)
    await log.line(985).locator(".log-number").click(modifiers=["Shift"])
    await log.address_ends_with("#L985-L990")


async def test_a_link_to_lines_opens_their_section_and_shows_them(server: Server, open_page: OpenPage) -> None:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.step(1, 2, "run make")
    await build.say(*(f"made {number}" for number in range(500)))
    await build.done(1, 2, "run make")
    await build.step(2, 2, "run test")
    await build.say(*(f"tested {number}" for number in range(500)))
    await build.done(2, 2, "run test")
    await build.end()
    log = LogPage(await open_page(f"{build.path}?attempt=1#L250-L252"))
    await log.sees_line(250)
    await expect(log.line(250)).to_contain_text("made 248")
    await expect(log.page.locator(".log-line.selected")).to_have_count(3)
    await log.address_ends_with("#L250-L252")
    await log.page.evaluate("() => { location.hash = '#L700'; }")
    await log.sees_line(700)


async def test_a_link_to_a_line_that_is_not_there_says_so(server: Server, open_page: OpenPage) -> None:
    build = await printed(server, "only one")
    await build.end()
    log = LogPage(await open_page(f"{build.path}#L99"))
    await expect(log.page.get_by_text("There is no line 99: the log has 2.")).to_be_visible()


async def test_a_link_to_a_line_that_is_still_to_come_waits_for_it(server: Server, open_page: OpenPage) -> None:
    build = await printed(server, *(f"line {number}" for number in range(1, 201)))
    log = LogPage(await open_page(f"{build.path}#L400"))
    await log.sees_line(1)
    await build.raw([f"line {number}" for number in range(201, 601)])
    await log.sees_line(400)


async def test_times_are_shown_as_one_wants_and_it_is_kept(server: Server, open_page: OpenPage) -> None:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.raw(["first"], ts_ms=1_780_000_000_000)
    await build.raw(["second"], ts_ms=1_780_000_062_345)
    log = LogPage(await open_page(build.path))
    await log.sees("second")
    await expect(log.page.locator(".log-time")).to_have_count(0)
    await log.page.get_by_label("Timestamps").select_option("relative")
    await expect(log.line(2).locator(".log-time")).to_have_text("+1:02.345")
    await log.page.get_by_label("Timestamps").select_option("absolute")
    await expect(log.line(2).locator(".log-time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.345$"))
    await expect(log.line(2).locator(".log-time")).to_have_attribute("title", "2026-05-28T20:27:42.345Z")
    await log.button("Wrap").click()
    await log.page.reload()
    await expect(log.line(2).locator(".log-time")).to_have_text(re.compile(r"^\d\d:\d\d:\d\d\.345$"))
    await expect(log.button("Wrap")).to_have_attribute("aria-pressed", "true")


async def test_colours_are_shown_and_end_with_their_line(server: Server, open_page: OpenPage) -> None:
    build = await printed(
        server,
        "\x1b[1;31mbold red\x1b[0m plain \x1b[3;4mslanted",
        "plain again",
        "\x1b[38;2;255;255;0mtrue yellow\x1b[0m \x1b[48;5;21mblue ground\x1b[0m \x1b[7minverse",
    )
    log = LogPage(await open_page(build.path))
    await expect(log.line(1).locator(".log-text")).to_have_text("bold red plain slanted")
    red = log.line(1).locator("span.b")
    await expect(red).to_have_text("bold red")
    await expect(red).to_have_css("color", "rgb(187, 0, 0)")
    await expect(log.line(1).locator("span.i.u")).to_have_text("slanted")
    assert await log.line(2).locator(".log-text span").count() == 0
    await expect(log.line(3).locator("span", has_text="blue ground").last).to_have_css(
        "background-color", "rgb(0, 0, 255)"
    )
    await log.page.emulate_media(color_scheme="dark")
    await expect(red).not_to_have_css("color", "rgb(187, 0, 0)")  # that is too dark to be read there


async def test_levels_have_marks(server: Server, open_page: OpenPage) -> None:
    build = await printed(server, "fine")
    await build.say("careful", level=Level.WARN)
    log = LogPage(await open_page(build.path))
    await expect(log.text("careful").locator(".log-level")).to_have_attribute("aria-label", "warn")


HOSTILE = (
    '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>',
    "javascript:window.hacked=1 data:text/html,x http://ok.example/a?b=1#c.",
    'https://"onmouseover="window.hacked=1"',
    "user\u202egpj.exe and \u2066isolated\u2069 \ufeffbom",
    "\u05e9\u05dc\u05d5\u05dd rtl",
    "{{constructor.constructor('window.hacked=1')()}} ${window.hacked=1}",
    "\x1b[38;5;999;31;9999999m\x1b[mcolours\x1b[",
    "https://xn--e1awd7f.example/\u202e/gnp",
)


async def test_what_a_hostile_program_prints_is_text(server: Server, open_page: OpenPage) -> None:
    build = await printed(server, *HOSTILE)
    log = LogPage(await open_page(build.path))
    await expect(log.line(1).locator(".log-text")).to_have_text(HOSTILE[0])
    await expect(log.line(len(HOSTILE))).to_be_attached()
    await expect(log.page.locator(".log-text.waiting")).to_have_count(0)
    assert await log.page.evaluate("() => window.hacked ?? null") is None
    assert await log.page.locator(".log-text img, .log-text script").count() == 0
    links = log.page.locator(".log-text a")
    await expect(links).to_have_count(2)
    assert await links.evaluate_all("(all) => all.map((a) => [a.textContent, a.getAttribute('href')])") == [
        ["http://ok.example/a?b=1#c", "http://ok.example/a?b=1#c"],
        ["https://xn--e1awd7f.example/", "https://xn--e1awd7f.example/"],
    ]
    for attribute, value in (("target", "_blank"), ("rel", "noopener noreferrer")):
        await expect(links.first).to_have_attribute(attribute, value)
    await expect(log.line(4).locator(".log-hidden")).to_have_text(["U+202E", "U+2066", "U+2069", "U+FEFF"])
    await expect(log.line(5).locator(".log-text")).to_have_css("unicode-bidi", "isolate")
    await expect(log.line(7).locator(".log-text")).to_have_text("colours[")


async def test_very_long_lines_are_short_until_one_wants_them(server: Server, open_page: OpenPage) -> None:
    build = await printed(server, *[f"{number} " + "x" * 16_000 + " end" for number in range(200)])
    log = LogPage(await open_page(build.path))
    await log.sees_line(200)
    rest = log.line(200).get_by_role("button", name="14,008 more characters")
    await expect(rest).to_be_attached()
    await rest.dispatch_event("click", {"bubbles": True})
    await expect(log.line(200).locator(".log-text")).to_have_text(re.compile("x end$"))
    await log.button("Wrap").click()
    await log.frame.press("End")
    await expect(log.line(200)).to_be_in_viewport()


async def test_wrapped_lines_are_whole_and_keep_their_place(server: Server, open_page: OpenPage) -> None:
    words = [f"{number}: " + "some words that make a long line " * (number % 12) for number in range(3000)]
    build = await printed(server, *words)
    log = LogPage(await open_page(f"{build.path}#L1501"))
    await log.sees_line(1501)
    await log.button("Wrap").click()
    await log.sees_line(1501)
    await log.page.wait_for_function(_IS_TALL, arg=1512)
    await expect(log.line(1501)).to_have_js_property("offsetHeight", 20)
    for _ in range(10):
        await log.wheel(400)
    await log.frame.press("Control+End")
    await log.sees_line(3000)
    await log.page.wait_for_function(_ENDS_WITH, arg=3000)
    await log.page.keyboard.press("g")
    await log.sees_line(1)
    await log.button("Wrap").click()
    await log.sees_line(1)
