"""The page of one build: it tells how the build stands, whatever happens, and does what one asks of it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Page, expect

from tests.console.axe import axe_findings
from tests.console.build_fixtures import Host, Show, path_of, running_host, shown


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, console_pages: Path) -> Iterator[Host]:
    """One for all tests here; two builds at once."""
    with running_host(tmp_path_factory.mktemp("host")) as host:
        yield host


@pytest.fixture
async def show(context: BrowserContext) -> AsyncIterator[Show]:
    async with shown(context) as show:
        yield show


def badge(page: Page) -> Any:
    return page.locator(".build-badge")


async def shows(page: Page, word: str) -> None:
    await expect(badge(page)).to_have_text(word)


async def test_a_build_is_followed_to_its_end_and_launched(host: Host, show: Show) -> None:
    gate = host.gate("follow")
    ref = host.template("say compiling", f"wait {gate}", name="follow")
    host.build(ref)
    page = await show(host, path_of(ref))
    await shows(page, "building")
    await expect(page.locator(".connection-told")).to_have_text(" Live")
    await expect(page).to_have_title("● follow 1.0.0 – Ingot")
    await expect(page.locator(".phase.running")).to_contain_text("install")
    await expect(page.get_by_role("timer")).to_have_text(re.compile(r"^(\d+ min )?\d+ s$"))
    gate.touch()
    await shows(page, "ready")
    await expect(page).to_have_title("✓ follow 1.0.0 – Ingot")
    assert (await page.locator("link[rel=icon]").get_attribute("href") or "").startswith("data:image/svg+xml,")
    await expect(page.locator(".ending")).to_contain_text("Golden snapshot ready")
    await expect(page.locator(".phase.done")).to_have_count(8)
    for time in (page.get_by_role("timer"), page.locator(".phase-time").first, page.locator(".log-took").first):
        await expect(time).to_have_text(re.compile(r"^(\d+ ms|\d+\.\d s|\d+ min \d+ s)$"))
    await page.get_by_role("button", name="Launch a computer").click()
    await expect(page).to_have_url(re.compile(r"/console/computers/[^/]+$"))
    await expect(page.get_by_role("heading", name="follow")).to_be_visible()


async def test_a_flood_is_cancelled_within_seconds_and_after_a_question(host: Host, show: Show) -> None:
    ref = host.template("flood", name="flood")
    host.build(ref)
    page = await show(host, path_of(ref))
    await expect(page.locator(".log-line").nth(20)).to_be_visible()
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("button", name="Let it build").click()
    await shows(page, "building")
    await page.get_by_role("button", name="Cancel", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel the build").click()
    await shows(page, "cancelled")
    await expect(page).to_have_title("⊘ flood 1.0.0 – Ingot")
    assert host.attempt(ref)["result"] == "cancelled"
    await page.get_by_role("button", name="Build again").click()
    await expect(page.locator(".build-head")).to_contain_text("attempt 2")
    await shows(page, "building")
    host.cancel(ref)
    await shows(page, "cancelled")


async def test_the_queue_tells_the_place_and_moves_up(host: Host, show: Show) -> None:
    gates = [host.gate(f"queue-{number}") for number in range(2)]
    for number, gate in enumerate(gates):
        host.build(host.template(f"wait {gate}", name=f"ahead-{number}"))
    host.build(host.template("say third", name="waits-1"))
    ref = host.template("say fourth", name="waits-2")
    host.build(ref)
    page = await show(host, path_of(ref))
    await shows(page, "waiting")
    await expect(page.locator(".ending")).to_contain_text("Second in the queue: 1 ahead of it.")
    await expect(page.locator(".ending")).to_contain_text("You can leave this page")
    await expect(page.locator(".ending").get_by_role("link")).to_have_count(2)
    host.cancel("default/waits-1@1.0.0")
    await expect(page.locator(".ending")).to_contain_text("First in the queue: next to be built.")
    gates[0].touch()
    await shows(page, "ready")
    gates[1].touch()


FAILURES: list[tuple[str, dict[str, Any], str, str]] = [
    ("step", {"run": ["lines 300\nsay no rule to make target\nexit 2"]}, "A step failed", "Edit the template"),
    ("memory", {"run": ["memory"]}, "The machine ran out of memory", "Raise hardware.ram_gb"),
    ("disk", {"run": ["disk"]}, "The machine's disk is full", "Raise hardware.disk_gb"),
    ("lost", {"run": ["lost"]}, "The build machine was lost", "Try again"),
    ("broken", {"run": ["broken"]}, "Ingot failed", "Try again"),
    ("late", {"run": ["wait /nowhere"], "build": {"timeout": "4s"}}, "It took too long", "Show where it stood"),
    (
        "fetch",
        {"run": [], "files": [{"to": "/x", "from": "http://nowhere.invalid/x"}]},
        "Something could not be fetched",
        "Try again",
    ),
    (
        "sick",
        {"run": [], "apps": [{"name": "sick", "health": {"type": "tcp", "port": 9999}}]},
        "A health check did not pass",
        "Show what it printed",
    ),
]


@pytest.mark.parametrize(("name", "more", "title", "action"), FAILURES, ids=[entry[0] for entry in FAILURES])
async def test_each_failure_says_what_it_means_and_what_to_do(
    host: Host, show: Show, name: str, more: dict[str, Any], title: str, action: str
) -> None:
    ref = host.template(*more["run"], name=f"fails-{name}", **{key: more[key] for key in more if key != "run"})
    host.build(ref)
    end = host.follow(ref)[-1]
    page = await show(host, path_of(ref))
    ending = page.locator(".ending")
    await expect(ending.locator("strong")).to_have_text(title)
    await expect(ending).to_contain_text(end.data["error"]["message"])
    actions = ending.locator(".notice-actions")
    await expect(actions.locator(".primary")).to_have_text(action)
    await ending.get_by_role("link", name=re.compile("^line ")).click()
    await expect(page.locator(".log-line.error")).to_be_in_viewport()
    if action == "Try again":
        await actions.locator(".primary").click()
        await expect(page.locator(".build-head")).to_contain_text("attempt 2")
    elif not action.startswith("Show"):
        await actions.locator(".primary").click()
        await expect(page).to_have_url(re.compile(rf"/templates/default/fails-{name}/1.0.0/edit$"))


async def test_a_build_that_was_cancelled_while_it_waited_says_so(host: Host, show: Show) -> None:
    gate = host.gate("holds")
    for number in range(2):
        host.build(host.template(f"say {number}\nwait {gate}", name=f"holds-{number}"))
    ref = host.template("say late", name="unbegun")
    host.build(ref)
    host.cancel(ref)
    page = await show(host, path_of(ref))
    await shows(page, "cancelled")
    await expect(page.locator(".phase.stopped")).to_contain_text("publish")
    gate.touch()


async def test_the_step_that_failed_is_shown_with_its_last_lines_and_its_place(host: Host, show: Show) -> None:
    ref = host.template("say fine", "lines 500\nsay no rule to make target\nexit 2", name="breaks")
    host.build(ref)
    host.follow(ref)
    page = await show(host, path_of(ref))
    await expect(page.locator(".ending")).to_contain_text("exit code 2")
    await expect(page.locator(".last-lines pre")).to_contain_text("no rule to make target")
    await expect(page.locator(".log-line", has_text="no rule to make target").first).to_be_in_viewport()
    link = page.locator(".ending").get_by_role("link", name=re.compile("^line "))
    number = (await link.inner_text()).removeprefix("line ")
    await expect(page.locator(f'.log-line[data-line="{number}"]')).to_have_text("no rule to make target")
    steps = page.locator(".steps tbody tr")
    await expect(steps).to_have_count(2)
    await expect(steps.nth(1)).to_contain_text("run: not built before")
    await steps.nth(0).get_by_role("button").click()
    await expect(page.locator(".log-line", has_text="step 1/2 run say fine: run")).to_be_in_viewport()
    await page.locator(".phase", has_text="compile").get_by_role("button").click()
    await expect(page.locator(".log-line", has_text="2 steps: 0 cached, 2 to run")).to_be_in_viewport()


async def test_a_machine_that_is_kept_tells_how_to_get_into_it(host: Host, show: Show) -> None:
    ref = host.template("say a\nexit 3", name="kept")
    page = await show(host, path_of(ref))
    await page.get_by_role("button", name="Build it now").click()
    await shows(page, "failed")
    await page.get_by_role("button", name="Build again and keep the machine").click()
    held = page.locator(".ending", has_text="Its machine is held for")
    await expect(held).to_contain_text(f"ingot debug {ref}")
    await held.get_by_role("button", name="End the machine").click()
    await expect(held).to_have_count(0)
    host.ask("GET", "/templates/default/kept/1.0.0/build/machine", 404)


async def test_a_rebuild_is_as_one_chooses(host: Host, show: Show) -> None:
    ref = host.template("say one", "say two", name="again")
    host.build(ref)
    host.follow(ref)
    page = await show(host, path_of(ref))
    await page.get_by_role("button", name="Rebuild").click()
    await page.get_by_label("Without cache").check()
    await page.get_by_label("Keep the machine if a step fails").check()
    await page.get_by_label("For how long").select_option("600")
    await page.get_by_role("button", name="Build", exact=True).click()
    await expect(page.get_by_label("Attempt", exact=True)).to_have_value("2")
    await shows(page, "ready")
    await expect(page.locator(".ending")).to_contain_text("both steps ran")
    assert host.attempt(ref, 2)["flags"] == {"force": False, "no_cache": True, "refresh": False, "keep_on_failure": 600}


async def test_a_rebuild_ends_the_build_under_way_after_it_said_so(host: Host, show: Show) -> None:
    ref = host.template(f"wait {host.gate('never')}", name="restarted")
    host.build(ref)
    page = await show(host, path_of(ref))
    await shows(page, "building")
    await page.get_by_role("button", name="Rebuild").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Attempt 1 is under way. It is cancelled")
    await page.get_by_role("button", name="Cancel it and build").click()
    await expect(page.get_by_label("Attempt", exact=True)).to_have_value("2")
    await shows(page, "building")
    host.events(ref, attempt="1")  # to its end: the next one may begin before
    assert host.attempt(ref, 1)["result"] == "cancelled"
    host.cancel(ref)


async def test_the_history_compares_and_opens_attempts(host: Host, show: Show) -> None:
    ref = host.template("say one", "say two", name="history")
    for _ in range(2):
        host.build(ref, force="true")
        host.follow(ref)
    host.template("say one", "exit 4", name="history")
    host.build(ref)
    host.follow(ref)
    page = await show(host, f"{path_of(ref)}?attempt=2")
    await expect(page.locator(".ending")).to_contain_text(
        re.compile("(faster|slower) than attempt 1|as long as attempt 1")
    )
    await expect(page.locator(".ending")).to_contain_text("both steps were cached")
    bars = page.locator(".bar")
    await expect(bars).to_have_count(3)
    await bars.nth(2).focus()
    await expect(page.locator(".bars-told")).to_contain_text("Attempt 3: failed in")
    await bars.nth(0).click()
    await expect(page).to_have_url(re.compile(r"\?attempt=1$"))
    await expect(page.locator(".build-notices")).to_contain_text("This is attempt 1. The latest is 3")
    await expect(page.locator(".side-part", has_text="Snapshot").locator("summary").first).to_be_visible()
    await page.get_by_label("Attempt", exact=True).select_option("3")
    await shows(page, "failed")
    await expect(page).to_have_url(re.compile(r"/1\.0\.0$"))


async def test_a_long_history_is_told_in_one_answer(host: Host, show: Show, context: BrowserContext) -> None:
    ref = host.template("say one", name="often")
    for _ in range(8):
        host.build(ref, force="true", no_cache="true")
        host.follow(ref)
    host.template("say one", "exit 4", name="often")
    host.build(ref)
    host.follow(ref)
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = await show(host, path_of(ref))
    await expect(page.locator(".bar")).to_have_count(9)
    for place in (0, 7, 8):
        await expect(page.locator(".bar").nth(place).locator(".bar-part").first).to_be_attached()
    await page.locator(".bar").first.focus()
    await expect(page.locator(".bars-told")).to_contain_text(re.compile(r"Attempt 1: ready in .* – \w+ \d+"))
    assert {url.rsplit("/", 1)[1] for url in asked if "/builds/" in url and "/api/" in url} == {"9"}
    assert host.attempt(ref, 1)["phases_ms"] == host.attempt(ref, 1)["manifest"]["timings_ms"]["phases"]
    assert host.attempt(ref, 9)["phases_ms"].keys() == {"install"}


async def test_a_build_that_somebody_else_begins_is_told_and_not_forced_on_the_reader(host: Host, show: Show) -> None:
    ref = host.template("say one", name="elsewhere")
    host.build(ref)
    host.follow(ref)
    page = await show(host, path_of(ref))
    await shows(page, "ready")
    gate = host.gate("elsewhere")
    host.template(f"wait {gate}", name="elsewhere")
    host.build(ref)
    notice = page.locator(".notice", has_text="Attempt 2 is under way")
    await expect(notice).to_be_visible()
    await shows(page, "ready")
    await notice.get_by_role("link").click()
    await shows(page, "building")
    gate.touch()
    await shows(page, "ready")


async def test_what_is_not_there_says_so(host: Host, show: Show) -> None:
    page = await show(host, "/console/builds/default/nothing/1.0.0")
    await expect(page.get_by_role("heading", name="There is no such template version")).to_be_visible()
    ref = host.template("say one", name="few")
    host.build(ref)
    host.follow(ref)
    await page.goto(f"{host.url}{path_of(ref)}?attempt=9")
    await expect(page.get_by_role("heading", name="There is no such attempt")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_is_accessible(host: Host, show: Show, scheme: Any) -> None:
    gate = host.gate(f"axe-{scheme}")
    runs = host.template("lines 50", f"wait {gate}", name=f"axe-runs-{scheme}")
    fails = host.template("say one", "exit 1", name=f"axe-fails-{scheme}")
    host.build(runs)
    host.build(fails)
    host.follow(fails)
    host.build(fails, keep_on_failure="600")
    host.follow(fails)
    page = await show(host, path_of(fails))
    await page.emulate_media(color_scheme=scheme)
    await expect(page.locator(".notice", has_text="Its machine is held")).to_be_visible()
    await expect(page.locator(".bar")).to_have_count(2)
    assert await axe_findings(page) == []
    await page.goto(f"{host.url}{path_of(runs)}")
    await shows(page, "building")
    await expect(page.locator(".log-line").first).to_be_visible()
    assert await axe_findings(page) == []
    await page.get_by_role("button", name="Rebuild").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    assert await axe_findings(page) == []
    gate.touch()


async def test_the_keyboard_does_it_all(host: Host, show: Show) -> None:
    ref = host.template(f"wait {host.gate('keys')}", name="keys")
    host.build(ref)
    page = await show(host, path_of(ref))
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    await cancel.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(cancel).to_be_focused()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="Cancel the build").focus()
    await page.keyboard.press("Enter")
    await shows(page, "cancelled")


async def test_the_machines_screen_is_shown_while_it_builds_and_larger_when_asked_for(host: Host, show: Show) -> None:
    gate = host.gate("screen")
    ref = host.template(f"wait {gate}", name="screen")
    host.build(ref)
    page = await show(host, path_of(ref))
    small = page.get_by_role("button", name="What the building machine's screen shows now")
    await expect(small.get_by_role("img")).to_have_js_property("naturalWidth", 320)
    before = await small.get_by_role("img").get_attribute("src")
    await expect(small.get_by_role("img")).not_to_have_attribute("src", before or "")
    await small.click()
    await expect(page.get_by_role("dialog").get_by_role("img")).to_be_visible()
    await page.keyboard.press("Escape")
    gate.touch()
    await shows(page, "ready")
    await expect(small).to_have_count(0)


async def test_on_a_narrow_screen_the_details_come_when_asked_for(host: Host, show: Show) -> None:
    ref = host.template("say one", "exit 1", name="narrow")
    host.build(ref)
    host.follow(ref)
    page = await show(host, path_of(ref))
    await expect(page.locator(".build-side")).to_be_visible()
    await page.set_viewport_size({"width": 360, "height": 740})
    await expect(page.locator(".build-side")).to_have_count(0)
    await page.reload()
    await expect(page.locator(".log-line.error")).to_be_in_viewport()
    await page.wait_for_function("() => document.documentElement.scrollWidth === 360")
    await expect(page.locator(".build-side")).to_have_count(0)
    details = page.get_by_role("button", name="Details")
    await details.click()
    await expect(page.locator(".steps tbody tr")).to_have_count(2)
    await details.click()
    await expect(page.locator(".build-side")).to_have_count(0)
