"""The virtio ports that commands speak through: each is one command's at a time, and free again when that has ended."""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from ingot.errors import MachineLostError
from ingot.machine.qemu.hardware import PORTS, Places
from ingot.machine.qemu.output import End, Mark
from ingot.process import Sink

_CHUNK = 64 * 1024
_SAFELY_LEFT = 64 * 1024
"""Input that a command may leave unread: the machine drops as much when the command's end of the port is closed. More
would wait in the link for the next command."""

Link = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Port:
    """A port while it is one command's, who gets `given` to read when it begins. `asked`: it may have begun."""

    def __init__(self, number: int, link: Link, nonce: str) -> None:
        self.number = number
        self.nonce = nonce
        self.given = b""
        self.asked = False
        self._reader, self._writer = link
        self._mark = Mark(nonce)
        self._sent = 0

    @property
    def ended(self) -> bool:
        return self._mark.end is not None

    @property
    def is_clean(self) -> bool:
        """Whether nothing of this command waits in the link."""
        return self._sent <= _SAFELY_LEFT

    async def read(self, sink: Sink) -> End:
        """Passes the command's output on until its end; goes on where it was when it is called again. Raises
        MachineLostError when the machine goes first."""
        while self._mark.end is None:
            chunk = b""
            with contextlib.suppress(OSError):
                chunk = await self._reader.read(_CHUNK)
            if not chunk:
                raise MachineLostError("the machine ended while a command ran")
            output = self._mark.feed(chunk)
            if self._mark.begun and self.given:
                self._writer.write(self.given)
                self._sent, self.given = len(self.given), b""
            if output:
                await sink(output)
        return self._mark.end

    def drop(self) -> None:
        """Ends the link, with all that waits in it."""
        self._writer.transport.abort()


class Ports:
    """All of a machine's; each is connected when it is first needed."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._links: dict[int, Link] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._free: asyncio.Queue[int] = asyncio.Queue()
        for number in range(PORTS):
            self._free.put_nowait(number)

    async def take(self, within: float) -> Port:
        """A port that no other command uses. Raises TimeoutError where none is free in time, MachineLostError."""
        async with asyncio.timeout(within):
            number = await self._free.get()
        try:
            if number not in self._links:
                self._links[number] = await asyncio.open_unix_connection(str(self._places.port(number)))
        except BaseException as error:
            self._free.put_nowait(number)
            if isinstance(error, OSError):
                raise MachineLostError(f"the machine is gone: {error.strerror}") from error
            raise
        return Port(number, self._links[number], secrets.token_hex(16))

    def give_back(self, port: Port) -> None:
        """One whose command has not ended, because it could not be killed, is free when that ends after all."""
        if port.asked and not port.ended:
            task = asyncio.create_task(self._read_on(port))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        else:
            self._release(port)

    async def close(self) -> None:
        for task in self._ending:
            task.cancel()
        await asyncio.gather(*self._ending, return_exceptions=True)
        for _, writer in self._links.values():
            writer.close()

    async def _read_on(self, port: Port) -> None:
        with contextlib.suppress(MachineLostError):
            await port.read(nowhere)
            self._release(port)

    def _release(self, port: Port) -> None:
        if not port.is_clean:
            port.drop()
            del self._links[port.number]
        self._free.put_nowait(port.number)


async def nowhere(_: bytes) -> None:
    """A sink for what nobody wants."""
