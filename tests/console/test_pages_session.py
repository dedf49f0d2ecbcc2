"""Signing in and out, and a session that ends while one works."""

from __future__ import annotations

from typing import Any

from playwright.async_api import BrowserContext, Page, expect

from ingot.credentials import sign_in_url
from ingot.records.account import Scope
from tests.console.axe import axe_findings
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


async def test_a_link_signs_in_who_is_not_in_one_step_and_says_why_it_does_not(
    server: Server, context: BrowserContext
) -> None:
    link = await link_of(server)
    page = await context.new_page()
    await page.goto(link)
    await expect(page.get_by_role("navigation", name="Pages")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    assert "code" not in page.url
    await context.clear_cookies()
    again = await context.new_page()
    await again.goto(link)
    await expect(again.get_by_role("alert").filter(has_text="Invalid sign-in code")).to_be_visible()
    await again.get_by_label("API key").fill(server.api_key)
    await again.get_by_role("button", name="Sign in").click()
    await expect(again.get_by_role("navigation", name="Pages")).to_be_visible()


async def test_a_link_changes_no_session_before_its_owner_says_so(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    await open_page("/console/")
    link = await link_of(server, (await server.key(Scope.READ)))
    elsewhere = await context.new_page()
    await elsewhere.goto(f"data:text/html,<a href='{link.replace('#', '%23')}'>prizes</a>")
    await elsewhere.get_by_role("link").click()
    dialog = elsewhere.get_by_role("dialog", name="Sign in with this link instead?")
    await expect(dialog).to_contain_text("ends your session here")
    await expect(dialog.get_by_role("button", name="Cancel")).to_be_focused()
    assert await axe_findings(elsewhere) == []
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(dialog).to_have_count(0)
    assert "admin" in await scopes_of(elsewhere)
    wanted = await context.new_page()
    await wanted.goto(link)
    async with wanted.expect_event("load"):
        await wanted.get_by_role("button", name="Sign in with the link").click()
    await expect(wanted.get_by_role("navigation", name="Pages")).to_be_visible()
    await expect(wanted.get_by_role("link", name="Keys")).to_have_count(0)
    await expect(wanted.get_by_role("dialog")).to_have_count(0)
    assert await scopes_of(wanted) == ["read"]


async def test_a_used_link_leaves_the_session_as_it_is(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    link = await link_of(server)
    code = link.partition("code=")[2]
    used = await context.request.post(f"{server.url}/api/session", data={"code": code}, headers={"Origin": server.url})
    assert used.status == 201
    page = await open_page(link.removeprefix(server.url))
    await page.get_by_role("button", name="Sign in with the link").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("alert")).to_contain_text("Invalid sign-in code")
    await dialog.get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("heading", name="Welcome to Ingot")).to_be_visible()
    assert "admin" in await scopes_of(page)


async def test_a_server_that_does_not_answer_is_told_and_the_link_is_not_used(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    await open_page("/console/")
    link = await link_of(server, (await server.key(Scope.READ)))
    page = await context.new_page()
    await page.route(
        "**/api/session", lambda route: route.abort() if route.request.method == "GET" else route.continue_()
    )
    await page.goto(link)
    await expect(page.get_by_role("alert").filter(has_text="cannot be reached")).to_be_visible()
    await page.unroute_all()
    assert "admin" in await scopes_of(page)


async def test_a_session_that_ends_loses_nothing_of_the_page(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    page = await open_page("/console/templates/new")
    await expect(editor_of(page)).to_be_visible()
    await write(page, "api_version: orgo.ai/v1\nname: kept@1.0.")
    await expect(page.get_by_role("complementary").get_by_role("listitem").first).to_be_visible()
    await context.clear_cookies()
    await page.keyboard.insert_text("0\n")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("Your session has ended")
    await dialog.get_by_label("API key").fill(server.api_key)
    await dialog.get_by_role("button", name="Sign in").click()
    await expect(dialog).to_have_count(0)
    await expect(editor_of(page)).to_contain_text("kept@1.0.0")
    await expect(page.get_by_text("valid", exact=True)).to_be_visible()


async def link_of(server: Server, headers: dict[str, str] | None = None) -> str:
    """What `ingot console` prints for the server's first key, or for the one in `headers`."""
    made = await server.http.post("/api/session/codes", headers=headers)
    return sign_in_url(server.url, made.json()["code"])


async def scopes_of(page: Page) -> Any:
    """What the browser's session may do."""
    return await page.evaluate("fetch('/api/session').then((answer) => answer.json()).then((told) => told.scopes)")
