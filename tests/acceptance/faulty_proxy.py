"""A proxy in front of a good server that breaks the stream's contract in one way at a time.

It stands where a bad server or a bad proxy would, so the conformance suite can be seen to find what it looks for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2
import uvicorn

Pieces = AsyncIterator[bytes]
_PIECE = re.compile(rb":\n|retry: \d+\n|(?:[^\n]+\n)+\n")
_OWN = {"content-length", "transfer-encoding", "connection", "date", "server"}
_STREAM = "/build/events"


@dataclass(frozen=True)
class Request:
    """What was asked for of the events; header names in lower case."""

    path: str
    query: str
    headers: Mapping[str, str]

    @property
    def resumes(self) -> bool:
        return "last-event-id" in self.headers or "last_event_id" in self.query


def _same(pieces: Pieces, request: Request) -> Pieces:
    return pieces


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and the check that must find it. `status` takes the place of the server's for a request,
    `headers` are added, `ask` changes what the server is asked, `body` the pieces: comments, retry lines, frames."""

    name: str
    found_by: str
    body: Callable[[Pieces, Request], Pieces] = _same
    status: Callable[[Request], int | None] = lambda _: None
    ask: Callable[[Request], Request] = lambda request: request
    headers: Mapping[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def proxied(url: str, fault: Fault) -> AsyncIterator[str]:
    """The address of a proxy before the server at `url`."""
    listener = socket.create_server(("127.0.0.1", 0))
    async with httpx2.AsyncClient(base_url=url, timeout=None, trust_env=False) as client:
        app = _Proxy(client, fault)
        server = uvicorn.Server(
            uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False, timeout_keep_alive=75)
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.force_exit = server.should_exit = True
            await task
            listener.close()


class _Proxy:
    def __init__(self, client: httpx2.AsyncClient, fault: Fault) -> None:
        self._client = client
        self._fault = fault

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        request = Request(scope["raw_path"].decode(), scope["query_string"].decode(), headers)
        is_stream = request.path.endswith(_STREAM)
        if is_stream and (status := self._fault.status(request)):
            await _refuse(send, status)
            return
        asked = self._fault.ask(request) if is_stream else request
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        url = asked.path + (f"?{asked.query}" if asked.query else "")
        sent = {name: value for name, value in asked.headers.items() if name not in ("host", "content-length")}
        forwarding = asyncio.create_task(self._forward(scope["method"], url, sent, body, request, send))
        gone = asyncio.create_task(_until_gone(receive))
        await asyncio.wait([forwarding, gone], return_when=asyncio.FIRST_COMPLETED)
        for task in (forwarding, gone):
            task.cancel()
        await asyncio.gather(forwarding, gone, return_exceptions=True)

    async def _forward(
        self, method: str, url: str, headers: dict[str, str], body: bytes, request: Request, send: Any
    ) -> None:
        async with self._client.stream(method, url, headers=headers, content=body) as answer:
            kept = {name: value for name, value in answer.headers.items() if name not in _OWN}
            is_stream = answer.headers.get("content-type", "").startswith("text/event-stream")
            if is_stream:
                kept |= self._fault.headers
            raw = [(name.encode(), value.encode("latin-1")) for name, value in kept.items()]
            await send({"type": "http.response.start", "status": answer.status_code, "headers": raw})
            content = answer.aiter_raw()
            async for piece in self._fault.body(_pieces(content), request) if is_stream else content:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Any, status: int) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


async def _pieces(chunks: AsyncIterator[bytes]) -> Pieces:
    rest = b""
    async for chunk in chunks:
        rest += chunk
        place = 0
        while found := _PIECE.match(rest, place):
            yield found[0]
            place = found.end()
        rest = rest[place:]
    if rest:
        yield rest


# --- the faults


def _each(change: Callable[[bytes], bytes]) -> Callable[[Pieces, Request], Pieces]:
    async def body(pieces: Pieces, request: Request) -> Pieces:
        async for piece in pieces:
            if changed := change(piece):
                yield changed

    return body


def _is_end(piece: bytes) -> bool:
    return b'"result":"' in piece and piece.startswith(b"id: ")


def _unescape(piece: bytes) -> bytes:
    head, mark, data = piece.partition(b"data: ")
    if not mark:
        return piece
    return head + mark + json.dumps(json.loads(data), ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


async def _doubled(pieces: Pieces, request: Request) -> Pieces:
    first = request.resumes
    async for piece in pieces:
        yield piece
        if first and piece.startswith(b"id: "):
            first = False
            yield piece


async def _skipping(pieces: Pieces, request: Request) -> Pieces:
    skip = request.resumes
    async for piece in pieces:
        if skip and piece.startswith(b"id: ") and not _is_end(piece):
            skip = False
        else:
            yield piece


async def _renumbered(pieces: Pieces, request: Request) -> Pieces:
    seq = 0
    async for piece in pieces:
        changed = re.sub(rb"^id: (\d+)-\d+", b"id: \\g<1>-%d" % seq, piece)
        seq += changed.startswith(b"id: ")
        yield changed


async def _without_tail(pieces: Pieces, request: Request) -> Pieces:
    kept = b""
    async for piece in pieces:
        if _is_end(piece):
            kept = b""
        yield kept
        kept = piece
    yield kept


async def _late_end(pieces: Pieces, request: Request) -> Pieces:
    async for piece in pieces:
        if _is_end(piece):
            await asyncio.sleep(5)
        yield piece


async def _buffered(pieces: Pieces, request: Request) -> Pieces:
    yield b"".join([piece async for piece in pieces])


async def _left_open(pieces: Pieces, request: Request) -> Pieces:
    async for piece in pieces:
        yield piece
    await asyncio.sleep(600)


async def _opening_block(pieces: Pieces, request: Request) -> Pieces:
    async for piece in pieces:
        yield piece + b"\n" if piece.startswith(b"retry:") else piece


def _asks_without(name: str) -> Callable[[Request], Request]:
    def ask(request: Request) -> Request:
        headers = {key: value for key, value in request.headers.items() if key != name}
        query = "&".join(part for part in request.query.split("&") if not part.startswith(f"{name}="))
        return Request(request.path, query, headers)

    return ask


def _status_if(status: int, wanted: Callable[[Request], bool]) -> Callable[[Request], int | None]:
    return lambda request: status if wanted(request) else None


FAULTS = [
    Fault("a frame without an id", "wire.blocks", _each(lambda p: re.sub(rb"^id: \d+-7\n", b"", p))),
    Fault("an event field", "wire.blocks", _each(lambda p: re.sub(rb"^id:", b"event: message\nid:", p))),
    Fault("CRLF line ends", "wire.blocks", _each(lambda p: p.replace(b"\n", b"\r\n"))),
    Fault("a block of retry alone", "wire.first_bytes", _opening_block),
    Fault("no first comment", "wire.first_bytes", _each(lambda p: b"" if p == b":\n" else p)),
    Fault("a compressed stream's header", "wire.headers", headers={"content-encoding": "identity"}),
    Fault("a cacheable stream", "wire.headers", headers={"cache-control": "no-cache"}),
    Fault("a blank line behind the heartbeat", "wire.heartbeat", _each(lambda p: b":\n\n" if p == b":\n" else p)),
    Fault("no heartbeat", "wire.heartbeat", _each(lambda p: b"" if p == b":\n" else p)),
    Fault("output held back", "wire.live", _buffered),
    Fault("a stream that stays open", "wire.closes", _left_open),
    Fault("a tool's line as an error", "ends.ready", _each(lambda p: p.replace(b'"level":"info"', b'"level":"error"'))),
    Fault("no terminal frame", "ends.ready", _each(lambda p: b"" if _is_end(p) else p)),
    Fault("a lost tail", "ends.failed", _without_tail),
    Fault("a late terminal frame", "ends.before_status", _late_end),
    Fault("a doubled frame", "resume.every_id", _doubled),
    Fault("a frame lost by resuming", "resume.cuts", _skipping),
    Fault("ids that count anew", "resume.every_id", _renumbered),
    Fault("ids ignored", "resume.every_id", ask=_asks_without("last-event-id")),
    Fault("503 on reconnect", "resume.cuts", status=_status_if(503, lambda request: request.resumes)),
    Fault(
        "a strange id refused",
        "resume.no_such_id",
        status=_status_if(400, lambda request: request.headers.get("last-event-id") == "nonsense"),
    ),
    Fault("no 204", "resume.over", status=_status_if(200, lambda request: request.resumes)),
    Fault("text that is not escaped", "output.hostile", _each(_unescape)),
    Fault("403 in place of 404", "access.unknown", status=_status_if(403, lambda request: "9.9.9" in request.path)),
    Fault("a cookie that is ignored", "access.session", ask=_asks_without("cookie")),
    Fault("a foreign page let in", "access.session", ask=_asks_without("sec-fetch-site")),
    Fault("a stream that outlives its session", "access.signed_out", _left_open),
    Fault("a tail that is ignored", "select.tail", ask=_asks_without("tail")),
]
