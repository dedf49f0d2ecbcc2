"""Templates: found, read, planned, built, launched, deleted."""

from __future__ import annotations

import json
import re

from playwright.async_api import BrowserContext, Page, expect

from tests.console.conftest import OpenPage
from tests.console.pages_fixtures import EXAMPLES, HOSTILE, copied, copy_document, publish
from tests.service.api_server import STEP_FAILED, Server, document, path_of

TRICKY = {
    "api_version": "orgo.ai/v1",
    "template": {"name": "tricky", "version": "1.0.0-rc.1+b", "description": f"no: {HOSTILE} # not a comment"},
    "secrets": [{"name": "token", "optional": True}],
    "vars": {
        "yes": "no",
        "empty": "",
        "a b": "1.0",
        "tilde": "~",
        "colon:": "x: y",
        "line": "two\u2028lines",
        "n": "\x85",
    },
    "env": {"TOKEN": {"secret": "token"}, "PORT": "8080", "MODE": "0644", "TRUE": "true", "FLOAT": "1e3"},
    "build": {
        "apt": ["nginx=1.22.1-9"],
        "run": [
            "echo one\necho two",
            "echo one\n",
            "  leading\nspace",
            "trailing\n\n",
            "tab\tand\n\ttab\n",
            "- dash",
            "# hash",
            "a\r\nb",
            "\U0001f600 ok\n\nblank line between\n",
            "cat <<'E'\n  indented\n\n   \nE",
            "'single'",
            "* star",
            "@at",
            "key: value",
            "ends with colon:",
            " spaces ",
        ],
    },
    "files": [{"to": "/etc/motd", "inline": ""}, {"to": "/etc/x", "inline": "| pipe\n"}],
}


async def test_templates_are_grouped_with_their_versions_and_the_last_build(
    server: Server, open_page: OpenPage
) -> None:
    await server.ready_template("web")
    await publish(server, document("web", "1.1.0", "echo other"))
    await publish(server, document("web", "1.2.0", "exit 3"))
    assert (await server.http.post("/api/templates/default/web/1.2.0/build")).status_code == 202
    await server.finish_next(STEP_FAILED)
    page = await open_page("/console/templates")
    card = page.get_by_role("listitem").filter(has_text="default/web").first
    versions = card.get_by_role("list").get_by_role("listitem")
    await expect(versions).to_have_count(3)
    await expect(versions.filter(has_text="1.0.0")).to_contain_text("ready")
    await expect(versions.filter(has_text="1.1.0")).to_contain_text("not built")
    await expect(versions.filter(has_text="1.2.0")).to_contain_text("failed")
    await expect(card).to_contain_text("just now")
    curated = page.get_by_role("listitem").filter(has_text="system/python")
    await expect(curated.first).to_contain_text("comes with Ingot")


async def test_the_filter_narrows_and_its_address_can_be_shared(server: Server, open_page: OpenPage) -> None:
    await publish(server, document("alpha"))
    await publish(server, document("beta"))
    page = await open_page("/console/templates?q=alp")
    await expect(page.get_by_role("link", name="default/alpha")).to_be_visible()
    await expect(page.get_by_role("link", name="default/beta")).to_have_count(0)
    await page.get_by_role("searchbox").fill("nothing like it")
    await expect(page.get_by_text("Nothing matches")).to_be_visible()
    await page.get_by_role("link", name="Show all").click()
    await expect(page.get_by_role("link", name="default/beta")).to_be_visible()


async def test_a_document_is_shown_as_yaml_that_reads_back_the_same(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    await publish(server, TRICKY)
    page = await open_page("/console/templates/default/tricky")
    await copy_document(page)
    text = await copied(page)
    answer = await server.http.post(
        "/api/templates/validate", content=text.encode(), headers={"Content-Type": "application/yaml"}
    )
    assert answer.status_code == 200, (answer.text, text)
    known = await server.http.get("/api/templates/default/tricky")
    assert answer.json()["template"] == known.json()["versions"][0]["template"], text
    assert "|\n" in text
    assert json.dumps(" spaces ") in text
    await expect(page.get_by_label("The template's document")).to_contain_text("api_version")


async def test_the_examples_read_back_the_same_too(
    server: Server, context: BrowserContext, open_page: OpenPage
) -> None:
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    for file in sorted(EXAMPLES.glob("*.yaml")):
        ref = await publish(server, file.read_bytes())
        known = (await server.http.get(path_of(ref))).json()
        page = await open_page(f"/console/templates/{ref.split('@')[0]}")
        await copy_document(page)
        answer = await server.http.post(
            "/api/templates/plan", content=(await copied(page)).encode(), headers={"Content-Type": "application/yaml"}
        )
        assert answer.json()["digest"] == known["digest"]
        await page.close()


async def test_a_version_is_built_with_the_wished_flags(server: Server, open_page: OpenPage) -> None:
    await publish(server, document("web"))
    page = await open_page("/console/templates/default/web")
    await expect(page.get_by_text("run echo hello")).to_be_visible()
    await page.get_by_role("button", name="Build", exact=True).click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Without cache").check()
    await dialog.get_by_label("Keep the machine if a step fails").check()
    await dialog.get_by_label("For how long").select_option("600")
    await dialog.get_by_role("button", name="Build").click()
    await page.wait_for_url("**/console/builds/default/web/1.0.0")
    [build] = (await server.http.get("/api/builds")).json()["builds"]
    detail = (await server.http.get("/api/templates/default/web/1.0.0/builds/1")).json()
    assert build["ref"] == "default/web@1.0.0"
    assert detail["flags"] == {"force": False, "no_cache": True, "refresh": False, "keep_on_failure": 600}


async def test_a_ready_version_is_launched(server: Server, open_page: OpenPage) -> None:
    await server.ready_template("web")
    page = await open_page("/console/templates/default/web")
    await page.get_by_role("button", name="Launch").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("desk one")
    await dialog.get_by_label("CPUs").fill("2")
    await dialog.get_by_role("button", name="Launch").click()
    await expect(page.get_by_role("heading", name="desk one")).to_be_visible()
    [(_, wish)] = server.computers.wishes
    assert (wish.name, wish.cpu, wish.ram_gb) == ("desk one", 2, None)


async def test_deleting_asks_and_tells_the_server_s_refusal(server: Server, open_page: OpenPage) -> None:
    await publish(server, document("web"))
    page = await open_page("/console/templates/default/web")
    await _ask_to_delete(page)
    assert (await server.http.post("/api/templates/default/web/1.0.0/build")).status_code == 202
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("button", name="Delete", exact=True).click()
    await expect(dialog.get_by_role("alert")).to_contain_text(re.compile("buil", re.I))
    await server.finish_next(STEP_FAILED)
    await dialog.get_by_role("button", name="Delete", exact=True).click()
    await expect(page).to_have_url(re.compile("/console/templates$"))
    assert (await server.http.get("/api/templates/default/web/1.0.0")).status_code == 404


async def test_a_template_that_is_not_there_says_so(open_page: OpenPage) -> None:
    page = await open_page("/console/templates/default/nobody")
    await expect(page.get_by_role("heading", name="There is no such template")).to_be_visible()


async def _ask_to_delete(page: Page) -> None:
    await page.get_by_role("button", name="More").click()
    await page.get_by_role("menuitem", name="Delete").click()
