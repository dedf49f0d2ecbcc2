"""The client's side of one answer of the event stream: headers, writes with a deadline, and what to do when the client
goes or takes nothing. It knows nothing of logs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from ingot.api.connection import CONNECTION, Connection, Header
from ingot.api.errors import error_body
from ingot.errors import RequestError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

EVENT_STREAM = b"text/event-stream; charset=utf-8"
COMMENT = b":\n"
RETRY = b"retry: 2000\n"
LONG_RETRY = b"retry: 5000\n"


class ClientSide:
    """The client's side of one answer: writes with a deadline, notices that the client has gone. `headers` are sent
    with every answer; `answered` are those that were sent, but for the request's id."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str, stall: float) -> None:
        self.started = False
        self.stalled = False
        self.stopped = False
        self._come_back = True
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self._stall = stall
        self.connection: Connection | None = (scope.get("extensions") or {}).get(CONNECTION)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task()
        self.headers: list[Header] = []
        self.answered: list[Header] = []
        self._gone: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Callable[[], None] | None = None
        self._writing_since: float | None = None
        self._unsent = 0

    @property
    def is_over(self) -> bool:
        """The client has gone, was cut off, or is to be ended."""
        return self.stopped or self.is_gone

    @property
    def is_gone(self) -> bool:
        lost = self.connection is not None and self.connection.lost
        return lost or self.stalled or (self._gone is not None and self._gone.done())

    def on_over(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def stop(self, *, come_back: bool = True) -> None:
        """Ends the stream at the next moment; `come_back` asks the client for a longer pause first."""
        self.stopped, self._come_back = True, come_back
        self._notice()

    async def pause(self, seconds: float) -> None:
        """Waits, less when the client goes."""
        assert self._gone is not None
        await asyncio.wait([self._gone], timeout=seconds)

    async def begin(
        self, headers: list[Header], *, only_headers: bool, content_type: bytes = EVENT_STREAM, status: int = 200
    ) -> None:
        """The answer's head, and for an event stream its first bytes."""
        await self._start(
            status,
            [
                (b"content-type", content_type),
                (b"cache-control", b"no-cache, no-store, no-transform"),
                (b"x-accel-buffering", b"no"),
                (b"x-build-stream-version", b"1"),
                *headers,
            ],
        )
        if only_headers:
            await self._send({"type": "http.response.body", "body": b""})
            return
        if content_type == EVENT_STREAM:
            await self.write(COMMENT)

    def watch(self) -> None:
        """From here on it is noticed when the client goes, or takes nothing."""
        if self._gone is not None:
            return
        self._gone = asyncio.create_task(self._until_gone())
        self._gone.add_done_callback(lambda _: self._notice())
        self._timer = self._loop.call_later(self._stall / 4, self._check_stall)

    async def flushed(self) -> bool:
        """Waits until what was written has left this process; False when the client went or took nothing."""
        assert self.connection is not None
        deadline = self._loop.time() + self._stall
        while self.connection.unsent():
            if self.connection.lost or self._loop.time() > deadline:
                return False
            await asyncio.sleep(0 if self.connection.unsent() < 4096 else 0.05)
        return not self.connection.lost

    async def write(self, content: bytes) -> None:
        self._writing_since = self._loop.time()
        self._unsent = -1
        await self._send({"type": "http.response.body", "body": content, "more_body": True})
        self._writing_since = None

    async def end(self, *, long_retry: bool = True) -> None:
        """Closes the body. A stream that the server ends asks its client for a longer pause."""
        if self.is_gone:
            return
        if self.stopped and self._come_back and long_retry:
            await self.write(LONG_RETRY)
        await self._send({"type": "http.response.body", "body": b""})

    async def break_off(self) -> None:
        """Ends an answer before the length that its head told, and the connection with it."""
        if self.is_gone:
            return
        if self.connection is not None:
            await self.until_cut_off()
        else:
            self.cut_off()

    async def answer_nothing_more(self, headers: list[Header]) -> None:
        """204: the client has everything and should not come back."""
        await self._start(204, [(b"cache-control", b"no-store"), (b"x-build-stream-version", b"1"), *headers])
        await self._send({"type": "http.response.body", "body": b""})

    async def answer_options(self) -> None:
        """204 with the methods that the address takes."""
        await self._start(204, [(b"allow", b"GET, HEAD, OPTIONS")])
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: Exception) -> None:
        status, body, headers = error_body(error, self._request_id)
        await self._send_json(status, body, headers)

    async def refuse_method(self) -> None:
        error = RequestError("this address takes GET, HEAD and OPTIONS only", code="method_not_allowed")
        _, body, headers = error_body(error, self._request_id)
        await self._send_json(405, body, {**headers, "Allow": "GET, HEAD, OPTIONS"})

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
        self.answered = [*headers, *self.headers]
        headers = [*self.answered, (b"x-request-id", self._request_id.encode())]
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
        unsent = self.connection.unsent() if self.connection is not None else 0
        if unsent != self._unsent and self.connection is not None:
            self._unsent, self._writing_since = unsent, self._loop.time()
        elif self._loop.time() - self._writing_since >= self._stall:
            self.cut_off()

    async def until_cut_off(self) -> None:
        """Ends the connection and returns when the server library knows it."""
        assert self.connection is not None
        if not self.connection.lost:
            known = asyncio.Event()
            self.connection.on_lost = known.set
            self.cut_off()
            async with asyncio.timeout(self._stall):
                await known.wait()

    def cut_off(self) -> None:
        """Ends the connection without waiting for the client."""
        self.stalled = True
        if self.connection is not None:
            self.connection.abort()
        elif self._task is not None:
            self._task.cancel()
