"""uvicorn's connections, with what long event streams need of the socket underneath.

A bounded kernel send buffer (a stalled reader would pin megabytes), a time after which unacknowledged data ends the
connection, and the transport in the request's scope, so that a reader that takes nothing can be cut off: closing
alone waits for it. Use: `uvicorn.Config(app, http=StreamingProtocol)`.
"""

from __future__ import annotations

import asyncio
import os
import socket

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

TRANSPORT = "ingot.transport"
"""The key of `scope["extensions"]` with the connection's `asyncio.Transport`."""

_SEND_BUFFER = 128 * 1024
_DEAD_PEER_MS = 60_000


class StreamingProtocol(HttpToolsProtocol):
    """One client connection."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        connection = transport.get_extra_info("socket")
        if connection is not None and connection.family in (socket.AF_INET, socket.AF_INET6):
            # A duplicate: uvloop's own socket object does not take options.
            with socket.socket(fileno=os.dup(connection.fileno())) as options:
                options.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
                options.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                options.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        extensions: dict[str, object] = {TRANSPORT: self.transport}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]
