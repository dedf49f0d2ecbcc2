"""Computers: listed, launched, changed, cloned, deleted, with every state told as it is."""

from __future__ import annotations

from dataclasses import replace

from playwright.async_api import Route, expect

from ingot.records.computer import ComputerStatus
from tests.console.conftest import OpenPage
from tests.console.pages_fixtures import HOSTILE, launch
from tests.service.api_server import Server


async def test_a_computer_is_launched_from_the_list_and_changed(server: Server, open_page: OpenPage) -> None:
    await server.ready_template("web")
    page = await open_page("/console/computers")
    await expect(page.get_by_text("No computers")).to_be_visible()
    await page.get_by_role("button", name="Launch a computer").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Template").select_option("default/web@1.0.0")
    await dialog.get_by_label("Name", exact=True).fill(HOSTILE)
    await dialog.get_by_label("Stop by itself").select_option("60")
    await dialog.get_by_role("button", name="Launch").click()
    await expect(page.get_by_role("heading", level=1)).to_contain_text("<img src=x")
    await page.get_by_role("button", name="Stop").click()
    await expect(page.get_by_text("stopped")).to_be_visible()
    await expect(page.get_by_text("It is off")).to_be_visible()
    await page.get_by_role("button", name="Start", exact=True).click()
    await expect(page.get_by_text("running")).to_be_visible()
    await page.get_by_role("button", name="Clone").click()
    await dialog.get_by_label("Name of the clone").fill("second")
    await dialog.get_by_role("button", name="Clone").click()
    await expect(page.get_by_role("heading", name="second")).to_be_visible()
    await page.get_by_role("button", name="Delete").click()
    await dialog.get_by_role("button", name="Delete", exact=True).click()
    await page.wait_for_url("**/console/computers")
    await expect(page.get_by_role("row").filter(has_text="<img src=x")).to_be_visible()
    assert len(server.computers.all) == 1
    assert [wish.auto_stop_minutes for _, wish in server.computers.wishes] == [60]


async def test_states_on_the_way_and_errors_are_told_and_followed(server: Server, open_page: OpenPage) -> None:
    identity = await launch(server, await server.ready_template("web"), name="desk")
    known = server.computers.all
    known[identity] = replace(known[identity], status=ComputerStatus.STARTING)
    page = await open_page(f"/console/computers/{identity}?tab=logs")
    await expect(page.get_by_text("It is starting …")).to_be_visible()
    await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
    known[identity] = replace(known[identity], status=ComputerStatus.ERROR, error="the hook on_resume ended with 3")
    await expect(page.get_by_text("the hook on_resume ended with 3")).to_be_visible()
    await expect(page.get_by_role("button", name="Start", exact=True)).to_be_visible()
    del known[identity]
    await expect(page.get_by_text("The computer was deleted")).to_be_visible()


async def test_a_change_that_the_server_refuses_is_told(server: Server, open_page: OpenPage) -> None:
    identity = await launch(server, await server.ready_template("web"), name="desk")
    page = await open_page("/console/computers")
    known = server.computers.all

    async def start_before(stop: Route) -> None:
        known[identity] = replace(known[identity], status=ComputerStatus.STARTING)
        await stop.continue_()

    await page.route(f"**/api/computers/{identity}/stop", start_before)  # the page does not know yet
    await page.get_by_role("button", name="Actions for desk").click()
    await page.get_by_role("menuitem", name="Stop").click()
    await expect(page.get_by_text("the computer is starting")).to_be_visible()


async def test_a_menu_is_walked_by_keyboard(server: Server, open_page: OpenPage) -> None:
    await launch(server, await server.ready_template("web"), name="desk")
    page = await open_page("/console/computers")
    button = page.get_by_role("button", name="Actions for desk")
    await button.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("menuitem", name="Start", exact=True)).to_be_focused()
    await page.keyboard.press("End")
    await expect(page.get_by_role("menuitem", name="Delete")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(button).to_be_focused()


async def test_a_container_has_no_screen_and_offers_its_terminal(server: Server, open_page: OpenPage) -> None:
    identity = await launch(server, await server.ready_template("web"), name="desk")
    page = await open_page(f"/console/computers/{identity}?tab=screen")
    await expect(page.get_by_text("This computer has no screen")).to_be_visible()
    await page.get_by_role("button", name="Open the terminal").click()
    await expect(page.get_by_role("tab", name="Terminal")).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("textbox", name="Terminal input")).to_be_focused()


async def test_tabs_are_walked_by_keyboard_and_a_terminal_on_the_way_takes_no_keys(
    server: Server, open_page: OpenPage
) -> None:
    identity = await launch(server, await server.ready_template("web"), name="desk")
    page = await open_page(f"/console/computers/{identity}?tab=screen")
    await page.get_by_role("tab", name="Screen").press("ArrowRight")
    await expect(page.get_by_text("Connected as root")).to_be_visible()
    await expect(page.get_by_role("tab", name="Terminal")).to_be_focused()
    await page.keyboard.press("ArrowRight")
    await expect(page.get_by_role("tab", name="Logs")).to_be_focused()


async def test_details_name_everything(server: Server, open_page: OpenPage) -> None:
    identity = await launch(server, await server.ready_template("web"), name="desk")
    page = await open_page(f"/console/computers/{identity}?tab=details")
    details = page.get_by_role("tabpanel")
    await expect(details).to_contain_text(identity)
    await expect(details).to_contain_text("default/web@1.0.0")
    await expect(details).to_contain_text("8000/tcp")


async def test_a_test_run_is_marked_and_cannot_be_stopped(server: Server, open_page: OpenPage) -> None:
    ref = await server.ready_template("web")
    run = (await server.http.post("/api/templates/run", json={"ref": ref})).json()
    page = await open_page("/console/computers")
    await expect(page.get_by_role("row").filter(has_text="test run")).to_have_count(1)
    await page.goto(f"{server.url}/console/computers/{run['id']}?tab=details")
    await expect(page.get_by_text("A clone of it lasts.")).to_be_visible()
    await expect(page.get_by_role("button", name="Delete")).to_be_visible()
    await expect(page.get_by_role("button", name="Stop")).to_have_count(0)
