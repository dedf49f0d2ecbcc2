"""What axe-core finds in a page that stands in somebody's way."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Page

from tests.clients import node

_NEXT_FRAME = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


async def axe_findings(page: Page) -> list[str]:
    """What is serious or critical in the page as it is. Nothing moves in it from here on: axe would take a text that
    fades in for one of too little contrast."""
    await page.emulate_media(reduced_motion="reduce")
    await page.evaluate(_NEXT_FRAME)
    program = await node.installed() / "node_modules/axe-core/axe.min.js"
    await page.evaluate(program.read_text())  # by the debugger: the page's own policy would not load it
    found: Any = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes']]}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]
