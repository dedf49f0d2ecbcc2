"""A server as a process of its own, that goes on with its build when it comes back: to be ended in any way.

python -m tests.console.log_server DIRECTORY PORT
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen

import ingot.console
from ingot.records.event import Phase
from ingot.records.ref import Ref
from tests.console.builds import begin_build, opened
from tests.service.api_server import document, running_server

KEY = "sk_live_console000000000000000000000000000000000"
REF = "default/steady@1.0.0"
PATH = "/console/builds/default/steady/1.0.0"
_START_DEADLINE = 60.0
_LINES_A_TURN = 3
_TURN = 0.05


class LogServer:
    """The port stays the same. The build prints `tick 0`, `tick 1` …, and ends once the file `end` is there."""

    def __init__(self, directory: Path, port: int) -> None:
        self.directory = directory
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._process: Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.console.log_server", str(self.directory), str(self.port)]
        self._process = Popen(command, stdout=PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"

    def stop(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(_START_DEADLINE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def freeze(self, is_frozen: bool) -> None:
        """Connections stay and say nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if is_frozen else signal.SIGCONT)

    def end_build(self) -> None:
        (self.directory / "end").touch()

    def close(self) -> None:
        if self._process is not None:
            self.stop(signal.SIGKILL)


@contextlib.contextmanager
def log_server(directory: Path, port: int) -> Iterator[LogServer]:
    server = LogServer(directory, port)
    try:
        server.start()
        yield server
    finally:
        server.close()


async def serve(directory: Path, port: int) -> None:
    async with running_server(directory, port=port, first_key=KEY, pages=ingot.console.PAGES) as server:
        over = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
        current = await server.services.queue.current("default", Ref.parse(REF))
        if current is not None:
            build = await opened(server, await server.services.queue.reclaim(current.id))
        else:
            await server.publish(document("steady"))
            build = await begin_build(server, REF)
            await build.enter(Phase.INSTALL)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not over.is_set() and not (directory / "end").exists():
            await build.say(*(f"tick {build.writer.next_seq + more}" for more in range(_LINES_A_TURN)))
            await asyncio.sleep(_TURN)
        if not over.is_set():
            await build.end()
            await over.wait()
        await server.services.stream.aclose()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2])))
