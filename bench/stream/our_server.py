"""The event stream as the server runs it, on real logs in the directory that is its argument; driven by commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from pathlib import Path

import uvicorn
import uvloop

from bench.stream.commands import obey, say
from ingot.api.connection import StreamingProtocol, listen
from ingot.api.event_stream import EventStream, StreamTarget
from ingot.api.stream_request import StreamRequest
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.records.build import StepRecord
from ingot.records.event import Phase, Result

_STEP = 60_000
"""Lines after which a new step begins: a step's output is capped."""
_REQUEST = "GET /api/templates/a/b/%d.0.0/build/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n%s\r\n"


class Lines:
    """The lines of one build, through redaction, splitting, encoding and the durable log."""

    def __init__(self, reporter: BuildReporter) -> None:
        self._reporter = reporter
        self._steps = contextlib.AsyncExitStack()
        self._left = 0

    async def write(self, lines: list[str]) -> None:
        if self._left < len(lines):
            await self._steps.aclose()
            self._output = await self._steps.enter_async_context(self._reporter.output("run"))
            self._left = _STEP
        self._left -= len(lines)
        await self._output.write("".join(f"{line}\n" for line in lines).encode())

    async def end(self) -> None:
        async def commit() -> None: ...

        await self._steps.aclose()
        await self._reporter.finish(Result.READY, 1, None, commit)


class Ours:
    def __init__(self, directory: Path) -> None:
        self._logs = EventLogs(directory)
        self._builds: list[str] = []
        self.stream = EventStream(self._logs, self._resolve, stamp=lambda: len(self._builds))
        self.count_open = self.stream.count_open

    async def new_build(self) -> tuple[int, Lines]:
        number = len(self._builds)
        self._builds.append(f"build{number}")
        writer = await self._logs.open_writer(self._builds[-1], 1, 1)

        async def on_progress(phase: Phase, step: str | None) -> None: ...

        async def on_step(record: StepRecord) -> None: ...

        reporter = BuildReporter(writer, 1, [], on_progress, on_step)
        await reporter.enter(Phase.INSTALL)
        return number, Lines(reporter)

    async def _resolve(self, request: StreamRequest) -> StreamTarget:
        return StreamTarget(self._builds[int(request.version.split(".")[0])], 1, "default", "key")


async def main() -> None:
    with listen("127.0.0.1", 0) as listener:
        ours = Ours(Path(sys.argv[1]))
        config = uvicorn.Config(
            ours.stream, http=StreamingProtocol, log_level="warning", lifespan="off", access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        say({"port": listener.getsockname()[1], "pids": [os.getpid()], "request": _REQUEST})
        await obey(ours)
        server.should_exit = True
        await ours.stream.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
