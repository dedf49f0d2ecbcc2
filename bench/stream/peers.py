"""The same stream written with sse-starlette or with FastAPI's own SSE, as their documentation shows: a list of events,
a condition, one event a yield. The argument says which; driven by commands. Events are ready text, the best case."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterable, AsyncIterator

import fastapi.sse
import sse_starlette
import uvicorn
import uvloop
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

from bench.stream.commands import LAST, event, obey, say

_REQUEST = "GET /builds/%d/events HTTP/1.1\r\nHost: x\r\n%s\r\n"


class Build:
    """The events of one build, in memory."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._events: list[str] = []
        self._over = False
        self._changed = asyncio.Condition()

    async def write(self, lines: list[str]) -> None:
        async with self._changed:
            self._events += map(event, lines)
            self._changed.notify_all()

    async def end(self) -> None:
        async with self._changed:
            self._events.append(LAST)
            self._over = True
            self._changed.notify_all()

    async def follow(self) -> AsyncIterator[tuple[str, str]]:
        """Ids and texts of all events, then of new ones, until the build is over."""
        sent = 0
        self._peer.open += 1
        try:
            while True:
                while sent < len(self._events):
                    yield f"1-{sent}", self._events[sent]
                    sent += 1
                if self._over:
                    return
                async with self._changed:
                    while sent == len(self._events):
                        await self._changed.wait()
        finally:
            self._peer.open -= 1


class Peer:
    def __init__(self) -> None:
        self.builds: list[Build] = []
        self.open = 0

    async def new_build(self) -> tuple[int, Build]:
        self.builds.append(Build(self))
        return len(self.builds) - 1, self.builds[-1]

    def count_open(self) -> int:
        return self.open


def with_sse_starlette(peer: Peer) -> Starlette:
    async def events(request: Request) -> sse_starlette.EventSourceResponse:
        build = peer.builds[int(request.path_params["number"])]

        async def stream() -> AsyncIterator[dict[str, str]]:
            async for name, text in build.follow():
                yield {"id": name, "data": text}

        return sse_starlette.EventSourceResponse(stream())

    return Starlette(routes=[Route("/builds/{number:int}/events", events)])


def with_fastapi(peer: Peer) -> FastAPI:
    app = FastAPI()

    @app.get("/builds/{number}/events", response_class=fastapi.sse.EventSourceResponse)
    async def events(number: int) -> AsyncIterable[fastapi.sse.ServerSentEvent]:
        async for name, text in peer.builds[number].follow():
            yield fastapi.sse.ServerSentEvent(raw_data=text, id=name)

    return app


async def main() -> None:
    peer = Peer()
    app = {"sse-starlette": with_sse_starlette, "fastapi": with_fastapi}[sys.argv[1]](peer)
    with socket.create_server(("127.0.0.1", 0), backlog=8192) as listener:
        server = uvicorn.Server(uvicorn.Config(app, http="httptools", log_level="error", access_log=False))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        say({"port": listener.getsockname()[1], "pids": [os.getpid()], "request": _REQUEST})
        await obey(peer)
        server.should_exit = True
        with contextlib.suppress(asyncio.CancelledError):
            await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
