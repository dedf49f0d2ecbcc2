"""Endpoints that take a key, or a browser's session in its place: origin, caller and scope are checked before a byte
of the body is read.

Every endpoint but the public ones is a `KeyedRoute`, which refuses to exist without a scope, so that none can be
forgotten. The body is bounded while it is read, whatever its Content-Length says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Depends
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from ingot.api.host_names import check_host
from ingot.api.services import Services, is_live, services_of
from ingot.api.session_cookie import SAFE_METHODS, Page, asking_page, session_token
from ingot.api.stream_request import bearer_token
from ingot.errors import ForbiddenError, TooLargeError
from ingot.records.account import Principal, Scope
from ingot.template import MAX_BODY_BYTES
from ingot.troubles import Troubles

SCOPE_KEY = "x-required-scope"
SECURITY_SCHEME = "apiKey"
ANY_SCOPE = "any"
"""In place of a scope: whatever the key may do, it is enough."""

_LIVE_CHECK = 5.0
_SMALL_BODY = 4096
_log = logging.getLogger(__name__)

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class KeyedRoute(APIRoute):
    """A route whose `openapi_extra` names the scope that its callers' keys need."""

    def get_route_handler(self) -> Handler:
        named = (self.openapi_extra or {})[SCOPE_KEY]
        scope = None if named == ANY_SCOPE else Scope(named)
        handle = super().get_route_handler()

        async def authorise_and_handle(request: Request) -> Response:
            services = services_of(request)
            check_origin(request, services, changes=request.method not in SAFE_METHODS)
            request.state.caller = await authorise(request, services, scope)
            body = await read_body(request)
            return await handle(Request(request.scope, _replay(body)))

        return authorise_and_handle


class OpenRoute(APIRoute):
    """A route that takes no key; its body is small."""

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def bound_and_handle(request: Request) -> Response:
            check_origin(request, services_of(request), changes=request.method not in SAFE_METHODS)
            body = await read_body(request, _SMALL_BODY)
            return await handle(Request(request.scope, _replay(body)))

        return bound_and_handle


async def authorise(request: HTTPConnection, services: Services, scope: Scope | None) -> Principal:
    """Who calls: the key of the header, or else the session of the cookie, which only the server's own pages may use.
    Raises UnauthenticatedError, and ForbiddenError for a key without the scope and for a foreign page."""
    headers, session = request.headers.raw, None
    token = bearer_token(headers)
    if token is None:
        changes = request.scope["type"] != "http" or request.scope["method"] not in SAFE_METHODS
        session = session_token(headers, request.scope["scheme"], changes=changes)
    if session is not None:
        caller = await services.sessions.authenticate(session)
    else:
        caller = await services.access.authenticate(token)
    if scope is not None:
        demand(caller, scope)
    return caller


async def until_revoked(services: Services, caller: Principal) -> None:
    """Returns when the caller's key was revoked or its session is over: for connections that outlive a request."""
    troubles = Troubles(_log)
    while True:
        await asyncio.sleep(_LIVE_CHECK)
        with troubles.outlived("asking whether a caller's key is still good"):
            if not await is_live(services.access, services.sessions, caller.key_id, caller.session):
                return


def demand(caller: Principal, scope: Scope) -> None:
    if not caller.may(scope):
        raise ForbiddenError(
            f"this API key lacks the scope {scope.value!r}",
            hint=f"use a key that has it: `ingot keys create --scope {scope.value}`",
        )


async def read_body(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """The whole body; TooLargeError as soon as it passes the limit."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def check_origin(request: HTTPConnection, services: Services, *, changes: bool) -> None:
    """Refuses what a foreign web page makes a browser send: a name that is not ours (DNS rebinding), or what
    `changes` something, asked for by another site."""
    check_host(request.headers.get("host"), services.hosts)
    origin = request.headers.get("origin")
    is_foreign = origin is not None and asking_page(request.headers.raw, request.scope["scheme"]) is Page.FOREIGN
    if origin is not None and changes and is_foreign and not services.cors.allows(origin):
        raise ForbiddenError(
            f"a page of {origin[:100]!r} may not change anything here", hint="call the API directly", code="bad_origin"
        )


def _too_large(limit: int) -> TooLargeError:
    if limit < MAX_BODY_BYTES:
        return TooLargeError(f"the body is larger than {limit >> 10} KiB", hint="see docs/http-api.md for what it is")
    return TooLargeError(f"the body is larger than {limit >> 20} MiB", hint="fetch large files with `from:` a URL")


def _replay(body: bytes) -> Receive:
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if not messages:
            raise ClientDisconnect
        return messages.pop()

    return receive


_bearer = HTTPBearer(auto_error=False, scheme_name=SECURITY_SCHEME, description="`Authorization: Bearer sk_live_…`")


def _caller_of(request: Request, _: Annotated[Any, Depends(_bearer)]) -> Principal:
    caller = request.state.caller
    assert isinstance(caller, Principal)
    return caller


Caller = Annotated[Principal, Depends(_caller_of)]
"""An endpoint's parameter of this type is who calls it."""
