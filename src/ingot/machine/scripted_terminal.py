"""A terminal of the scripted backend: it echoes what is typed, and runs each line as a command of the script.

It knows what the contract is about and nothing else: `exit N`, `stty size`, Ctrl-C and Ctrl-D.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

from ingot.machine.contract import Terminal

RunLine = Callable[[str, Callable[[bytes], Awaitable[None]]], Awaitable[int]]
"""Runs a line, passing its output on; its exit code."""

_INTERRUPT, _END_OF_INPUT, _PROMPT = b"\x03", b"\x04", b"# "
_INTERRUPTED, _KILLED = 130, 137
_CHUNKS = 16


class ScriptedTerminal(Terminal):
    def __init__(self, cols: int, rows: int, run: RunLine) -> None:
        self._cols, self._rows, self._run = cols, rows, run
        self._shown: asyncio.Queue[bytes] = asyncio.Queue(_CHUNKS)
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._running: asyncio.Future[int] | None = None
        self._status: int | None = None
        self._over = asyncio.Event()
        self._shell = asyncio.create_task(self._serve())

    async def read(self) -> bytes:
        if self._over.is_set() and self._shown.empty():
            return b""
        return await self._shown.get()

    async def write(self, typed: bytes) -> None:
        for byte in typed:
            key = bytes([byte])
            if key == _INTERRUPT and self._running is not None:
                self._running.cancel()
            self._typed.put_nowait(key)

    async def resize(self, cols: int, rows: int) -> None:
        self._cols, self._rows = cols, rows

    async def wait(self) -> int:
        await self._over.wait()
        return _KILLED if self._status is None else self._status

    async def hang_up(self) -> None:
        self._shell.cancel()
        await asyncio.gather(self._shell, return_exceptions=True)

    async def _serve(self) -> None:
        try:
            line, last = b"", 0
            await self._show(_PROMPT)
            while self._status is None:
                key = await self._typed.get()
                if key == _END_OF_INPUT:
                    self._status = last
                elif key == _INTERRUPT:
                    line = b""
                    await self._show(b"^C\r\n" + _PROMPT)
                elif key in b"\r\n":
                    await self._show(b"\r\n")
                    last, line = await self._obey(line.decode(errors="replace").split()), b""
                else:
                    line += key
                    await self._show(key)
        finally:
            self._over.set()
            with contextlib.suppress(asyncio.QueueFull):
                self._shown.put_nowait(b"")

    async def _obey(self, words: list[str]) -> int:
        last = 0
        if words[:1] == ["exit"]:
            self._status = int(words[1]) if words[1:] else 0
            return 0
        if words == ["stty", "size"]:
            await self._show(f"{self._rows} {self._cols}\r\n".encode())
        elif words:
            self._running = asyncio.ensure_future(self._run(" ".join(words), self._show_lines))
            try:
                last = await self._running
            except asyncio.CancelledError:
                if not self._running.cancelled():
                    raise
                last = _INTERRUPTED
            finally:
                self._running.cancel()
                self._running = None
        await self._show(_PROMPT)
        return last

    async def _show_lines(self, chunk: bytes) -> None:
        await self._show(chunk.replace(b"\n", b"\r\n"))

    async def _show(self, chunk: bytes) -> None:
        await self._shown.put(chunk)


@contextlib.asynccontextmanager
async def scripted_terminal(cols: int, rows: int, run: RunLine) -> AsyncIterator[ScriptedTerminal]:
    terminal = ScriptedTerminal(cols, rows, run)
    try:
        yield terminal
    finally:
        await terminal.hang_up()
