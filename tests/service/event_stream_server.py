"""A real server with the event stream on a free port, and a raw client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from ingot.api.connection import StreamingProtocol, listen
from ingot.api.event_stream import EventStream, NotBuiltError, StreamTarget
from ingot.api.stream_request import StreamRequest
from ingot.errors import NotFoundError, UnauthenticatedError
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.events.writer import LogWriter
from ingot.records.build import Failure, StepRecord
from ingot.records.event import Phase, Result

PATH = "/api/templates/default/demo/1.0.0/build/events"
KEY = "sk_live_test"
OTHER_KEY = "sk_live_other"
WHOSE = {KEY: ("default", "key-1", ""), OTHER_KEY: ("other", "key-2", "")}
TICKET = "a-ticket-of-these-tests"


@dataclass
class Response:
    """An answer whose body is read as it comes, chunked encoding undone."""

    status: int
    headers: dict[str, str]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False

    async def more(self) -> bytes:
        """The next chunk, b"" at the end."""
        if self.headers.get("transfer-encoding") != "chunked":
            chunk = await self.reader.readexactly(int(self.headers.get("content-length", "0")) - len(self.body))
            self.body += chunk
            self.ended = True
            return chunk
        size = int(await self.reader.readline(), 16)
        chunk = await self.reader.readexactly(size)
        await self.reader.readline()
        self.body += chunk
        self.ended = not size
        return chunk

    async def until(self, text: bytes) -> bytes:
        while text not in self.body:
            assert await self.more(), f"the stream ended without {text!r}: {bytes(self.body)!r}"
        return bytes(self.body)

    async def all(self) -> bytes:
        while not self.ended:
            await self.more()
        return bytes(self.body)


class Stream:
    """The endpoint on real logs; one ref `default/demo@1.0.0` with attempts that tests make."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.logs = EventLogs(directory)
        self.attempts: list[str] = []
        self.app = EventStream(self.logs, self.resolve, poll=0.01, **options)
        self.port = 0
        self.tasks = 0
        self.resolved = 0

    async def resolve(self, request: StreamRequest) -> StreamTarget:
        self.resolved += 1
        token = KEY if request.ticket == TICKET else request.token
        if token is None:
            raise UnauthenticatedError("Missing API key", hint="send `Authorization: Bearer <key>`")
        if token not in WHOSE:
            raise UnauthenticatedError("Invalid API key")
        if (request.namespace, request.name, request.version) != ("default", "demo", "1.0.0"):
            raise NotFoundError("there is no such template version")
        if not self.attempts:
            raise NotBuiltError("never built", WHOSE[token], hint="POST to …/build to start one")
        attempt = request.attempt or len(self.attempts)
        if attempt > len(self.attempts):
            raise NotFoundError(f"there is no attempt {attempt}")
        return StreamTarget(self.attempts[attempt - 1], attempt, *WHOSE[token])

    async def reporter(self, epoch: int = 1) -> tuple[LogWriter, BuildReporter]:
        """A new attempt and who writes it."""
        self.attempts.append(f"build{len(self.attempts) + 1}")
        return await self.continued(epoch)

    async def continued(self, epoch: int) -> tuple[LogWriter, BuildReporter]:
        attempt = len(self.attempts)
        writer = await self.logs.open_writer(self.attempts[-1], attempt, epoch)

        async def on_progress(phase: Phase, step: str | None) -> None: ...

        async def on_step(record: StepRecord) -> None: ...

        return writer, BuildReporter(writer, attempt, ["hunter22"], on_progress, on_step)

    async def finished(self, lines: int, failure: Failure | None = None) -> bytes:
        """A new attempt that is over; its log."""
        _, reporter = await self.reporter()
        await reporter.enter(Phase.INSTALL)
        async with reporter.output("run") as output:
            await output.write(b"".join(b"line %d\n" % n for n in range(lines)))
        await end(reporter, failure)
        return self.stored()

    def stored(self) -> bytes:
        return (self.directory / self.attempts[-1] / "events.sse").read_bytes()

    @contextlib.asynccontextmanager
    async def get(
        self, query: str = "", *, method: str = "GET", path: str = PATH, key: str | None = KEY, last: str | None = None
    ) -> AsyncIterator[Response]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            headers = {"Host": "x", "Authorization": f"Bearer {key}" if key else None, "Last-Event-ID": last}
            lines = [f"{method} {path}{query} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items() if v is not None)]
            writer.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
            status = int((await reader.readline()).split()[1])
            raw = (await reader.readuntil(b"\r\n\r\n") if status else b"").decode().split("\r\n")
            yield Response(status, dict(line.split(": ", 1) for line in raw if line), reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def end(reporter: BuildReporter, failure: Failure | None = None) -> None:
    async def commit() -> None: ...

    result = failure.code.result if failure else Result.READY
    await reporter.finish(result, 12_345, failure, commit)


@contextlib.asynccontextmanager
async def serving(directory: Path, **options: Any) -> AsyncIterator[Stream]:
    """A server; `options` are EventStream's."""
    stream = Stream(directory, **options)
    listener = listen("127.0.0.1", 0)
    stream.port = listener.getsockname()[1]
    config = uvicorn.Config(stream.app, http=StreamingProtocol, log_level="warning", lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield stream
    finally:
        await stream.app.aclose()
        server.should_exit = True
        await task
        listener.close()
