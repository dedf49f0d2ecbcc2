"""One request and one answer: addresses, time limits, and error envelopes turned into the tree of `ingot.errors`.

Every request has limits, no redirect is followed (a redirect would carry the key elsewhere), and a loopback server is
never reached through a proxy of the environment.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import httpx2

from ingot import __version__
from ingot.client.answers import problems_from
from ingot.errors import (
    CapacityError,
    ConflictError,
    ForbiddenError,
    GoneError,
    IngotError,
    NotFoundError,
    RequestError,
    ServerError,
    TemplateError,
    TooLargeError,
    UnauthenticatedError,
    UnprocessableError,
    UnreachableError,
)

CONNECT_TIMEOUT = 5.0
ANSWER_TIMEOUT = 60.0

_BY_STATUS: dict[int, type[RequestError]] = {
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: GoneError,
    413: TooLargeError,
    422: UnprocessableError,
}


def make_client(url: str, key: str | None) -> httpx2.AsyncClient:
    """The connection pool for one server; `key` goes into every request."""
    headers = {"User-Agent": f"ingot/{__version__}", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    return httpx2.AsyncClient(
        base_url=f"{url}/api/",
        headers=headers,
        timeout=time_limits(ANSWER_TIMEOUT),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),  # a stream keeps its own
        follow_redirects=False,
        trust_env=not is_loopback(httpx2.URL(url).host),
    )


def time_limits(answer: float) -> httpx2.Timeout:
    """`answer` is how many seconds the server may be silent."""
    return httpx2.Timeout(connect=CONNECT_TIMEOUT, read=answer, write=30.0, pool=CONNECT_TIMEOUT)


@contextlib.contextmanager
def reachable(url: str) -> Iterator[None]:
    """Turns the transport's errors into UnreachableError, which says how to start a server."""
    try:
        yield
    except httpx2.InvalidURL as error:
        raise UnreachableError(f"{url} is not an address: {error}", hint="set INGOT_URL") from error
    except httpx2.ConnectError as error:
        raise UnreachableError(
            f"no server answers at {url} ({_reason(error)})", hint="start one with `ingot up`, or set INGOT_URL"
        ) from error
    except httpx2.TimeoutException as error:
        raise UnreachableError(
            f"{url} does not answer in time ({_reason(error)})", hint="is it an Ingot server?"
        ) from error
    except httpx2.TransportError as error:
        raise UnreachableError(f"the connection to {url} broke ({_reason(error)})", hint="try again") from error


async def call(
    client: httpx2.AsyncClient,
    method: str,
    path: str,
    *,
    query: Mapping[str, str] | None = None,
    body: object = None,
    content: bytes | None = None,
    content_type: str | None = None,
    answer_timeout: float = ANSWER_TIMEOUT,
) -> Mapping[str, Any]:
    """The JSON object that the server answered ({} for 204). `path` is relative to `/api`, already encoded.

    Raises what the server's error envelope means, UnreachableError, and ServerError for what is no answer of Ingot's.
    """
    headers = {"Content-Type": content_type} if content_type else None
    request = client.build_request(
        method,
        path,
        params=query,
        json=body,
        content=content,
        headers=headers,
        timeout=time_limits(answer_timeout),
    )
    return _object(await _answer(client, request))


async def call_text(client: httpx2.AsyncClient, path: str, *, query: Mapping[str, str] | None = None) -> str:
    """The text that the server answered to a GET. Raises the same."""
    return (await _answer(client, client.build_request("GET", path, params=query))).text


async def _answer(client: httpx2.AsyncClient, request: httpx2.Request) -> httpx2.Response:
    url = str(client.base_url).removesuffix("/api/")
    with reachable(url):
        response = await client.send(request)
    if response.is_success:
        return response
    raise error_from(response.status_code, response.headers, response.content, url)


async def open_stream(
    client: httpx2.AsyncClient, path: str, *, query: Mapping[str, str], headers: Mapping[str, str], silence: float
) -> AsyncIterator[httpx2.Response]:
    """One streaming answer, whatever its status; use it through `contextlib.asynccontextmanager`."""
    with reachable(str(client.base_url).removesuffix("/api/")):
        async with client.stream("GET", path, params=query, headers=headers, timeout=time_limits(silence)) as response:
            yield response


def error_from(status: int, headers: Mapping[str, str], content: bytes, url: str) -> IngotError:
    """The error that an answer of `status` means."""
    envelope = _envelope(content)
    if envelope is None:
        return ServerError(
            f"{url} answered status {status} without Ingot's error object", hint="is it an Ingot server?"
        )
    message, code = str(envelope["error"]), str(envelope.get("code") or "")
    if status == 422 and (problems := problems_from(envelope.get("errors"))):
        return TemplateError(problems)
    if status in (429, 503):
        return CapacityError(message, retry_after=_seconds(headers.get("retry-after")), code=code or None)
    if status == 507:
        return ServerError(message, code=code or None)
    if status >= 500:
        request = envelope.get("request_id") or "unknown"
        return ServerError(
            f"the server failed: {message}", hint=f"look for request {request} in its log", code=code or None
        )
    if status == 401:
        return UnauthenticatedError(message, hint="run `ingot login`, or set INGOT_API_KEY", code=code or None)
    return _BY_STATUS.get(status, RequestError)(message, code=code or None)


def _envelope(content: bytes) -> Mapping[str, Any] | None:
    try:
        raw = json.loads(content)
    except ValueError:
        return None
    if not isinstance(raw, dict):
        return None
    if "error" not in raw and ("errors" in raw or "status" in raw):
        # The two answers that have no envelope: a cancel where nothing builds, and a validate with problems.
        return {"error": "nothing builds" if raw.get("status") == "idle" else "the document is not valid", **raw}
    return raw if isinstance(raw.get("error"), str) else None


def _object(response: httpx2.Response) -> Mapping[str, Any]:
    if not response.content:
        return {}
    try:
        raw = response.json()
    except ValueError:
        raw = None
    if not isinstance(raw, dict):
        raise ServerError(f"{response.url} answered no JSON object", hint="is it an Ingot server?")
    return raw


def _seconds(text: str | None) -> int:
    return int(text) if text and text.isdigit() else 5


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__


def is_loopback(host: str) -> bool:
    """Whether a server of that name is on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
