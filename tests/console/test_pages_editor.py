"""The editor: what the server says while one types, help from the schema, drafts, publishing."""

from __future__ import annotations

from playwright.async_api import Dialog, Locator, Page, expect

from tests.console.conftest import OpenPage
from tests.console.pages_fixtures import editor_of, publish, write
from tests.service.api_server import Server, document

GOOD = "api_version: orgo.ai/v1\ntemplate:\n  name: desk\n  version: 1.0.0\nbuild:\n  run:\n    - echo hello\n"


async def open_editor(open_page: OpenPage, path: str = "/console/templates/new") -> Page:
    page = await open_page(path)
    await expect(editor_of(page)).to_be_visible()
    return page


async def open_helped_editor(open_page: OpenPage) -> Page:
    """With the schema, from which completions and explanations come."""
    page = await open_editor(open_page)
    await expect(page.locator(".code[data-helps=true]")).to_be_visible()
    return page


def completions(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Completions").get_by_role("option")


async def test_problems_come_while_one_types_and_lead_to_their_place(open_page: OpenPage) -> None:
    page = await open_editor(open_page)
    await write(page, GOOD.replace("run:", "runn:").replace("1.0.0", "one"))
    problems = page.get_by_role("complementary").get_by_role("listitem")
    await expect(page.get_by_text("2 problems")).to_be_visible()
    await expect(problems.filter(has_text="build.runn")).to_contain_text("line 6")
    await expect(page.locator(".cm-lintRange-error")).to_have_count(2)
    await problems.filter(has_text="build.runn").get_by_role("button").click()
    await expect(editor_of(page)).to_be_focused()
    await expect(page.locator(".cm-activeLine")).to_contain_text("runn:")
    await page.keyboard.press("F8")
    await expect(page.locator(".cm-activeLine")).to_contain_text("version: one")
    await expect(page.get_by_role("button", name="Publish", exact=True)).to_be_disabled()
    await write(page, GOOD)
    await expect(page.get_by_text("valid", exact=True)).to_be_visible()
    await expect(page.get_by_role("heading", name="default/desk@1.0.0")).to_be_visible()
    await expect(page.get_by_role("complementary")).to_contain_text("run echo hello")
    await expect(page.get_by_role("complementary")).to_contain_text("never built")


async def test_what_is_no_yaml_is_marked_where_it_breaks(open_page: OpenPage) -> None:
    page = await open_editor(open_page)
    await write(page, "api_version: orgo.ai/v1\ntemplate: {name: desk\n")
    await expect(page.get_by_role("complementary").get_by_role("listitem")).to_contain_text("line")
    await expect(page.get_by_text("1 problem", exact=True)).to_be_visible()


async def test_keys_and_values_are_completed_from_the_schema(open_page: OpenPage) -> None:
    page = await open_helped_editor(open_page)
    await write(page, "api_version: orgo.ai/v1\nhardware:\n  cpu: 2\n  ")
    await page.keyboard.type("res")
    option = completions(page)
    await expect(option.first).to_contain_text("resolution")
    await page.wait_for_timeout(150)  # Enter chooses nothing from a list that has only just come
    await page.keyboard.press("Enter")
    await page.keyboard.type("800x600x24\n")
    await page.keyboard.press("Control+Space")
    await expect(option.filter(has_text="ram_gb")).to_be_visible()
    await expect(option.filter(has_text="cpu")).to_have_count(0)
    await page.keyboard.press("Escape")
    await page.keyboard.type("gpu: ")
    await page.keyboard.press("Control+Space")
    await expect(option.filter(has_text="l40s")).to_be_visible()


async def test_completion_knows_lists_and_does_not_meddle_with_texts(open_page: OpenPage) -> None:
    page = await open_helped_editor(open_page)
    await write(page, "apps:\n  - name: web\n    services:\n      - name: nginx\n        ")
    await page.keyboard.type("st")
    await expect(completions(page).first).to_contain_text("stop_signal")
    await page.keyboard.press("Escape")
    await write(page, "files:\n  - to: /x\n    inline: |\n      ")
    await page.keyboard.type("mo")
    await page.keyboard.press("Control+Space")
    await expect(completions(page)).to_have_count(0)


async def test_pointing_at_a_key_explains_it(open_page: OpenPage) -> None:
    page = await open_helped_editor(open_page)
    await write(page, "api_version: orgo.ai/v1\nhardware:\n  disk_gb: 20\n")
    await page.locator(".cm-line", has_text="disk_gb").get_by_text("disk_gb").hover()
    told = page.locator(".cm-explanation")
    await expect(told).to_contain_text("whole number")
    await expect(told).to_contain_text("From 1 to 65536")
    await expect(told).to_contain_text("Default: 8")


async def test_publish_and_build_leads_to_the_build(server: Server, open_page: OpenPage) -> None:
    page = await open_editor(open_page)
    await write(page, GOOD)
    await page.get_by_role("button", name="Publish and build").click()
    await page.wait_for_url("**/console/builds/default/desk/1.0.0")
    [build] = (await server.http.get("/api/builds")).json()["builds"]
    assert build["ref"] == "default/desk@1.0.0"


async def test_an_edited_version_is_the_next_one(server: Server, open_page: OpenPage) -> None:
    await publish(server, document("web"))
    await publish(server, document("web", "1.0.1"))
    page = await open_editor(open_page, "/console/templates/default/web/1.0.0/edit")
    await expect(page.get_by_role("heading", name="default/web@1.0.2")).to_be_visible()
    await page.get_by_role("button", name="Publish", exact=True).click()
    await page.wait_for_url("**/console/templates/default/web?version=1.0.2")
    listed = (await server.http.get("/api/templates/default/web")).json()["versions"]
    assert len(listed) == 3


async def test_a_version_that_is_taken_is_offered_a_next_one_or_replaced(server: Server, open_page: OpenPage) -> None:
    await publish(server, document("desk", run="echo old"))
    page = await open_editor(open_page)
    await write(page, GOOD)
    await page.get_by_role("button", name="Publish", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("is there already")
    await dialog.get_by_role("button", name="Make it 1.0.1").click()
    await expect(page.get_by_role("heading", name="default/desk@1.0.1")).to_be_visible()
    await write(page, GOOD)
    await page.get_by_role("button", name="Publish", exact=True).click()
    await dialog.get_by_role("button", name="Replace 1.0.0").click()
    await page.wait_for_url("**/console/templates/default/desk?version=1.0.0")
    shown = (await server.http.get("/api/templates/default/desk/1.0.0")).json()
    assert shown["template"]["build"]["run"] == ["echo hello"]


async def test_a_draft_outlives_a_reload_and_leaving_asks(open_page: OpenPage) -> None:
    page = await open_editor(open_page)
    await write(page, GOOD)
    await expect(page.get_by_text("valid", exact=True)).to_be_visible()
    asked: list[str] = []

    async def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        await (dialog.accept() if dialog.type == "beforeunload" else dialog.dismiss())

    page.on("dialog", answer)
    await page.get_by_role("navigation").get_by_role("link", name="Secrets").click()
    await expect(editor_of(page)).to_contain_text("desk")
    await page.reload()
    await expect(page.get_by_text("This is your draft")).to_be_visible()
    await expect(editor_of(page)).to_contain_text("name: desk")
    assert asked == ["confirm", "beforeunload"]
    await page.get_by_role("button", name="Discard it").click()
    await expect(editor_of(page)).to_contain_text("my-machine")


async def test_one_starts_from_an_example(open_page: OpenPage) -> None:
    page = await open_editor(open_page)
    await page.get_by_label("Start from").select_option(label="A static site behind nginx")
    await expect(editor_of(page)).to_contain_text("nginx-light")
    await expect(page.get_by_role("heading", name="default/static-site@1.0.0")).to_be_visible()
    await expect(page.get_by_text("valid", exact=True)).to_be_visible()


async def test_tab_indents_and_escape_then_tab_leaves(open_page: OpenPage) -> None:
    page = await open_editor(open_page)
    await write(page, "x")
    await page.keyboard.press("Escape")
    await page.keyboard.press("Home")
    await page.keyboard.press("Tab")
    await expect(page.locator(".cm-line").first).to_have_text("  x")
    for _ in range(5):  # the editor takes the two for one only within two seconds
        await page.keyboard.press("Escape")
        await page.keyboard.press("Tab")
        if not await editor_of(page).evaluate("(editor) => editor === document.activeElement"):
            break
    await expect(editor_of(page)).not_to_be_focused()
