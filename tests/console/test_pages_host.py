"""The host's page: how it fares, what it lacks, and garbage that one looks at before it goes."""

from __future__ import annotations

from playwright.async_api import expect

from tests.console.conftest import OpenPage
from tests.service.api_server import Server, document, path_of


async def test_the_host_tells_how_it_fares_and_what_it_lacks(server: Server, open_page: OpenPage) -> None:
    published = await server.publish(document("web"))
    assert (await server.http.post(f"{path_of(published['ref'])}/build")).status_code == 202
    page = await open_page("/console/host")
    await expect(page.get_by_role("img", name="CPU over the last hour")).to_be_visible()
    await expect(page.get_by_text("of 2 slots")).to_be_visible()
    missing = page.get_by_role("listitem").filter(has_text="runc")
    await expect(missing).to_contain_text("apt-get install runc")
    await expect(page.get_by_role("table", name="Settings")).to_contain_text("data_dir")
    assert "hush" not in await page.content()


async def test_garbage_is_looked_at_before_it_goes(server: Server, open_page: OpenPage) -> None:
    page = await open_page("/console/host")
    await page.get_by_role("button", name="Look what could go").click()
    await expect(page.get_by_label("What goes")).to_contain_text("layer abc")
    await page.get_by_role("button", name="Remove it").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Remove", exact=True).click()
    await expect(page.get_by_text("Removed: 1")).to_be_visible()
    assert server.builds.collected == [True, False]
