"""Screens and terminals that break off, are full, are refused, or come back: what the page says and does."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import Locator, Page, expect

from ingot.errors import CapacityError, ConflictError
from ingot.machine.contract import Viewer
from ingot.machine.scripted_terminal import ScriptedTerminal
from ingot.records.computer import ComputerStatus
from tests.console.bare_machine import PASSWORD, BareMachine, bare_machine
from tests.console.conftest import OpenPage
from tests.console.pages_fixtures import launch
from tests.service.api_server import Server

_FILLS = """() => document.fullscreenElement?.classList.contains("screen")
  && document.fullscreenElement.getBoundingClientRect().width === innerWidth"""
needs_qemu = pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="needs QEMU")


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[BareMachine]:
    async with bare_machine(tmp_path) as made:
        yield made


@pytest.fixture
async def computer(server: Server) -> str:
    """A computer that runs; its id."""
    return await launch(server, await server.ready_template("web"), name="desk")


def show(server: Server, computer: str, machine: BareMachine, password: str = PASSWORD) -> None:
    """Gives the computer the machine's screen."""
    known = server.computers.all
    known[computer] = replace(known[computer], vnc_password=password)
    server.computers.screens[computer] = machine.connect


async def connected(page: Page) -> None:
    await expect(page.get_by_text("Connected.")).to_be_visible()


def again(page: Page) -> Locator:
    return page.get_by_role("button", name="Connect again")


async def press_until_it_boots(page: Page, machine: BareMachine) -> None:
    """Presses Ctrl+Alt+Del: the screen is there before the firmware has a keyboard."""
    async with asyncio.timeout(60):
        while machine.process.returncode is None:
            with contextlib.suppress(PlaywrightError):  # the button is off once the screen broke off
                await page.get_by_role("button", name="Ctrl+Alt+Del").click(timeout=1000)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(machine.process.wait(), 0.5)


@needs_qemu
async def test_a_screen_comes_back_after_a_break(
    server: Server, open_page: OpenPage, computer: str, machine: BareMachine
) -> None:
    async def busy() -> Viewer:
        raise ConflictError("the screen takes no viewer", code="screen_busy")

    show(server, computer, machine)
    page = await open_page(f"/console/computers/{computer}")
    await connected(page)
    server.computers.screens[computer] = busy
    machine.cut()
    await expect(page.get_by_text("The screen takes no viewer. Trying again …")).to_be_visible()
    server.computers.screens[computer] = machine.connect
    await connected(page)
    assert len(machine.viewers) == 2
    await expect(page.locator(".screen canvas")).to_have_count(1)
    await expect(again(page)).to_have_count(0)


@needs_qemu
async def test_a_screen_comes_back_when_its_computer_was_restarted(
    server: Server, open_page: OpenPage, computer: str, machine: BareMachine
) -> None:
    show(server, computer, machine)
    page = await open_page(f"/console/computers/{computer}")
    await connected(page)
    known = server.computers.all
    running, known[computer] = known[computer], replace(known[computer], status=ComputerStatus.RESTARTING)
    machine.cut()
    await expect(page.get_by_text("It is restarting …")).to_be_visible()
    known[computer] = running
    await connected(page)


@needs_qemu
async def test_one_viewer_too_many_is_told_so_at_once(
    server: Server, open_page: OpenPage, computer: str, machine: BareMachine
) -> None:
    asked = 0

    async def full() -> Viewer:
        nonlocal asked
        asked += 1
        raise CapacityError("the computer's screen has 8 viewers already", retry_after=30)

    show(server, computer, machine)
    server.computers.screens[computer] = full
    page = await open_page(f"/console/computers/{computer}")
    await expect(page.get_by_text("The computer's screen has 8 viewers already; try again in 30 s.")).to_be_visible()
    await page.wait_for_timeout(1000)
    assert asked == 1
    server.computers.screens[computer] = machine.connect
    await again(page).click()
    await connected(page)


@needs_qemu
async def test_a_wrong_password_is_told_so_at_once(
    server: Server, open_page: OpenPage, computer: str, machine: BareMachine
) -> None:
    show(server, computer, machine, "wrong")
    page = await open_page(f"/console/computers/{computer}")
    await expect(page.get_by_text("The screen did not take this computer's password.")).to_be_visible()
    await page.wait_for_timeout(1000)
    assert len(machine.viewers) == 1


@needs_qemu
async def test_a_screen_fills_the_display_and_takes_ctrl_alt_del(
    server: Server, open_page: OpenPage, computer: str, machine: BareMachine
) -> None:
    show(server, computer, machine)
    page = await open_page(f"/console/computers/{computer}")
    await connected(page)
    await page.get_by_role("button", name="Full screen").click()
    await page.wait_for_function(_FILLS)
    await page.evaluate("document.exitFullscreen()")
    await press_until_it_boots(page, machine)
    await expect(page.get_by_text("Trying again …")).to_be_visible()
    await expect(page.get_by_role("button", name="Ctrl+Alt+Del")).to_be_disabled()


async def test_a_terminal_too_many_is_told_so(server: Server, open_page: OpenPage, computer: str) -> None:
    taken: list[ScriptedTerminal] = [None] * 8  # type: ignore[list-item]
    server.computers.terminals += taken
    page = await open_page(f"/console/computers/{computer}?tab=terminal")
    await expect(page.get_by_text("The computer has 8 terminals open already; try again in 30 s.")).to_be_visible()
    server.computers.terminals.clear()
    await page.get_by_role("button", name="Open a new one").click()
    await expect(page.get_by_text("Connected as root")).to_be_visible()


async def test_a_terminal_of_a_computer_that_just_stopped_is_told_so(
    server: Server, open_page: OpenPage, computer: str
) -> None:
    page = await open_page(f"/console/computers/{computer}?tab=terminal")
    await expect(page.get_by_text("Connected as root")).to_be_visible()
    async with page.expect_response(lambda answer: answer.url.endswith(f"/api/computers/{computer}")):
        pass  # none is under way now, and the page asks again in four seconds
    await page.route(f"**/api/computers/{computer}", lambda route: route.abort())  # the page does not know yet
    known = server.computers.all
    known[computer] = replace(known[computer], status=ComputerStatus.STOPPED)
    await page.get_by_role("button", name="Start over").click()
    await expect(page.get_by_text("The computer is stopped.")).to_be_visible()
