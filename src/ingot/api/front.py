"""What every request passes first: a request id, the event stream's own way, and an answer to any failure.

It reads no body and checks no key.
"""

from __future__ import annotations

import logging

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingot.api.connection import PromptAnswer
from ingot.api.cors import CorsPolicy
from ingot.api.errors import new_request_id
from ingot.api.event_stream import EventStream
from ingot.api.stream_request import find_header
from ingot.errors import lacks_room

_log = logging.getLogger(__name__)


class Front:
    """The server's ASGI application: `stream` answers for the event stream, `api` for everything else."""

    def __init__(self, api: ASGIApp, stream: EventStream, cors: CorsPolicy) -> None:
        self._api = api
        self._stream = stream
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._api(scope, receive, send)
        elif _is_preflight(scope):
            await self._answer_preflight(scope, send)
        elif self._stream.matches(scope):
            await self._stream(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    def find_answer(self, request: bytes) -> PromptAnswer | None:
        """See `connection.Prompt`."""
        return self._stream.find_answer(request)

    async def _answer_preflight(self, scope: Scope, send: Send) -> None:
        headers = [*self._cors.preflight(_origin(scope)), (b"x-request-id", new_request_id().encode())]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", "nosniff")
                if "access-control-allow-origin" not in headers:
                    message["headers"] = [*message["headers"], *self._cors.headers_for(_origin(scope))]
            await send(message)

        try:
            await self._api(scope, receive, send_named)
        except Exception as error:
            # The answer has been sent by the application's own handler; what is left is to tell the operator.
            _log.error(
                "%s failed (request %s): %s",
                scope["path"],
                request_id,
                error,
                exc_info=None if lacks_room(error) else error,
                extra={"action": "request_failed", "request_id": request_id},
            )


def _is_preflight(scope: Scope) -> bool:
    return scope["method"] == "OPTIONS" and find_header(scope["headers"], b"access-control-request-method") is not None


def _origin(scope: Scope) -> str | None:
    return find_header(scope["headers"], b"origin")
