"""A shell on a terminal of a virtual machine, through a virtio port that is plugged in for it alone.

Inside, `terminal_server.pl` holds the terminal. It is handed to the machine when it is needed, and the port is gone
behind it: no base image, and no captured state, knows of either.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from importlib import resources

from ingot.errors import MachineLostError
from ingot.machine.contract import Terminal

_HEAD = struct.Struct(">cH")
_LARGEST = 32 * 1024
_KILLED = 137


class QemuTerminal(Terminal):
    """See the contract. `reader` and `writer` lead to the port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._status: int | None = None
        self._head: tuple[bytes, int] | None = None  # of a frame whose body is still to come

    async def read(self) -> bytes:
        while self._status is None:
            try:
                kind, body = await self._frame()
            except (asyncio.IncompleteReadError, OSError):
                self._status = _KILLED
            else:
                if kind == b"o" and body:
                    return body
                if kind == b"x":
                    self._status = int(body) if body.isdigit() and len(body) <= 3 else _KILLED
        return b""

    async def write(self, typed: bytes) -> None:
        for start in range(0, len(typed), _LARGEST):
            await self._send(b"i", typed[start : start + _LARGEST])

    async def resize(self, cols: int, rows: int) -> None:
        await self._send(b"r", b"%d %d" % (cols, rows))

    async def wait(self) -> int:
        while await self.read():
            pass
        return _KILLED if self._status is None else self._status

    @property
    def over(self) -> bool:
        return self._status is not None

    def hang_up(self) -> None:
        self._writer.close()

    async def _frame(self) -> tuple[bytes, bytes]:
        """The next whole frame, also after a call that was cancelled within one."""
        if self._head is None:
            self._head = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
        kind, length = self._head
        body = await self._reader.readexactly(length)
        self._head = None
        return kind, body

    async def _send(self, kind: bytes, body: bytes) -> None:
        if self._status is None:
            with contextlib.suppress(OSError):
                self._writer.write(_HEAD.pack(kind, len(body)) + body)
                await self._writer.drain()


async def connect_terminal(place: str, cols: int, rows: int) -> QemuTerminal:
    """To a port's socket. Its first frame tells the other side that somebody is there. Raises MachineLostError."""
    try:
        terminal = QemuTerminal(*await asyncio.open_unix_connection(place))
    except OSError as error:
        raise MachineLostError(f"the machine is gone: {error.strerror}") from error
    await terminal.resize(cols, rows)
    return terminal


def server_program() -> bytes:
    return (resources.files("ingot.machine.qemu") / "terminal_server.pl").read_bytes()
