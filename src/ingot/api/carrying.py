"""Carries bytes between a WebSocket and something in a computer: its screen, a terminal.

Who comes is checked once, at the handshake, and a refusal is an ordinary answer. A page cannot see that one: it is let
in, and told in the closing. From then on it holds a few buffers at
most, reads none of what it carries, and ends with the far end, with the caller, with the caller's key or session, or
when one side takes nothing for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from fastapi import WebSocket
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect, WebSocketState

from ingot.api.errors import error_body, error_response, new_request_id
from ingot.api.keyed import authorise, check_origin, until_revoked
from ingot.api.services import Services, services_of
from ingot.errors import IngotError
from ingot.records.account import Principal, Scope

WEBSOCKETS: Mapping[str, Any] = {
    "ws": "websockets-sansio",
    "ws_max_size": 1 << 20,
    "ws_per_message_deflate": False,  # RFB compresses what is worth it
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 20.0,
}
"""uvicorn's settings for connections of this kind. One that does not answer a ping is closed."""

CHUNK = 64 * 1024
_STALLED = 60.0
_CLOSE = 5.0
_SUBPROTOCOL = "binary"
ENDED, UNREADABLE, REFUSED = 1000, 1003, 1008
_REFUSALS = 4000
_LONGEST_REASON = 123
_OF_OTHER_SITES = frozenset({"bad_origin", "bad_host"})

Close = tuple[int, str]
"""A WebSocket's closing code and its reason."""


class FarEnd(ABC):
    """What a WebSocket leads to. `name` is what it is, for reasons."""

    name: str

    @abstractmethod
    async def read(self) -> bytes:
        """The next bytes for the caller; empty at the end. OSError is an end as well."""

    @abstractmethod
    async def take(self, message: Message) -> Close | None:
        """Takes a message of the caller's, and returns when there is room for another; with what to close when it means
        nothing."""

    async def end(self) -> Close:
        """With what to close when there was nothing more to read."""
        return ENDED, f"the {self.name} is gone"


Opening = Callable[[Services, Principal], AbstractAsyncContextManager[FarEnd]]
"""Connects a caller, who may; raises what is answered instead."""


async def carry(websocket: WebSocket, opening: Opening) -> None:
    """A whole connection, from the handshake on. Callers have keyboard and mouse, so their keys need the scope of one
    that runs commands."""
    use = services_of(websocket)
    async with contextlib.AsyncExitStack() as connecting:
        try:
            check_origin(websocket, use, changes=True)
            caller = await authorise(websocket, use, Scope.LAUNCH)
            far = await connecting.enter_async_context(opening(use, caller))
        except IngotError as error:
            await _refuse(websocket, error)
            return
        await _accept(websocket)
        code, reason = await _until_one_ends(websocket, far, use, caller)
        await _close(websocket, code, reason)


async def _accept(websocket: WebSocket) -> None:
    offered = websocket.scope["subprotocols"]
    await websocket.accept(_SUBPROTOCOL if _SUBPROTOCOL in offered else None)


async def _refuse(websocket: WebSocket, error: IngotError) -> None:
    if "origin" not in websocket.headers or error.code in _OF_OTHER_SITES:
        await websocket.send_denial_response(error_response(error))
        return
    status, body, _ = error_body(error, new_request_id())
    reason = f"{body['code']}: {body['error']}".encode()[:_LONGEST_REASON].decode(errors="ignore")
    await _accept(websocket)
    await _close(websocket, _REFUSALS + status, reason)


async def _until_one_ends(websocket: WebSocket, far: FarEnd, use: Services, caller: Principal) -> Close:
    parts = [
        asyncio.create_task(_to_caller(websocket, far)),
        asyncio.create_task(_to_far_end(websocket, far)),
        asyncio.create_task(_until_revoked(use, caller)),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
    return next(iter(done)).result()


async def _to_caller(websocket: WebSocket, far: FarEnd) -> Close:
    try:
        while chunk := await far.read():
            async with asyncio.timeout(_STALLED):
                await websocket.send_bytes(chunk)
    except TimeoutError:
        return REFUSED, "the viewer takes nothing"
    except (OSError, WebSocketDisconnect):
        return ENDED, f"the {far.name} is gone"
    return await far.end()


async def _to_far_end(websocket: WebSocket, far: FarEnd) -> Close:
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            async with asyncio.timeout(_STALLED):
                if (close := await far.take(message)) is not None:
                    return close
    except TimeoutError:
        return REFUSED, f"the {far.name} takes nothing"
    except OSError:
        pass
    return ENDED, f"the {far.name} is gone"


async def _until_revoked(use: Services, caller: Principal) -> Close:
    await until_revoked(use, caller)
    return REFUSED, "the session is over" if caller.session else "the key was revoked"


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.client_state is WebSocketState.CONNECTED:
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(_CLOSE):
                await websocket.close(code, reason)
