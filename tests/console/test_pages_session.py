"""Signing in and out, and a session that ends while one works."""

from __future__ import annotations

from playwright.async_api import BrowserContext, expect

from tests.console.conftest import OpenPage
from tests.console.pages_fixtures import editor_of, write
from tests.service.api_server import Server


async def test_a_key_signs_in_and_a_wrong_one_is_told(server: Server, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto(f"{server.url}/console/secrets")
    await page.get_by_label("API key").fill("sk_live_wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_contain_text("key")
    await page.get_by_label("API key").fill(server.api_key)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("heading", name="Secrets", exact=True)).to_be_visible()
    assert server.api_key not in str(await context.storage_state())
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key")).to_be_visible()
    assert (await context.request.get(f"{server.url}/api/session")).status == 401


async def test_a_session_that_ends_loses_nothing_of_the_page(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    page = await open_page("/console/templates/new")
    await expect(editor_of(page)).to_be_visible()
    await context.clear_cookies()
    await write(page, "api_version: orgo.ai/v1\nname: kept@1.0.0\n")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Your session has ended")
    await dialog.get_by_label("API key").fill(server.api_key)
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog).to_have_count(0)
    await expect(editor_of(page)).to_contain_text("kept@1.0.0")
    await expect(page.get_by_text("valid", exact=True)).to_be_visible()
