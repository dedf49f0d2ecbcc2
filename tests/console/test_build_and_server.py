"""The page of a build beside a server that ends, comes back, lets a wait expire or has forgotten a log."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import BrowserContext, expect

from ingot.events.log_file import EXPIRED_FILE, FRAMES_FILE, INDEX_FILE
from tests.console.build_fixtures import Host, Show, path_of, running_host, shown

_PRESS = "(all) => all.forEach((button) => button.click())"


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, console_pages: Path) -> Iterator[Host]:
    """One build at once, and a short wait for it. Each test leaves it running, with nothing to build."""
    with running_host(tmp_path_factory.mktemp("host"), builds="1", queue_timeout="12") as host:
        yield host


@pytest.fixture
async def show(context: BrowserContext) -> AsyncIterator[Show]:
    async with shown(context) as show:
        yield show


def remove_frames(log: Path) -> None:
    """As the log keeper does when a log's time is over."""
    (log / EXPIRED_FILE).touch()
    for name in (FRAMES_FILE, INDEX_FILE):
        (log / name).unlink()


async def test_a_server_that_dies_and_comes_back_is_told_as_it_is_and_nothing_is_lost(host: Host, show: Show) -> None:
    gate = host.gate("restart")
    ref = host.template("say before", f"say in the middle\nwait {gate}", name="survivor")
    host.build(ref)
    page = await show(host, path_of(ref))
    await expect(page.locator(".log-line", has_text="in the middle").last).to_be_visible()
    host.kill()
    connection = page.locator(".connection-told")
    await expect(connection).to_contain_text("Reconnecting")
    await expect(page.get_by_role("button", name="Try now")).to_be_visible()
    host.start()
    await page.get_by_role("button", name="Try now").evaluate_all(_PRESS)  # where it did not come back by itself
    await expect(connection).to_have_text(" Live, nothing lost")
    await expect(page.locator(".build-badge")).to_have_text("building")
    gate.touch()
    await expect(page.locator(".build-badge")).to_have_text("ready")
    await expect(connection).to_have_text(" Complete")
    assert host.status(ref)["status"] == "ready"


async def test_a_build_that_ended_while_nobody_could_ask_is_shown_as_it_ended(host: Host, show: Show) -> None:
    ref = host.template(f"wait {host.gate('never')}", name="stopped")
    host.build(ref)
    page = await show(host, path_of(ref))
    await expect(page.locator(".build-badge")).to_have_text("building")
    await page.context.set_offline(True)
    host.cancel(ref)
    host.follow(ref)
    await page.context.set_offline(False)
    await expect(page.locator(".build-badge")).to_have_text("cancelled")
    await expect(page.locator(".connection-told")).to_have_text(" Complete")


async def test_a_wait_that_expired_can_be_queued_again(host: Host, show: Show) -> None:
    gate = host.gate("expires")
    ref = host.template("say late", name="expired")
    page = await show(host, path_of(ref))
    host.build(host.template(f"wait {gate}", name="holds"))
    await page.get_by_role("button", name="Build it now").click()
    await expect(page.locator(".build-badge")).to_have_text("waiting")
    await expect(page.locator(".ending strong")).to_have_text("No builder was free in time")
    await expect(page.get_by_role("button", name="See what is under way")).to_be_visible()
    gate.touch()
    host.follow("default/holds@1.0.0")
    await page.get_by_role("button", name="Queue it again").click()
    await expect(page.get_by_label("Attempt", exact=True)).to_have_value("2")
    await expect(page.locator(".build-badge")).to_have_text("ready")


async def test_a_log_that_is_not_kept_any_more_leaves_what_else_is_known(host: Host, show: Show) -> None:
    ref = host.template("say old", "say older", name="forgotten")
    host.build(ref)
    host.follow(ref)
    host.end_quietly()
    for log in (host.data / "logs").iterdir():
        remove_frames(log)
    host.start()
    page = await show(host, path_of(ref))
    await expect(page.get_by_role("heading", name="This log is not kept any more")).to_be_visible()
    await expect(page.locator(".build-badge")).to_have_text("ready")
    await expect(page.locator(".phase.done")).to_have_count(8)
    await expect(page.locator(".steps tbody tr")).to_have_count(2)
    await page.get_by_role("button", name="Rebuild").click()
    await page.get_by_role("button", name="Build", exact=True).click()
    await expect(page.get_by_label("Attempt", exact=True)).to_have_value("2")
    await expect(page.locator(".log")).to_be_visible()
    await expect(page.locator(".ending")).to_contain_text(re.compile("cached|as long as|faster|slower"))
