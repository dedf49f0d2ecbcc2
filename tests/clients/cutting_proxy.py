"""A TCP proxy that breaks connections off."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence


class CuttingProxy:
    """Connection `n` is reset when `cuts[n]` bytes of the answer have passed; later ones are left alone."""

    def __init__(self, port: int, cuts: Sequence[int]) -> None:
        self._port = port
        self._cuts = list(cuts)
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """The proxy's address."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        finally:
            server.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Resets the connections that are open now."""
        for task in tuple(self._tasks):
            task.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a browser also opens connections that it then does not need
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        left = self._cuts.pop(0) if b"/build/events" in request and self._cuts else None
        self.connections += b"/build/events" in request
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            upstream.write(request.replace(b"keep-alive", b"close"))
            while chunk := await upstream_reader.read(16_384 if left is None else min(left, 16_384)):
                writer.write(chunk)
                await writer.drain()
                if left is not None and (left := left - len(chunk)) <= 0:
                    await asyncio.sleep(0.05)  # a reset would take back what the client has not read
                    return
        finally:
            upstream.transport.abort()
