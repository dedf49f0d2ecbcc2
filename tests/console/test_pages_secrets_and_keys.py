"""Secrets and keys: what is shown once, what never, and what is asked before."""

from __future__ import annotations

from playwright.async_api import expect

from ingot.records.account import Scope
from tests.console.conftest import OpenPage
from tests.service.api_server import Server


async def test_a_secret_is_set_replaced_and_deleted_and_never_shown(server: Server, open_page: OpenPage) -> None:
    page = await open_page("/console/secrets")
    await expect(page.get_by_text("No secrets yet")).to_be_visible()
    await page.get_by_role("button", name="Add a secret").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("api_token")
    await dialog.get_by_label("Value").fill("hunter2-and-more")
    await dialog.get_by_role("button", name="Save").click()
    await expect(page.get_by_role("row").filter(has_text="api_token")).to_contain_text("just now")
    await expect(dialog).to_have_count(0)
    assert "hunter2" not in await page.content()
    await page.get_by_role("button", name="Replace api_token").click()
    await dialog.get_by_label("Value").fill("a")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_contain_text("with a warning")
    await dialog.get_by_role("button", name="Keep it").click()
    await page.get_by_role("button", name="Delete api_token").click()
    await dialog.get_by_role("button", name="Delete", exact=True).click()
    await expect(page.get_by_text("No secrets yet")).to_be_visible()
    assert (await server.http.get("/api/secrets")).json() == {"secrets": []}


async def test_a_name_that_the_server_refuses_is_told_in_its_words(open_page: OpenPage) -> None:
    page = await open_page("/console/secrets")
    await page.get_by_role("button", name="Add a secret").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("No Good")
    await dialog.get_by_label("Value").fill("x")
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog.get_by_role("alert")).not_to_be_empty()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(server: Server, open_page: OpenPage) -> None:
    page = await open_page("/console/keys")
    await expect(page.get_by_role("row").filter(has_text="this session's")).to_have_count(1)
    await page.get_by_role("button", name="Create a key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("ci")
    await dialog.get_by_role("checkbox", name="build start").check()
    await dialog.get_by_role("button", name="Create").click()
    made = await dialog.get_by_label("The new key").input_value()
    assert made.startswith("sk_live_")
    await page.keyboard.press("Escape")
    await expect(dialog).to_be_visible()
    await dialog.get_by_role("button", name="I have kept it").click()
    await expect(dialog).to_have_count(0)
    assert made not in await page.content()
    headers = {"Authorization": f"Bearer {made}"}
    assert (await server.http.get("/api/templates", headers=headers)).status_code == 200
    row = page.get_by_role("row").filter(has_text="ci").filter(has_text="read, build")
    await row.get_by_role("button", name="Revoke").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("row").filter(has_text="revoked")).to_have_count(1)
    assert (await server.http.get("/api/templates", headers=headers)).status_code == 401


async def test_revoking_the_session_s_own_key_warns_and_then_asks_to_sign_in(
    server: Server, open_page: OpenPage
) -> None:
    key = (await server.key(Scope.ADMIN))["Authorization"].removeprefix("Bearer ")
    page = await open_page("/console/keys", key=key)
    own = page.get_by_role("row").filter(has_text="this session's")
    await own.get_by_role("button", name="Revoke").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("you will be signed out")
    await dialog.get_by_role("button", name="Revoke").click()
    await expect(page.get_by_role("heading", name="Your session has ended")).to_be_visible()


async def test_a_key_without_the_scope_sees_no_keys(server: Server, open_page: OpenPage) -> None:
    key = (await server.key(Scope.READ))["Authorization"].removeprefix("Bearer ")
    page = await open_page("/console/keys", key=key)
    await expect(page.get_by_text("This key may not see that")).to_be_visible()
    nav = page.get_by_role("navigation", name="Pages")
    await expect(nav.get_by_role("link", name="Templates")).to_be_visible()
    await expect(nav.get_by_role("link", name="Keys")).to_have_count(0)
