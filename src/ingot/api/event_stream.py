"""`GET /api/templates/{namespace}/{name}/{version}/build/events`: a build's events as server-sent events.

A raw ASGI application: stored bytes go out as they are, one write a batch, at most one batch in memory for each
reader. It never encodes an event, and knows builds only as far as `resolve` tells it. docs/stream-contract.md
is what clients may rely on; selection, other formats, tickets and a spread-out drain belong here later.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from ingot.api.connection import TRANSPORT
from ingot.api.errors import error_body, new_request_id
from ingot.api.stream_request import (
    StreamQuery,
    StreamRequest,
    bearer_token,
    choose_start,
    find_header,
    match_path,
    parse_query,
)
from ingot.errors import NotFoundError, RequestError
from ingot.events.cursor import Cursor
from ingot.events.log import EventLogs, StoredLog

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

NOT_BUILT = "not_built"
"""The code of the NotFoundError with which `resolve` answers for a version that has no build."""

_COMMENT = b":\n"
_RETRY = b"retry: 2000\n"
_LONG_RETRY = b"retry: 5000\n"
_TURN = 4
"""Batches after which a reader that takes everything at once lets others have their turn."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """The attempt whose events are sent. It exists; its log may not have a frame yet."""

    build_id: str
    attempt: int


Resolve = Callable[[StreamRequest], Awaitable[StreamTarget]]


class EventStream:
    """The endpoint. `resolve` authorises a request and finds its attempt; it raises RequestError, and for a
    version without a build NotFoundError with the code `not_built`.

    `heartbeat` is the silence in seconds after which a comment is sent, `stall` the time after which a reader
    that takes nothing is cut off, `poll` how often a build that is waited for is looked for.
    """

    def __init__(
        self,
        logs: EventLogs,
        resolve: Resolve,
        *,
        heartbeat: float = 15,
        stall: float = 30,
        poll: float = 1,
    ) -> None:
        self._logs = logs
        self._resolve = resolve
        self._heartbeat = heartbeat
        self._stall = stall
        self._poll = poll
        self._open: set[_Reader] = set()
        self._closing = False

    @staticmethod
    def matches(scope: Scope) -> bool:
        """Whether this endpoint answers for the path. Dispatch before any middleware that wraps `send`."""
        return scope["type"] == "http" and match_path(_raw_path(scope)) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        reader = _Reader(scope, receive, send, request_id, self._stall)
        try:
            await self._answer(scope, reader)
        except RequestError as error:
            await reader.refuse(error)
        except asyncio.CancelledError:
            if not reader.stalled:
                raise
        except Exception as error:
            _log.exception("the event stream failed", extra={"action": "stream_failed", "request_id": request_id})
            if reader.started:
                raise
            await reader.refuse(error)
        finally:
            self._open.discard(reader)
            reader.close()

    def count_open(self) -> int:
        """How many streams are open now."""
        return len(self._open)

    async def aclose(self) -> None:
        """Ends all open streams without a terminal frame; clients come back after a longer pause."""
        self._closing = True
        for reader in tuple(self._open):
            reader.stop()

    async def _answer(self, scope: Scope, reader: _Reader) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await reader.refuse_method()
            return
        query = parse_query(scope["query_string"], find_header(scope["headers"], b"last-event-id"))
        place = match_path(_raw_path(scope))
        if place is None:
            raise NotFoundError("there is nothing at this address", hint="see docs/stream-contract.md")
        request = StreamRequest(*place, attempt=query.attempt, token=bearer_token(scope["headers"]))
        try:
            target = await self._resolve(request)
        except NotFoundError as error:
            if error.code != NOT_BUILT or not (query.wait and query.follow):
                raise
            await self._wait_for_build(request, reader, only_headers=scope["method"] == "HEAD")
            return
        log = await self._logs.awaited(target.build_id)
        await self._replay(log, target, query, reader, only_headers=scope["method"] == "HEAD")

    async def _replay(
        self, log: StoredLog, target: StreamTarget, query: StreamQuery, reader: _Reader, *, only_headers: bool
    ) -> None:
        start = choose_start(query, target.attempt, log.next_seq, over=log.terminal is not None)
        headers = [
            (b"x-build-attempt", b"%d" % target.attempt),
            (b"x-build-resumed-from", start.resumed_from.encode()),
        ]
        if start.seq is None:
            await reader.answer_nothing_more(headers)
            return
        await reader.begin(headers, only_headers=only_headers)
        if not only_headers:
            cursor = log.cursor(start.seq)
            await self._pump(cursor, reader, until=None if query.follow else log.end)

    async def _wait_for_build(self, request: StreamRequest, reader: _Reader, *, only_headers: bool) -> None:
        """Sends heartbeats until a version that was never built has a build."""
        await reader.begin([(b"x-build-resumed-from", b"start")], only_headers=only_headers)
        if only_headers:
            return
        self._register(reader)
        waited = 0.0
        while not reader.is_over:
            try:
                target = await self._resolve(request)
            except NotFoundError as error:
                if error.code != NOT_BUILT:
                    break  # the version was deleted
            except RequestError:
                break  # the key was revoked
            else:
                log = await self._logs.awaited(target.build_id)
                await self._pump(log.cursor(0), reader, until=None)
                return
            await reader.pause(self._poll)
            waited += self._poll
            if waited >= self._heartbeat:
                waited = 0.0
                await reader.write(_COMMENT)
        await reader.end()

    async def _pump(self, cursor: Cursor, reader: _Reader, *, until: int | None) -> None:
        """Sends batches until the log ends, the reader goes, or byte `until` of the log is reached."""
        self._register(reader)
        reader.on_over(cursor.wake)
        opening, turn = _RETRY, 0
        try:
            while not reader.is_over:
                batch = b"" if until is not None and cursor.offset >= until > 0 else await cursor.read()
                if batch:
                    await reader.write(opening + batch if opening else batch)
                    opening, turn = b"", turn + 1
                    if turn % _TURN == 0:
                        await asyncio.sleep(0)
                elif until is not None or cursor.ended or reader.is_over:
                    break
                elif not await cursor.wait(self._heartbeat):
                    await reader.write(_COMMENT)
        finally:
            cursor.close()
        await reader.end()

    def _register(self, reader: _Reader) -> None:
        self._open.add(reader)
        if self._closing:
            reader.stop()


class _Reader:
    """The client's side of one answer: writes with a deadline, notices that the client has gone."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, stall: float) -> None:
        self.started = False
        self.stalled = False
        self.stopped = False
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._stall = stall
        self._transport: asyncio.Transport | None = (scope.get("extensions") or {}).get(TRANSPORT)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self._gone: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Callable[[], None] | None = None
        self._writing_since: float | None = None
        self._unsent = 0

    @property
    def is_over(self) -> bool:
        """The client has gone, was cut off, or is to be ended."""
        return self.stopped or self.stalled or (self._gone is not None and self._gone.done())

    def on_over(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def stop(self) -> None:
        """The server is going: ends the stream at the next moment."""
        self.stopped = True
        self._notice()

    async def pause(self, seconds: float) -> None:
        """Waits, less when the client goes."""
        assert self._gone is not None
        await asyncio.wait([self._gone], timeout=seconds)

    async def begin(self, headers: list[Header], *, only_headers: bool) -> None:
        await self._start(
            200,
            [
                (b"content-type", b"text/event-stream; charset=utf-8"),
                (b"cache-control", b"no-cache, no-store, no-transform"),
                (b"x-accel-buffering", b"no"),
                (b"x-build-stream-version", b"1"),
                *headers,
            ],
        )
        if only_headers:
            await self._send({"type": "http.response.body", "body": b""})
            return
        self._gone = asyncio.create_task(self._until_gone())
        self._gone.add_done_callback(lambda _: self._notice())
        self._timer = self._loop.call_later(self._stall / 4, self._check_stall)
        await self.write(_COMMENT)

    async def write(self, content: bytes) -> None:
        self._writing_since = self._loop.time()
        self._unsent = -1
        await self._send({"type": "http.response.body", "body": content, "more_body": True})
        self._writing_since = None

    async def end(self) -> None:
        """Closes the body. A stream that the server ends asks its client for a longer pause."""
        if self.stalled or (self._gone is not None and self._gone.done()):
            return
        if self.stopped:
            await self.write(_LONG_RETRY)
        await self._send({"type": "http.response.body", "body": b""})

    async def answer_nothing_more(self, headers: list[Header]) -> None:
        """204: the client has everything and should not come back."""
        await self._start(204, [(b"cache-control", b"no-store"), (b"x-build-stream-version", b"1"), *headers])
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: Exception) -> None:
        status, body, headers = error_body(error, self._request_id)
        await self._send_json(status, body, headers)

    async def refuse_method(self) -> None:
        error = RequestError("this address takes GET and HEAD only", code="method_not_allowed")
        _, body, headers = error_body(error, self._request_id)
        await self._send_json(405, body, {**headers, "Allow": "GET, HEAD"})

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._gone is not None:
            self._gone.cancel()
        self._wake = None

    async def _send_json(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        listed = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        listed += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await self._start(status, [header for header in listed if header[0] != b"x-request-id"])
        await self._send({"type": "http.response.body", "body": content})

    async def _start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        headers = [*headers, (b"x-request-id", self._request_id.encode())]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _notice(self) -> None:
        if self._wake is not None:
            self._wake()

    def _check_stall(self) -> None:
        """Cuts the client off when it has taken nothing for too long while something waits to be sent."""
        self._timer = self._loop.call_later(self._stall / 4, self._check_stall)
        if self._writing_since is None:
            return
        unsent = self._transport.get_write_buffer_size() if self._transport is not None else 0
        if unsent != self._unsent and self._transport is not None:
            self._unsent, self._writing_since = unsent, self._loop.time()
        elif self._loop.time() - self._writing_since >= self._stall:
            self._cut_off()

    def _cut_off(self) -> None:
        self.stalled = True
        if self._transport is not None:
            self._transport.abort()
        elif self._task is not None:
            self._task.cancel()


def _raw_path(scope: Scope) -> str:
    raw = scope.get("raw_path")
    return raw.decode("latin-1").partition("?")[0] if raw else str(scope["path"])
