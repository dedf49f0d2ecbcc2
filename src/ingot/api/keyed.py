"""Endpoints that take a key: origin, key and scope are checked before a byte of the body is read.

Every endpoint but the public ones is a `KeyedRoute`, which refuses to exist without a scope, so that none can be
forgotten. The body is bounded while it is read, whatever its Content-Length says.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Coroutine
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from ingot.api.services import Services, services_of
from ingot.api.stream_request import bearer_token
from ingot.errors import ForbiddenError, TooLargeError
from ingot.records.account import Principal, Scope
from ingot.template import MAX_BODY_BYTES

SCOPE_KEY = "x-required-scope"
SECURITY_SCHEME = "apiKey"

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class KeyedRoute(APIRoute):
    """A route whose `openapi_extra` names the scope that its callers' keys need."""

    def get_route_handler(self) -> Handler:
        scope = Scope((self.openapi_extra or {})[SCOPE_KEY])
        handle = super().get_route_handler()

        async def authorise_and_handle(request: Request) -> Response:
            services = services_of(request)
            check_origin(request, services, changes=request.method not in _SAFE_METHODS)
            request.state.caller = await authorise(request, services, scope)
            body = await read_body(request)
            return await handle(Request(request.scope, _replay(body)))

        return authorise_and_handle


async def authorise(request: HTTPConnection, services: Services, scope: Scope) -> Principal:
    """Who calls. Raises UnauthenticatedError, and ForbiddenError for a key without the scope."""
    caller = await services.access.authenticate(bearer_token(request.headers.raw))
    demand(caller, scope)
    return caller


def demand(caller: Principal, scope: Scope) -> None:
    if not caller.may(scope):
        raise ForbiddenError(
            f"this API key lacks the scope {scope.value!r}",
            hint=f"use a key that has it: `ingot keys create --scope {scope.value}`",
        )


async def read_body(request: Request) -> bytes:
    """The whole body; TooLargeError as soon as it passes the limit."""
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > MAX_BODY_BYTES:
        raise _too_large()
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return b"".join(chunks)


def check_origin(request: HTTPConnection, services: Services, *, changes: bool) -> None:
    """Refuses what a foreign web page makes a browser send: a name that is not ours (DNS rebinding), or what
    `changes` something, asked for by another site."""
    host, hosts = request.headers.get("host", ""), services.hosts
    name = _split(f"//{host}")[1]
    if hosts is not None and name not in hosts and not _is_loopback(name):
        raise ForbiddenError(
            f"this server is not known as {host[:100]!r}", hint="call it by its own address", code="bad_host"
        )
    origin = request.headers.get("origin")
    if origin is not None and changes and _split(origin)[0] != host and not services.cors.allows(origin):
        raise ForbiddenError(
            f"a page of {origin[:100]!r} may not change anything here", hint="call the API directly", code="bad_origin"
        )


def _split(url: str) -> tuple[str, str]:
    """(host and port as written, host alone) of a URL; empty for what is none."""
    try:
        parts = urlsplit(url)
        return parts.netloc, parts.hostname or ""
    except ValueError:
        return "", ""


def _too_large() -> TooLargeError:
    return TooLargeError(
        f"the body is larger than {MAX_BODY_BYTES >> 20} MiB", hint="fetch large files with `from:` a URL"
    )


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


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
