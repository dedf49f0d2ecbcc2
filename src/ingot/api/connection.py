"""uvicorn's connections, with what long event streams need of the socket underneath.

A bounded kernel send buffer (a stalled reader would pin megabytes), a time after which unacknowledged data ends the
connection, and the connection itself in the request's scope: a stream writes to its socket directly, is told when the
client goes, and can cut off a client that takes nothing. An application that is `Prompt` may answer a request that it
knows before it is parsed. Use: `uvicorn.Config(app, http=StreamingProtocol)` and sockets from `listen`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

CONNECTION = "ingot.connection"
"""The key of `scope["extensions"]` with the request's `Connection`."""

REQUEST = "ingot.request"
"""The same of the request's bytes, empty where they came in pieces or with others."""

Header = tuple[bytes, bytes]
_HEAD_END = b"\r\n\r\n"

_SEND_BUFFER = 128 * 1024
_DEAD_PEER_MS = 60_000
_BACKLOG = 8192


class Connection:
    """One client's connection. `on_lost` is called once, when it ends; until then `number` is its descriptor."""

    __slots__ = ("_kind", "lost", "number", "on_lost", "transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        self.lost = False
        self.on_lost: Callable[[], None] | None = None
        underneath = transport.get_extra_info("socket")
        self.number: int = underneath.fileno()
        self._kind = (underneath.family, underneath.type, underneath.proto)

    def abort(self) -> None:
        """Ends it without waiting for what was not sent."""
        self.transport.abort()

    def unsent(self) -> int:
        """Bytes that wait in this process."""
        return self.transport.get_write_buffer_size()

    def open_socket(self) -> socket.socket:
        """Another descriptor of the same connection, the caller's to close: it can be written and waited for beside
        the transport, and its number is never that of a later connection."""
        return socket.socket(*self._kind, fileno=os.dup(self.number))

    def mark_lost(self) -> None:
        self.lost = True
        callback, self.on_lost = self.on_lost, None
        if callback is not None:
            callback()


class PromptAnswer(Protocol):
    """The whole answer to a request whose bytes are known."""

    @property
    def closes(self) -> bool:
        """The connection ends with it."""

    def send(self, connection: Connection, defaults: Sequence[Header]) -> Rest | None:
        """Writes as much as the socket takes at once; None when that was everything, or the connection broke.
        `defaults` are the headers of every answer."""


class Rest(Protocol):
    """What is left of an answer."""

    def go_on(self, on_end: Callable[[], None]) -> None:
        """Writes it as the socket takes it. `on_end` is called when all is written, not when the connection
        breaks."""


class Prompt(Protocol):
    """An application that may have the answer to a request as it came, so that the request is not even parsed."""

    def find_answer(self, request: bytes) -> PromptAnswer | None: ...


class StreamingProtocol(HttpToolsProtocol):
    """One client connection, as uvicorn drives it."""

    _connection: Connection
    _rest: Rest | None = None
    _data = b""
    """The bytes that came, until a request has begun in them; empty when one had begun before."""
    _is_reading = False
    """A request has begun and not ended."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        # As the library does it, but that the addresses of both ends are looked up when a request needs them.
        self.connections.add(self)
        self.transport = transport
        self.flow = FlowControl(transport)
        self.scheme = "http"
        self._connection = Connection(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.mark_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._data = b"" if self._is_reading else data
        answer = self._find_answer(data)
        if answer is None:
            super().data_received(data)
            return
        self._unset_keepalive_if_required()
        self._rest = answer.send(self._connection, self.server_state.default_headers)
        if self._rest is not None:
            super().data_received(data)  # so that the library knows of a request that is being answered
        elif answer.closes:
            self.transport.close()
        else:
            self.on_response_complete()

    def on_message_begin(self) -> None:
        self._is_reading = True
        if self.server is None:
            self.server, self.client = get_local_addr(self.transport), get_remote_addr(self.transport)
        super().on_message_begin()
        data, self._data = self._data, b""
        request = data if data.find(_HEAD_END) == len(data) - len(_HEAD_END) else b""
        extensions: dict[str, object] = {CONNECTION: self._connection, REQUEST: request}
        self.scope["extensions"] = extensions  # type: ignore[typeddict-item]

    def on_message_complete(self) -> None:
        self._is_reading = False
        super().on_message_complete()

    def _find_answer(self, data: bytes) -> PromptAnswer | None:
        """The known answer to what came, when that is a whole request and its turn has come."""
        find = getattr(self.config.app, "find_answer", None)
        cycle = cast(
            "RequestResponseCycle | None", self.cycle
        )  # the library's type leaves out the time before the first
        is_answering = cycle is not None and not cycle.response_complete
        if find is None or self._is_reading or is_answering or self._connection.unsent():
            return None
        found: PromptAnswer | None = find(data)
        return found

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """What the library does with a request whose turn it is."""
        rest, self._rest = self._rest, None
        if rest is None:
            super()._start_asgi_task(cycle, app)
            return

        def end() -> None:
            cycle.response_complete = True
            if not cycle.keep_alive:
                self.transport.close()
            cycle.on_response()

        rest.go_on(end)


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket whose connections have what event streams need. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    # Connections take these over from the socket that accepts them.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_PEER_MS)
    return listener
