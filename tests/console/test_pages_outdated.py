"""A tab that was open while the server got another version of its pages, whose files have other names."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, Request, expect

from tests.console.axe import axe_findings
from tests.console.conftest import OpenPage
from tests.service.api_server import Server, path_of, running_server


@pytest.fixture
def pages(tmp_path: Path, console_pages: Path) -> Path:
    """A copy of the console's pages, to be changed while a server shows them; compressed ones would hide that."""
    return Path(shutil.copytree(console_pages, tmp_path / "pages", ignore=shutil.ignore_patterns("*.gz")))


@pytest.fixture
async def server(tmp_path: Path, pages: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path / "server", pages=pages) as server:
        yield server


def upgrade(pages: Path, *parts: str) -> None:
    """Gives the files that are called so, and the page's own script, other names, as another version has."""
    names = [path.name for part in ("index-", *parts) for path in (pages / "assets").glob(f"*{part}*.js")]
    for path in [*pages.glob("assets/*.js"), pages / "index.html"]:
        text = path.read_text()
        for name in names:
            text = text.replace(name, f"new-{name}")
        path.with_name("other").write_text(text)
        path.with_name("other").rename(path)
    for name in names:
        (pages / "assets" / name).rename(pages / "assets" / f"new-{name}")
    touch(pages)


def touch(pages: Path) -> None:
    """Has the server look at the files again."""
    shutil.copy(pages / "index.html", pages / "other")
    (pages / "other").rename(pages / "index.html")


def loads_of(page: Page) -> list[str]:
    """The page's own loads from now on."""
    loads: list[str] = []

    def note(request: Request) -> None:
        if request.is_navigation_request():
            loads.append(request.url)

    page.on("request", note)
    return loads


async def test_a_tab_of_the_version_before_loads_itself_anew(server: Server, pages: Path, open_page: OpenPage) -> None:
    page = await open_page("/console/")
    await expect(page.get_by_role("heading", name="Welcome to Ingot")).to_be_visible()
    for version, name in ((1, "Templates"), (2, "Secrets")):
        upgrade(pages, f"{name.lower()}-")
        loads = loads_of(page)
        await page.get_by_role("link", name=name).click()
        await expect(page.get_by_role("heading", name=name, exact=True)).to_be_visible()
        assert loads == [f"{server.url}/console/{name.lower()}"], version


async def test_a_part_that_is_not_there_is_told_and_the_rest_goes_on(
    server: Server, pages: Path, open_page: OpenPage
) -> None:
    page = await open_page("/console/")
    await expect(page.get_by_role("heading", name="Welcome to Ingot")).to_be_visible()
    part = next((pages / "assets").glob("templates-*.js"))
    kept = part.rename(pages / part.name)
    touch(pages)
    loads = loads_of(page)
    async with page.expect_event("load"):
        await page.get_by_role("link", name="Templates").click()
    told = page.get_by_role("alert").filter(has_text="This page cannot be shown")
    await expect(told).to_be_visible()
    await expect(told).to_contain_text("Failed to fetch")
    assert await axe_findings(page) == []
    await page.get_by_role("link", name="Secrets").click()
    await expect(page.get_by_role("heading", name="Secrets", exact=True)).to_be_visible()
    await page.get_by_role("link", name="Templates").click()
    await expect(told).to_be_visible()
    assert len(loads) == 1
    kept.rename(part)
    touch(pages)
    await told.get_by_role("button", name="Reload the page").click()
    await expect(page.get_by_role("heading", name="Templates", exact=True)).to_be_visible()


async def test_a_tab_stays_while_the_server_is_away(open_page: OpenPage) -> None:
    page = await open_page("/console/")
    await expect(page.get_by_role("heading", name="Welcome to Ingot")).to_be_visible()
    await page.route("**/console/**", lambda route: route.abort())
    loads = loads_of(page)
    await page.get_by_role("link", name="Templates").click()
    await expect(page.get_by_role("alert").filter(has_text="This page cannot be shown")).to_be_visible()
    assert loads == []


async def test_a_log_whose_worker_is_not_there_says_so(server: Server, pages: Path, open_page: OpenPage) -> None:
    ref = await server.ready_template("hello")
    for worker in (pages / "assets").glob("worker-*.js"):
        worker.unlink()
    touch(pages)
    page = await open_page(f"/console/builds/{path_of(ref).removeprefix('/api/templates/')}")
    await expect(page.get_by_role("alert").filter(has_text="that reads logs did not load")).to_be_visible()
    async with page.expect_event("load"):
        await page.get_by_role("button", name="Reload the page").click()
    await expect(page.get_by_role("button", name="Reload the page")).to_be_visible()
