"""Every ordinary page, in light and dark: nothing serious for axe, nothing wider than a small screen."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.async_api import Page, expect

from tests.console.axe import axe_findings
from tests.console.conftest import OpenPage
from tests.console.pages_fixtures import EXAMPLES, HOSTILE, editor_of, launch, publish
from tests.service.api_server import Server

Scheme = Literal["light", "dark"]
PAGES = {
    "templates": "default/static-site",
    "templates/default/static-site": "Document",
    "templates/new": "Problems",
    "computers": "desk",
    "secrets": "api_token",
    "keys": "Begins with",
    "host": "Findings",
    "nothing/here": "There is no such page",
}


async def fill(server: Server) -> str:
    await publish(server, (EXAMPLES / "static-site.yaml").read_bytes())
    await server.http.put("/api/secrets/api_token", json={"value": "long enough to be one"})
    return await launch(server, await server.ready_template("web"), name="desk " + HOSTILE)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_serious(server: Server, open_page: OpenPage, scheme: Scheme) -> None:
    identity = await fill(server)
    page = await open_page("/console/templates")
    await page.emulate_media(color_scheme=scheme)
    found: dict[str, list[str]] = {}
    for path in [*PAGES, f"computers/{identity}?tab=details", f"computers/{identity}?tab=screen"]:
        await page.goto(f"{server.url}/console/{path}")
        await settled(page)
        found[path] = await axe_findings(page)
    await page.goto(f"{server.url}/console/keys")
    await page.get_by_role("button", name="Create a key").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    found["dialog"] = await axe_findings(page)
    await page.context.clear_cookies()
    await page.goto(f"{server.url}/console/")
    await expect(page.get_by_label("API key")).to_be_visible()
    found["sign-in"] = await axe_findings(page)
    assert {path: told for path, told in found.items() if told} == {}


async def test_the_editor_with_problems_is_accessible_too(server: Server, open_page: OpenPage) -> None:
    page = await open_page("/console/templates/new")
    await editor_of(page).click()
    await page.keyboard.insert_text("x")
    await expect(page.locator(".cm-lintRange-error").first).to_be_attached()
    assert await axe_findings(page) == []


@pytest.mark.parametrize("width", [360, 2560])
async def test_nothing_is_wider_than_the_screen(server: Server, open_page: OpenPage, width: int) -> None:
    identity = await fill(server)
    page = await open_page("/console/templates")
    await page.set_viewport_size({"width": width, "height": 740})
    wide: list[str] = []
    for path in [*PAGES, f"computers/{identity}?tab=details"]:
        await page.goto(f"{server.url}/console/{path}")
        await settled(page)
        if await page.evaluate(
            "document.querySelector('main').scrollWidth > document.querySelector('main').clientWidth"
        ):
            wide.append(path)
    assert wide == []


async def settled(page: Page) -> None:
    """Until the page shows what it is about."""
    await expect(page.get_by_role("main")).to_be_visible()
    await page.wait_for_load_state("networkidle")
    await expect(page.locator(".loading")).to_have_count(0)
