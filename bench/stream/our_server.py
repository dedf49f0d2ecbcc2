"""The event stream as the server runs it, on real logs, told on stdin what to write: `live WATCHERS LINES`, `paced
WATCHERS SECONDS`, `log FRAMES`, `cpu`. Answers a line each on stdout; the first line is the port."""

import asyncio
import contextlib
import json
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path

import uvicorn
import uvloop

from ingot.api.connection import StreamingProtocol
from ingot.api.event_stream import EventStream, StreamTarget
from ingot.api.stream_request import StreamRequest
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.records.build import StepRecord
from ingot.records.event import Phase, Result

LINE = b"%015d Get:112 https://deb.example/debian bookworm/main amd64 libexample-%d amd64 1.2.3-4 [56.7 kB]\n"


class Bench:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.logs = EventLogs(directory)
        self.builds: list[str] = []
        self.stream = EventStream(self.logs, self.resolve)

    async def resolve(self, request: StreamRequest) -> StreamTarget:
        return StreamTarget(self.builds[int(request.version.split(".")[0])], 1, "default", "key")

    async def reporter(self) -> BuildReporter:
        self.builds.append(f"build{len(self.builds)}")
        writer = await self.logs.open_writer(self.builds[-1], 1, 1)

        async def on_progress(phase: Phase, step: str | None) -> None: ...

        async def on_step(record: StepRecord) -> None: ...

        reporter = BuildReporter(writer, 1, [], on_progress, on_step)
        await reporter.enter(Phase.INSTALL)
        return reporter

    async def live(self, watchers: int, lines: int) -> dict[str, object]:
        """Writes lines as fast as the log takes them, once all watch."""
        reporter = await self.reporter()
        say({"build": len(self.builds) - 1})
        await self.until_open(watchers)
        began = time.monotonic()
        async with reporter.output("run") as output:
            for n in range(0, lines, 500):
                await output.write(b"".join(LINE % (0, k) for k in range(n, min(n + 500, lines))))
        await end(reporter)
        return {"began": began, "wrote": time.monotonic()}

    async def paced(self, watchers: int, seconds: int) -> dict[str, object]:
        """100 lines a second, each with the clock in it."""
        reporter = await self.reporter()
        say({"build": len(self.builds) - 1})
        await self.until_open(watchers)
        began = time.monotonic()
        async with reporter.output("run") as output:
            for n in range(seconds * 100):
                await asyncio.sleep(max(0, began + n / 100 - time.monotonic()))
                await output.write(LINE % (time.monotonic_ns(), n))
        await end(reporter)
        return {}

    async def log(self, frames: int) -> dict[str, object]:
        """A finished log."""
        reporter = await self.reporter()
        for begin in range(0, frames, 60_000):  # below the cap of one step
            async with reporter.output("run") as output:
                await output.write(b"".join(LINE % (0, k) for k in range(begin, min(frames, begin + 60_000))))
        await end(reporter)
        path = self.directory / self.builds[-1] / "events.sse"
        return {"build": len(self.builds) - 1, "path": str(path), "size": path.stat().st_size}

    async def until_open(self, watchers: int) -> None:
        async with asyncio.timeout(60):
            while self.stream.count_open() < watchers:
                await asyncio.sleep(0.02)
        await asyncio.sleep(0.5)


def cpu() -> dict[str, object]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"cpu": used.ru_utime + used.ru_stime}


async def end(reporter: BuildReporter) -> None:
    async def commit() -> None: ...

    await reporter.finish(Result.READY, 1, None, commit)


def say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


async def main() -> None:
    with tempfile.TemporaryDirectory() as directory, socket.create_server(("127.0.0.1", 0), backlog=8192) as listener:
        bench = Bench(Path(directory))
        config = uvicorn.Config(
            bench.stream, http=StreamingProtocol, log_level="warning", lifespan="off", access_log=False
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        say({"port": listener.getsockname()[1]})
        while command := (await asyncio.to_thread(sys.stdin.readline)).split():
            name, *arguments = command
            say(cpu() if name == "cpu" else await getattr(bench, name)(*map(int, arguments)))
        server.should_exit = True
        await bench.stream.aclose()
        with contextlib.suppress(asyncio.CancelledError):
            await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
