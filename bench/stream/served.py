"""The measured servers, each in processes of its own, and what the kernel says of them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_CPU_CLOCK = 2
"""Time on a processor of all threads together."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Server:
    """One of them. `name` is one of `NAMES`; `directory` takes our logs, and is what nginx serves as files."""

    def __init__(self, name: str, directory: Path) -> None:
        command = [sys.executable, "-m", *_COMMANDS[name], *([] if name in _IN_MEMORY else [str(directory)])]
        self.name = name
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._pids: list[int] = []
        hello = self.answer()
        self.port, self._pids, self._request = int(hello["port"]), list(hello["pids"]), str(hello["request"])

    def send(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self.name} has ended"
        answer = json.loads(line)
        assert isinstance(answer, dict)
        return answer

    def ask(self, command: str) -> dict[str, Any]:
        self.send(command)
        return self.answer()

    def request(self, build: int, headers: str = "") -> bytes:
        return (self._request % (build, headers)).encode()

    def cpu(self) -> float:
        """Seconds of processor time so far, user and system, of all that serves."""
        return sum(_cpu(pid) for pid in self._pids)

    def memory(self) -> int:
        """Bytes of memory of all that serves; shared pages by their share."""
        return sum(_memory(pid) for pid in self._pids)

    def close(self, *, failed: bool) -> None:
        """Ends it, after a failure without waiting for what it does."""
        if failed:
            self._kill()
        else:
            with contextlib.suppress(OSError):
                self.send("")
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait(20)

    def _kill(self) -> None:
        for pid in self._pids:
            if pid != self._process.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        self._process.kill()


OURS, NCHAN, SSE_STARLETTE, FASTAPI = NAMES = ("Ingot", "Nchan", "sse-starlette", "FastAPI SSE")
_COMMANDS = {
    OURS: ["bench.stream.our_server"],
    NCHAN: ["bench.stream.nchan_server"],
    SSE_STARLETTE: ["bench.stream.peers", "sse-starlette"],
    FASTAPI: ["bench.stream.peers", "fastapi"],
}
_IN_MEMORY = (SSE_STARLETTE, FASTAPI)


@contextlib.contextmanager
def serving(name: str, directory: Path) -> Iterator[Server]:
    server = Server(name, directory)
    try:
        yield server
    except BaseException:
        server.close(failed=True)
        raise
    server.close(failed=False)


@dataclass(frozen=True)
class KernelMemory:
    """Bytes: TCP buffers and slab objects of the whole machine."""

    buffers: int
    slab: int


def kernel_memory() -> KernelMemory:
    sockets = Path("/proc/net/sockstat").read_text().split()
    pages = int(sockets[sockets.index("mem", sockets.index("TCP:")) + 1])
    memory = Path("/proc/meminfo").read_text().split()
    return KernelMemory(pages * _PAGE, int(memory[memory.index("Slab:") + 1]) * 1024)


def _cpu(pid: int) -> float:
    """User and system, as in /proc/<pid>/stat, from the clock the kernel keeps for each process: that has nanoseconds
    where the file has hundredths of a second. The number of that clock is the process id with all bits turned."""
    return time.clock_gettime((~pid << 3) | _CPU_CLOCK)


def _memory(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024
