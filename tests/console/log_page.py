"""What a reader of a log does and sees, in the words of the tests."""

from __future__ import annotations

import re
from dataclasses import dataclass

from playwright.async_api import Locator, Page, expect


@dataclass
class LogPage:
    """A page with a log."""

    page: Page

    def line(self, number: int) -> Locator:
        """By its number, from 1."""
        return self.page.locator(f'.log-line[data-line="{number}"]')

    def text(self, text: str) -> Locator:
        return self.page.locator(".log-line", has_text=text)

    def header(self, title: str) -> Locator:
        return self.page.locator(".log-rows .log-header", has_text=title)

    @property
    def frame(self) -> Locator:
        return self.page.locator(".log-frame")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    async def sees(self, text: str) -> None:
        """A line with the text is really in view, not only drawn beside it."""
        await expect(self.text(text).first).to_be_in_viewport()

    async def sees_line(self, number: int) -> None:
        await expect(self.line(number)).to_be_in_viewport()

    async def misses(self, text: str) -> None:
        await expect(self.text(text)).to_have_count(0)

    async def find(self, text: str) -> None:
        await self.page.get_by_label("Search the log").fill(text)

    async def counts(self, text: str) -> None:
        await expect(self.page.locator(".log-count")).to_have_text(text)

    async def wheel(self, by: int) -> None:
        await self.frame.hover()
        await self.page.mouse.wheel(0, by)

    async def is_open(self, title: str, is_open: bool = True) -> None:
        fold = self.header(title).locator(".log-fold")
        await expect(fold).to_have_attribute("aria-expanded", str(is_open).lower())

    async def follows(self, does: bool = True) -> None:
        await expect(self.button("Follow")).to_have_attribute("aria-pressed", str(does).lower())

    async def is_connection(self, state: str) -> None:
        await expect(self.page.locator("section.log")).to_have_attribute("data-stream", state)

    async def address_ends_with(self, end: str) -> None:
        await expect(self.page).to_have_url(re.compile(re.escape(end) + "$"))

    async def more(self, name: str) -> None:
        await self.page.locator(".log-more summary").click()
        await self.page.locator(".log-menu").get_by_text(name).click()

    async def clipboard(self) -> str:
        await self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        return str(await self.page.evaluate("() => navigator.clipboard.readText()"))
