"""A small real HTTP server that speaks the documented shapes, for tests of the client and the command line.

It listens on a loopback port and can be hostile on purpose: each stream connection takes the next `Trouble` of a list
(cut after so many bytes, answer a status, stay silent). It keeps what it was asked, so that tests can look.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

KEY = "sk_live_test"
PUBLISHED = "2026-06-08T17:00:00Z"
DIGEST = "ab" * 32


@dataclass(frozen=True)
class Trouble:
    """What goes wrong on one stream connection; the default is nothing. `silent` sends headers and no more;
    `ends_after` so many frames the stream ends as a whole one does, behind `last_words`."""

    cut_after: int | None = None
    status: int | None = None
    silent: bool = False
    retry_ms: int | None = None
    ends_after: int | None = None
    last_words: bytes = b""


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


def frame(
    seq: int, level: str, phase: str, line: str, source: str | None = None, attempt: int = 1, **end: Any
) -> bytes:
    """One stored frame; its time is `seq` tenths of a second after the build began."""
    event: dict[str, Any] = {"ts": f"2026-06-08T17:00:{seq // 10:02d}.{seq % 10}00Z", "level": level, "phase": phase}
    if source is not None:
        event["source"] = source
    event |= {"line": line, **end}
    return f"id: {attempt}-{seq}\ndata: {json.dumps(event, separators=(',', ':'))}\n\n".encode()


def ready_log(lines: int = 20) -> list[bytes]:
    """A whole successful attempt with two steps."""
    frames = [
        frame(0, "info", "publish", "accepted as attempt 1", "builder"),
        frame(1, "info", "compile", "2 steps: 1 reused, 1 to run", "builder"),
        frame(2, "info", "boot", "booting build VM"),
        frame(3, "info", "install", "step 1/2 apt ripgrep: cached (unchanged)", "builder"),
        frame(4, "info", "install", "step 2/2 run make: run (command changed)", "builder"),
    ]
    frames += [frame(seq, "info", "install", f"made part {seq}", "run") for seq in range(5, 5 + lines)]
    at = 5 + lines
    frames += [
        frame(at, "info", "install", "step 2/2 run make: done in 1.5s", "builder"),
        frame(at + 1, "info", "archive", "uploading golden snapshot", "builder"),
        frame(
            at + 2,
            "success",
            "ready",
            "golden snapshot ready in 2.7s",
            result="ready",
            attempt=1,
            duration_ms=2700,
        ),
    ]
    return frames


def ended_log(result: str, phase: str, code: str, message: str) -> list[bytes]:
    """An attempt whose second step did not end well."""
    words = {"failed": "build failed", "cancelled": "build cancelled", "timed_out": "build timed out"}[result]
    error = {"code": code, "step": "run make", "exit_code": 2, "message": message}
    return [
        *ready_log(5)[:10],
        frame(
            10,
            "error",
            phase,
            f"{words}: {message}",
            result=result,
            attempt=1,
            duration_ms=1000,
            error=error,
        ),
    ]


@dataclass
class FakeServer:
    """`log` grows while the server runs (`say`); a stream ends when the log's last frame is terminal. An answer that
    has a gate waits for it."""

    url: str = ""
    key: str = KEY
    log: list[bytes] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    answers: dict[tuple[str, str], tuple[int, Any]] = field(default_factory=dict)
    gates: dict[tuple[str, str], asyncio.Event] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    heartbeat: float = 15.0
    _grown: asyncio.Event = field(default_factory=asyncio.Event)
    _watched: asyncio.Event = field(default_factory=asyncio.Event)

    def say(self, *frames: bytes) -> None:
        self.log += frames
        grown, self._grown = self._grown, asyncio.Event()
        grown.set()

    async def watched(self) -> None:
        """Waits until a stream is open."""
        await self._watched.wait()

    def streams(self) -> list[Request]:
        return [request for request in self.requests if request.path.endswith("/build/events")]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read_request(reader)) is not None:
                self.requests.append(request)
                if request.path.endswith("/build/events") and self.allowed(request):
                    await self._stream(request, writer)
                    break
                status, answer = self._answer(request)
                if gate := self.gates.get((request.method, request.path)):
                    await gate.wait()
                await _write_answer(writer, status, answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def allowed(self, request: Request) -> bool:
        return request.headers.get("authorization") == f"Bearer {self.key}"

    def _answer(self, request: Request) -> tuple[int, Any]:
        if not self.allowed(request):
            return 401, error(
                "Missing API key" if "authorization" not in request.headers else "Invalid API key", "unauthorized"
            )
        found = self.answers.get((request.method, request.path))
        if found is not None:
            return found
        if request.method == "POST" and request.path == "/api/templates":
            return 201, {"ref": "default/hello@1.0.0", "digest": DIGEST, "published": PUBLISHED}
        if request.path.endswith("/build"):
            return (202 if request.method == "POST" else 200), build_object()
        return 404, error(f"no {request.path}", "not_found")

    async def _stream(self, request: Request, writer: asyncio.StreamWriter) -> None:
        trouble = self.troubles.pop(0) if self.troubles else Trouble()
        if trouble.status is not None:
            await _write_answer(writer, trouble.status, error("the server drains", "draining"))
            return
        head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
        writer.write(f"{head}Date: {formatdate(usegmt=True)}\r\n\r\n".encode())
        self._watched.set()
        budget = trouble.cut_after
        async for chunk in self._chunks(request, trouble):
            if budget is not None and len(chunk) >= budget:
                writer.write(_chunked(chunk[:budget]) if budget else b"")
                await writer.drain()
                writer.transport.abort() if budget % 2 else writer.close()
                return
            budget = None if budget is None else budget - len(chunk)
            writer.write(_chunked(chunk))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        await writer.drain()

    async def _chunks(self, request: Request, trouble: Trouble) -> AsyncIterator[bytes]:
        yield b":\n"
        if trouble.retry_ms is not None:
            yield f"retry: {trouble.retry_ms}\n".encode()
        if trouble.silent:
            await asyncio.sleep(3600)
        at = self._start(request)
        while True:
            grown = self._grown
            for stored in self.log[at:][: trouble.ends_after]:
                yield stored
            if trouble.ends_after is not None:
                yield trouble.last_words or b":\n"
                return
            at = max(at, len(self.log))
            if request.query.get("follow") == "0" or (self.log and b'"result":' in self.log[-1]):
                return
            while not grown.is_set():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.heartbeat):
                        await grown.wait()
                if not grown.is_set():
                    yield b":\n"

    def _start(self, request: Request) -> int:
        last = request.headers.get("last-event-id", "")
        for place, stored in enumerate(self.log):
            if stored.startswith(f"id: {last}\n".encode()):
                return place + 1
        return 0


def build_object(status: str = "building", **more: Any) -> dict[str, Any]:
    return {"ref": "default/hello@1.0.0", "digest": DIGEST, "status": status, "attempt": 1, "reused": False, **more}


def error(message: str, code: str, **more: Any) -> dict[str, Any]:
    return {"error": message, "code": code, "request_id": "11111111-2222-3333-4444-555555555555", **more}


@contextlib.asynccontextmanager
async def fake_server(log: Sequence[bytes] = (), troubles: Sequence[Trouble] = ()) -> AsyncIterator[FakeServer]:
    fake = FakeServer(log=list(log), troubles=list(troubles))
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with contextlib.suppress(asyncio.CancelledError):
            await fake.serve(reader, writer)
        tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    parts = urlsplit(target)
    return Request(method, unquote(parts.path), dict(parse_qsl(parts.query)), headers, body)


async def _write_answer(writer: asyncio.StreamWriter, status: int, answer: Mapping[str, Any] | None) -> None:
    content = b"" if answer is None else json.dumps(answer).encode()
    head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content)
    await writer.drain()


def _chunked(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)
