"""uvicorn's connections, with what long event streams need of the socket underneath.

A bounded kernel send buffer (a stalled reader would pin megabytes), a time after which unacknowledged data ends the
connection, and the connection itself in the request's scope: a stream writes to its socket directly, is told when the
client goes, and can cut off a client that takes nothing. Use: `uvicorn.Config(app, http=StreamingProtocol)`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

CONNECTION = "ingot.connection"
"""The key of `scope["extensions"]` with the request's `Connection`."""

_SEND_BUFFER = 128 * 1024
_DEAD_PEER_MS = 60_000
_INTERNET = (socket.AF_INET, socket.AF_INET6)


class Connection:
    """One client's connection. `on_lost` is called once, when it ends."""

    __slots__ = ("lost", "on_lost", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.lost = False
        self.on_lost: Callable[[], None] | None = None

    def abort(self) -> None:
        """Ends it without waiting for what was not sent."""
        self.transport.abort()

    def unsent(self) -> int:
        """Bytes that wait in this process."""
        return self.transport.get_write_buffer_size()

    def open_socket(self) -> socket.socket:
        """Another descriptor of the same connection, the caller's to close: it can be written and waited for beside
        the transport, and its number is never that of a later connection."""
        return socket.socket(fileno=os.dup(self.transport.get_extra_info("socket").fileno()))

    def mark_lost(self) -> None:
        self.lost = True
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()


class StreamingProtocol(HttpToolsProtocol):
    """One client connection, as uvicorn drives it."""

    _connection: Connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._connection = Connection(transport)
        underneath = transport.get_extra_info("socket")
        if underneath is not None and underneath.family in _INTERNET:
            # A duplicate: uvloop's own socket object does not take options.
            with self._connection.open_socket() as options:
                options.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                options.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                options.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.mark_lost()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, object] = {CONNECTION: self._connection}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]
