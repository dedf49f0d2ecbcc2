"""A computer's screen: a picture of it, and VNC through a WebSocket.

The WebSocket carries RFB bytes between a viewer and the machine and reads none of them. It holds a few buffers at most,
and ends with the machine, the viewer, the viewer's key or session, or when one end takes nothing for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, WebSocket
from starlette.responses import Response
from starlette.websockets import WebSocketDisconnect, WebSocketState

from ingot.api.computers import ComputerId
from ingot.api.describe import keyed
from ingot.api.errors import error_response
from ingot.api.keyed import Caller, KeyedRoute, authorise, check_origin, until_revoked
from ingot.api.services import Services, Use, services_of
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

_CHUNK = 64 * 1024
_STALLED = 60.0
_CLOSE = 5.0
_SUBPROTOCOL = "binary"
_ENDED, _UNREADABLE, _REFUSED = 1000, 1003, 1008

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["computers"])


_PICTURE = {"responses": {"200": {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}}


@router.get(
    "/computers/{computer_id}/screenshot", response_class=Response, **keyed(Scope.READ, None, 404, 409, extra=_PICTURE)
)
async def take_screenshot(computer_id: ComputerId, caller: Caller, use: Use) -> Response:
    """What a computer's screen shows now, as a PNG; 409 `no_screen` for one without."""
    return Response(await use.computers.screenshot(caller.account, computer_id), media_type="image/png")


@router.websocket("/computers/{computer_id}/vnc")
async def view_screen(websocket: WebSocket, computer_id: str) -> None:
    """A refusal is an ordinary answer, as everywhere in the API. A viewer has keyboard and mouse, so its key needs the
    scope of one that runs commands."""
    use = services_of(websocket)
    async with contextlib.AsyncExitStack() as viewing:
        try:
            check_origin(websocket, use, changes=True)
            caller = await authorise(websocket, use, Scope.LAUNCH)
            reader, writer = await viewing.enter_async_context(use.computers.view(caller.account, computer_id))
        except IngotError as error:
            await websocket.send_denial_response(error_response(error))
            return
        offered = websocket.scope["subprotocols"]
        await websocket.accept(_SUBPROTOCOL if _SUBPROTOCOL in offered else None)
        code, reason = await _carry(websocket, reader, writer, use, caller)
        await _close(websocket, code, reason)


async def _carry(
    websocket: WebSocket,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    use: Services,
    caller: Principal,
) -> tuple[int, str]:
    """Until one side ends; with what to close."""
    parts = [
        asyncio.create_task(_to_viewer(websocket, reader)),
        asyncio.create_task(_to_screen(websocket, writer)),
        asyncio.create_task(_until_revoked(use, caller)),
    ]
    try:
        done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for part in parts:
            part.cancel()
        await asyncio.gather(*parts, return_exceptions=True)
    return next(iter(done)).result()


async def _to_viewer(websocket: WebSocket, reader: asyncio.StreamReader) -> tuple[int, str]:
    try:
        while chunk := await reader.read(_CHUNK):
            async with asyncio.timeout(_STALLED):
                await websocket.send_bytes(chunk)
    except TimeoutError:
        return _REFUSED, "the viewer takes nothing"
    except (OSError, WebSocketDisconnect):
        pass
    return _ENDED, "the screen is gone"


async def _to_screen(websocket: WebSocket, writer: asyncio.StreamWriter) -> tuple[int, str]:
    try:
        while (message := await websocket.receive())["type"] == "websocket.receive":
            if message.get("bytes") is None:
                return _UNREADABLE, "only binary messages are taken"
            writer.write(message["bytes"])
            async with asyncio.timeout(_STALLED):
                await writer.drain()
    except TimeoutError:
        return _REFUSED, "the screen takes nothing"
    except OSError:
        pass
    return _ENDED, "the screen is gone"


async def _until_revoked(use: Services, caller: Principal) -> tuple[int, str]:
    await until_revoked(use, caller)
    return _REFUSED, "the session is over" if caller.session else "the key was revoked"


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    if websocket.client_state is WebSocketState.CONNECTED:
        with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
            async with asyncio.timeout(_CLOSE):
                await websocket.close(code, reason)
