"""Many clients in one loop, as cheap as Python allows: sockets, epoll, one large buffer; they count bytes or frames."""

from __future__ import annotations

import re
import select
import socket
import time

_BUFFER = bytearray(1 << 20)
_STAMP = re.compile(rb'"line":"(\d{15}) ')


class Watchers:
    """`count` connections that have sent `request`."""

    def __init__(self, port: int, request: bytes, count: int) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.received: dict[int, int] = {}
        self.epoll = select.epoll()
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            client.sendall(request)
            client.setblocking(False)
            self.sockets[client.fileno()] = client
            self.received[client.fileno()] = 0
            self.epoll.register(client, select.EPOLLIN)

    def close(self) -> None:
        for client in self.sockets.values():
            client.close()
        self.epoll.close()

    def settle(self, seconds: float = 1.0) -> None:
        """Takes what comes first (headers) and forgets it, until nothing has come for `seconds`."""
        while events := self.epoll.poll(seconds):
            for number, _ in events:
                self.sockets[number].recv_into(_BUFFER)

    def drain(self, enough: int, deadline: float) -> float:
        """Reads until every client has `enough` bytes or was closed; returns when the last had them."""
        view, open_ = memoryview(_BUFFER), set(self.sockets)
        finished = time.monotonic()
        while open_:
            events = self.epoll.poll(1.0)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(open_)} of {len(self.sockets)} clients have not got everything")
            for number, _ in events:
                count = self.sockets[number].recv_into(view)
                self.received[number] += count
                if not count or self.received[number] >= enough:
                    self.epoll.unregister(number)
                    open_.discard(number)
                    finished = time.monotonic()
        return finished

    def latencies(self, lines: int, deadline: float) -> list[float]:
        """Seconds from the time in each line to its receipt, over all clients."""
        seen: list[float] = []
        open_ = set(self.sockets)
        while open_:
            for number, _ in self.epoll.poll(1.0):
                chunk = self.sockets[number].recv(1 << 20)
                now = time.monotonic_ns()
                seen += [(now - int(stamp)) / 1e9 for stamp in _STAMP.findall(chunk)]
                if not chunk or b'"result"' in chunk:
                    self.epoll.unregister(number)
                    open_.discard(number)
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(open_)} clients have not seen the end of {lines} lines")
        return sorted(seen)
