"""A terminal in a computer, through a WebSocket: binary messages are what is typed and what is shown, a text message
says how large the window is.

What is typed waits here for a program that is not reading, up to a bound, so that the connection itself goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping

from fastapi import APIRouter, WebSocket
from starlette.types import Message

from ingot.api.carrying import ENDED, UNREADABLE, Close, FarEnd, carry
from ingot.api.keyed import KeyedRoute
from ingot.api.services import Services, Terminal
from ingot.errors import RequestError
from ingot.records.account import Principal

_DEFAULT_SIZE = {"cols": 80, "rows": 24}
_LARGEST_SIZE = 1000
_MOST_TYPED = 1 << 20
_NOT_READ = 'a text message is {"resize": {"cols": n, "rows": n}}'

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["computers"])


@router.websocket("/computers/{computer_id}/terminal")
async def open_terminal(websocket: WebSocket, computer_id: str) -> None:
    @contextlib.asynccontextmanager
    async def opening(use: Services, caller: Principal) -> AsyncIterator[FarEnd]:
        cols, rows = wanted_size(websocket.query_params)
        async with use.computers.terminal(caller.account, computer_id, cols, rows) as terminal:
            shell = Shell(terminal)
            typing = asyncio.create_task(shell.type_on())
            try:
                yield shell
            finally:
                typing.cancel()
                await asyncio.gather(typing, return_exceptions=True)

    await carry(websocket, opening)


def wanted_size(query: Mapping[str, str]) -> tuple[int, int]:
    """Columns and rows. Raises RequestError."""
    found = {name: query.get(name, str(default)) for name, default in _DEFAULT_SIZE.items()}
    for name, text in found.items():
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and _fits(int(text))):
            raise RequestError(f"{name}={text[:20]!a} is no size", hint=f"give a number from 1 to {_LARGEST_SIZE}")
    return int(found["cols"]), int(found["rows"])


class Shell(FarEnd):
    """`type_on` is to run as long as it is used."""

    name = "terminal"

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._typed = bytearray()
        self._changed = asyncio.Condition()

    async def read(self) -> bytes:
        return await self._terminal.read()

    async def take(self, message: Message) -> Close | None:
        if (typed := message.get("bytes")) is None:
            return await self._resize(message["text"])
        async with self._changed:
            self._typed += typed
            self._changed.notify_all()
            await self._changed.wait_for(lambda: len(self._typed) <= _MOST_TYPED)
        return None

    async def end(self) -> Close:
        return ENDED, f"exited {await self._terminal.wait()}"

    async def type_on(self) -> None:
        """Types what was taken, at the terminal's own pace."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: self._typed)
                typed = bytes(self._typed)
                self._typed.clear()
                self._changed.notify_all()
            await self._terminal.write(typed)

    async def _resize(self, text: str) -> Close | None:
        try:
            size = json.loads(text)["resize"]
            cols, rows = size["cols"], size["rows"]
        except (ValueError, KeyError, TypeError):
            return UNREADABLE, _NOT_READ
        if not (type(cols) is int and type(rows) is int and _fits(cols) and _fits(rows)):
            return UNREADABLE, _NOT_READ
        await self._terminal.resize(cols, rows)
        return None


def _fits(size: int) -> bool:
    return 1 <= size <= _LARGEST_SIZE
