"""Many clients in one loop, as cheap as Python allows: sockets, epoll, one large buffer. A client is done when it has
the event with a `result`, the last of every log."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import time
from collections.abc import Callable, Iterator

_BUFFER = bytearray(1 << 20)
_VIEW = memoryview(_BUFFER)
_STAMP = re.compile(rb'"line":"(\d{15}) ')
_END = b'"result"'
_TAIL = 320
"""Bytes that hold the last event and what follows it."""


class Watchers:
    """`count` connections that have sent `request`."""

    def __init__(self, port: int, request: bytes, count: int) -> None:
        self.sockets: dict[int, socket.socket] = {}
        self.received: dict[int, int] = {}
        self.epoll = select.epoll()
        try:
            for _ in range(count):
                self._connect(port, request)
        except BaseException:
            self.close()
            raise

    def _connect(self, port: int, request: bytes) -> None:
        client = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.sockets[client.fileno()] = client
        self.received[client.fileno()] = 0
        client.sendall(request)
        client.setblocking(False)
        self.epoll.register(client, select.EPOLLIN)

    def close(self) -> None:
        for client in self.sockets.values():
            client.close()
        self.epoll.close()

    def settle(self, seconds: float) -> None:
        """Takes what comes first (headers) and forgets it, until nothing has come for `seconds`."""
        while events := self.epoll.poll(seconds):
            for number, _ in events:
                assert self.sockets[number].recv_into(_BUFFER), "a stream was cut off"

    def drain(self, deadline: float) -> float:
        """Reads until every client has the last event; returns when the last of them had it."""
        open_, tails = set(self.sockets), dict.fromkeys(self.sockets, b"")
        finished = time.monotonic()
        while open_:
            for number, _ in self.epoll.poll(1.0):
                count = self.sockets[number].recv_into(_BUFFER)
                assert count, "a stream was cut off"
                self.received[number] += count
                tails[number] = (tails[number] + bytes(_VIEW[max(0, count - _TAIL) : count]))[-_TAIL:]
                if _END in tails[number]:
                    self._done(number, open_)
                    finished = time.monotonic()
            _check(deadline, open_)
        return finished

    def latencies(self, deadline: float) -> list[float]:
        """Seconds from the time in each line to its receipt, over all clients, sorted."""
        return sorted((came - written) / 1e9 for written, came in self.stamped(deadline, _STAMP, time.monotonic_ns))

    def stamped(self, deadline: float, stamp: re.Pattern[bytes], clock: Callable[[], int]) -> list[tuple[int, int]]:
        """Of each line that `stamp` finds, over all clients: the time written in it, and the `clock` at its receipt."""
        seen: list[tuple[int, int]] = []
        open_, rests = set(self.sockets), dict.fromkeys(self.sockets, b"")
        while open_:
            for number, _ in self.epoll.poll(1.0):
                chunk = self.sockets[number].recv(1 << 20)
                now = clock()
                assert chunk, "a stream was cut off"
                whole, _, rests[number] = (rests[number] + chunk).rpartition(b"\n")
                seen += [(int(written), now) for written in stamp.findall(whole)]
                if _END in whole:
                    self._done(number, open_)
            _check(deadline, open_)
        return seen

    def _done(self, number: int, open_: set[int]) -> None:
        self.epoll.unregister(number)
        open_.discard(number)


@contextlib.contextmanager
def watching(port: int, request: bytes, count: int) -> Iterator[Watchers]:
    watchers = Watchers(port, request, count)
    try:
        yield watchers
    finally:
        watchers.close()


def _check(deadline: float, open_: set[int]) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(f"{len(open_)} clients have not seen the end")
