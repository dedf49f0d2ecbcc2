"""How a measured server is driven: a command a line on stdin, an answer (JSON) a line on stdout.

The first answer says the port, the process ids whose CPU and memory count, and the request of a watcher. Then:

- `live WATCHERS LINES`: answers with a new build, waits until all watch, answers, waits for `go`, and writes the lines
  as fast as it can; answers with the time of the first write.
- `paced WATCHERS SECONDS`: the same with 100 lines a second, each with the time it is due in it.
- `log FRAMES`: a finished log; answers with its build.

Every log ends with an event that has a `result`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Protocol

LINE = "%015d Get:112 https://deb.example/debian bookworm/main amd64 libexample-%d amd64 1.2.3-4 [56.7 kB]"
_HEAD = '{"ts":"2026-06-08T17:00:01.007Z","level":"info","phase":"install","source":"run","line":"'
LAST = (
    '{"ts":"2026-06-08T17:00:01.007Z","level":"success","phase":"ready","line":"golden snapshot ready in 0.0s",'
    '"result":"ready","attempt":1,"duration_ms":1}'
)
PACE = 100
"""Lines a second of `paced`."""
_BATCH = 500
"""Lines that `live` writes at once, as a busy process does."""


class Output(Protocol):
    """What writes the lines of one build."""

    async def write(self, lines: list[str]) -> None: ...

    async def end(self) -> None: ...


class Commands(Protocol):
    """A server that can be driven."""

    async def new_build(self) -> tuple[int, Output]: ...

    def count_open(self) -> int: ...


def event(line: str) -> str:
    """The event of a line, as long as ours."""
    return f'{_HEAD}{line}"}}'


def say(answer: dict[str, object]) -> None:
    print(json.dumps(answer), flush=True)


async def _hear() -> list[str]:
    """The next command; empty at the end."""
    line: str = await asyncio.to_thread(sys.stdin.readline)
    return line.split()


async def obey(server: Commands) -> None:
    """Does what is told until stdin ends."""
    while command := await _hear():
        name, *arguments = command
        number, output = await server.new_build()
        if name == "log":
            await _write(output, _rounds(int(arguments[0])))
            say({"build": number})
        else:
            say({"build": number})
            await _until_open(server, int(arguments[0]))
            say({"open": server.count_open()})
            await _hear()
            began = time.monotonic()
            amount = int(arguments[1])
            await _write(output, _rounds(amount) if name == "live" else _ticks(began, amount * PACE))
            say({"began": began})


async def _write(output: Output, rounds: AsyncIterator[list[str]]) -> None:
    async for lines in rounds:
        await output.write(lines)
    await output.end()


async def _rounds(lines: int) -> AsyncIterator[list[str]]:
    for first in range(0, lines, _BATCH):
        yield [LINE % (0, n) for n in range(first, min(first + _BATCH, lines))]
        await asyncio.sleep(0)


async def _ticks(began: float, lines: int) -> AsyncIterator[list[str]]:
    """One line when it is due. The due time is in it, so that a writer which is held up counts as late."""
    for n in range(lines):
        due = began + n / PACE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        yield [LINE % (int(due * 1e9), n)]


async def _until_open(server: Commands, watchers: int) -> None:
    async with asyncio.timeout(60):
        while server.count_open() < watchers:
            await asyncio.sleep(0.02)
