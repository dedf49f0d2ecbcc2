"""A computer's screen: a picture of it, and VNC through a WebSocket, which carries RFB bytes and reads none of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import APIRouter, WebSocket
from starlette.responses import Response
from starlette.types import Message

from ingot.api.carrying import CHUNK, UNREADABLE, Close, FarEnd, carry
from ingot.api.computers import ComputerId
from ingot.api.describe import PICTURE, keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Services, Use
from ingot.records.account import Principal, Scope

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["computers"])


@router.get(
    "/computers/{computer_id}/screenshot", response_class=Response, **keyed(Scope.READ, None, 404, 409, extra=PICTURE)
)
async def take_screenshot(computer_id: ComputerId, caller: Caller, use: Use) -> Response:
    """What a computer's screen shows now, as a PNG; 409 `no_screen` for one without."""
    return Response(await use.computers.screenshot(caller.account, computer_id), media_type="image/png")


@router.websocket("/computers/{computer_id}/vnc")
async def view_screen(websocket: WebSocket, computer_id: str) -> None:
    @contextlib.asynccontextmanager
    async def opening(use: Services, caller: Principal) -> AsyncIterator[FarEnd]:
        async with use.computers.view(caller.account, computer_id) as (reader, writer):
            yield Screen(reader, writer)

    await carry(websocket, opening)


class Screen(FarEnd):
    name = "screen"

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self) -> bytes:
        return await self._reader.read(CHUNK)

    async def take(self, message: Message) -> Close | None:
        if message.get("bytes") is None:
            return UNREADABLE, "only binary messages are taken"
        self._writer.write(message["bytes"])
        await self._writer.drain()
        return None
