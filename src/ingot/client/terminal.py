"""The client's end of a terminal in a computer: bytes both ways through a WebSocket, and how it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from ingot.client.http import CONNECT_TIMEOUT, error_from, is_loopback
from ingot.errors import StreamLostError, UnreachableError

_OPEN_TIMEOUT = 60.0
_EXITED = "exited "
_REASONS = {1012: "the server ends", 1008: "the server ended it"}


class TerminalClient:
    """One task at a time reads."""

    def __init__(self, websocket: ClientConnection) -> None:
        self._websocket = websocket

    async def read(self) -> bytes:
        """What it shows next; empty at its end."""
        try:
            message = await self._websocket.recv(decode=False)
        except ConnectionClosed:
            return b""
        return message

    async def write(self, typed: bytes) -> None:
        """Types bytes; what comes after its end goes nowhere."""
        with contextlib.suppress(ConnectionClosed):
            await self._websocket.send(typed)

    async def resize(self, cols: int, rows: int) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._websocket.send(json.dumps({"resize": {"cols": cols, "rows": rows}}), text=True)

    def exit_code(self) -> int:
        """The shell's, when `read` had nothing more. Raises StreamLostError when something else ended it."""
        code, reason = self._websocket.close_code, self._websocket.close_reason or ""
        if code == 1000 and reason.startswith(_EXITED) and reason.removeprefix(_EXITED).isdigit():
            return int(reason.removeprefix(_EXITED))
        why = reason or _REASONS.get(code or 0, "the connection broke")
        raise StreamLostError(f"the terminal was closed: {why}", hint="`ingot ps` tells how the computer is")


@contextlib.asynccontextmanager
async def open_terminal(url: str, key: str | None, path: str, cols: int, rows: int) -> AsyncIterator[TerminalClient]:
    """Connects to `path` below the API of the server at `url`. Raises what the server's error envelope means, and
    UnreachableError."""
    address = f"{url.replace('http', 'ws', 1)}/api/{path}?cols={cols}&rows={rows}"
    host = url.partition("://")[2].partition("/")[0].rpartition(":")[0].strip("[]")
    connecting = connect(
        address,
        additional_headers={"Authorization": f"Bearer {key}"} if key else None,
        compression=None,
        max_size=None,
        open_timeout=_OPEN_TIMEOUT,
        close_timeout=CONNECT_TIMEOUT,
        proxy=None if is_loopback(host) else True,
    )
    try:
        websocket = await connecting
    except InvalidStatus as error:
        response = error.response
        raise error_from(response.status_code, response.headers, bytes(response.body or b""), url) from error
    except (OSError, InvalidHandshake, TimeoutError) as error:
        raise UnreachableError(
            f"no terminal is to be had at {url} ({error})", hint="start a server with `ingot up`, or set INGOT_URL"
        ) from error
    try:
        yield TerminalClient(websocket)
    finally:
        await asyncio.shield(websocket.close())
