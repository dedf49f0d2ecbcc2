"""What tests of the console's ordinary pages share: accessibility findings, and what a user would read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.service.api_server import Server

_ROOT = Path(__file__).parents[2]
EXAMPLES = _ROOT / "examples"
HOSTILE = "<img src=x onerror=alert(1)>\u202e' \"; DROP"
_HAS_COPIED = "() => document.querySelector('[aria-label=\"Copied the document\"]')?.checkVisibility() ?? false"


async def publish(server: Server, text: str | bytes | dict[str, Any], **query: str) -> str:
    """Publishes a document, YAML or not; its ref."""
    kind = "application/json" if isinstance(text, dict) else "application/yaml"
    content = json.dumps(text) if isinstance(text, dict) else text
    answer = await server.http.post("/api/templates", content=content, params=query, headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text
    ref: str = answer.json()["ref"]
    return ref


async def launch(server: Server, ref: str, **wish: Any) -> str:
    """A computer; its id."""
    answer = await server.http.post("/api/computers", json={"template_ref": ref, **wish})
    assert answer.status_code == 201, answer.text
    identity: str = answer.json()["id"]
    return identity


def editor_of(page: Page) -> Locator:
    return page.get_by_role("textbox", name="Template document, YAML")


async def copy_document(page: Page) -> None:
    """Presses the button that copies it, which says for two seconds that it has."""
    said = page.wait_for_function(_HAS_COPIED)
    await asyncio.gather(said, page.get_by_role("button", name="Copy the document").click())


async def copied(page: Page) -> str:
    """What the page put on the clipboard."""
    text: str = await page.evaluate("navigator.clipboard.readText()")
    return text


async def write(page: Page, text: str) -> None:
    """Puts `text` in place of what is in the editor, as a paste does."""
    editor = editor_of(page)
    await editor.click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(text)
    await expect(editor).to_be_focused()
