"""A browser's window with tabs as a person has them: one is in front, the others are really hidden, and may freeze.

Playwright keeps every page that it drives visible, so these tabs are driven by Chromium's own protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from playwright.async_api import Browser, CDPSession

_ANSWER_DEADLINE = 60.0
_POLL = 0.05
_SIGN_IN = "fetch('/api/session', {method: 'POST', headers: {'Content-Type': 'application/json'}, body: '%s'})"


@dataclass
class Tab:
    """`problems` are exceptions that its page did not catch."""

    browser: CDPSession
    target: str
    session: str
    problems: list[str] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _asked: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def front(self) -> None:
        await self.browser.send("Target.activateTarget", {"targetId": self.target})

    async def freeze(self) -> None:
        """Stops a hidden tab's page and its workers, as browsers do with what nobody looked at for long."""
        await self.send("Page.setWebLifecycleState", state="frozen")

    async def evaluate(self, expression: str) -> Any:
        answer = await self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str, wanted: Any = True) -> None:
        """Waits until the expression is as wanted."""
        deadline = time.monotonic() + _ANSWER_DEADLINE
        while (seen := await self._look(expression)) != wanted:
            assert time.monotonic() < deadline, f"{expression} is {seen!r}, not {wanted!r}"
            await asyncio.sleep(_POLL)

    async def _look(self, expression: str) -> Any:
        """None while one page makes way for the next."""
        try:
            return await self.evaluate(expression)
        except LookupError:
            return None

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._asked[number] = asyncio.get_running_loop().create_future()
        message = json.dumps({"id": number, "method": method, "params": parameters})
        await self.browser.send("Target.sendMessageToTarget", {"sessionId": self.session, "message": message})
        return await asyncio.wait_for(answer, _ANSWER_DEADLINE)

    def take(self, message: dict[str, Any]) -> None:
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(message["params"]))
        if (asked := self._asked.pop(message.get("id", 0), None)) is None or asked.done():
            return
        if "error" in message:
            asked.set_exception(LookupError(message["error"]))
        else:
            asked.set_result(message["result"])


class Window:
    """Its tabs are signed in, each a page of the server at `url`."""

    def __init__(self, browser: CDPSession, context: str, url: str) -> None:
        self.url = url
        self._browser = browser
        self._context = context
        self._tabs: dict[str, Tab] = {}
        browser.on("Target.receivedMessageFromTarget", self._take)

    async def open(self, path: str, *, behind: bool = False) -> Tab:
        """A new tab in front, or behind the one that is there."""
        where = {"browserContextId": self._context, "newWindow": not self._tabs, "background": behind}
        made = await self._browser.send("Target.createTarget", {"url": f"{self.url}{path}", **where})
        attached = await self._browser.send("Target.attachToTarget", {"targetId": made["targetId"], "flatten": False})
        tab = self._tabs[attached["sessionId"]] = Tab(self._browser, made["targetId"], attached["sessionId"])
        await tab.send("Runtime.enable")
        await tab.until("location.href !== 'about:blank' && document.readyState", "complete")
        return tab

    async def sign_in(self, key: str) -> None:
        tab = await self.open("/console/")
        await tab.evaluate(_SIGN_IN % json.dumps({"key": key}))

    async def close(self) -> None:
        await self._browser.send("Target.disposeBrowserContext", {"browserContextId": self._context})
        assert [tab.problems for tab in self._tabs.values() if tab.problems] == []

    def _take(self, event: dict[str, Any]) -> None:
        if (tab := self._tabs.get(event["sessionId"])) is not None:
            tab.take(json.loads(event["message"]))


@contextlib.asynccontextmanager
async def opened_window(browser: Browser, url: str, key: str) -> AsyncIterator[Window]:
    session = await browser.new_browser_cdp_session()
    made = await session.send("Target.createBrowserContext")
    window = Window(session, made["browserContextId"], url)
    try:
        await window.sign_in(key)
        yield window
    finally:
        try:
            await window.close()
        finally:
            await session.detach()
