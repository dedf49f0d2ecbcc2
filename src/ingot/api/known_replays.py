"""Requests for whole finished logs that were answered a moment ago: asked again, they are not even parsed.

A page that many people open, or fifty jobs that fetch one log, ask in the same words. What was found for those words
holds for as long as nothing was written to the database, and half a minute at most. Only answers that are sent from a
plain file, all of it, are kept here. Nothing here decides who may read what.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ingot.api.client_side import COMMENT, LONG_RETRY, RETRY
from ingot.api.connection import REQUEST, Connection, Header
from ingot.api.direct_lane import Lane, Turns, chunk_end, framed
from ingot.api.errors import new_request_id
from ingot.api.open_streams import OpenStream, OpenStreams
from ingot.storage.clock import now_ms

if TYPE_CHECKING:
    from ingot.api.client_side import Scope
    from ingot.events.log import StoredLog

_LAST_CHUNK = b"0\r\n\r\n"
_AFTER_FRAMES = b"\r\n" + _LAST_CHUNK
_FIRST_CHUNK = framed(COMMENT + RETRY)
_KEPT = 64
_SECONDS = 30.0
_WITH_BODY = frozenset({b"content-length", b"transfer-encoding", b"expect"})


@dataclass(frozen=True, slots=True)
class Found:
    """What a request was answered from: whose stream it is, the log, the headers but for the request's own id, what
    the look-ups stood on, and until when they hold in any case: a session ends in time without anything written."""

    account: str
    key_id: str
    session: str
    log: StoredLog
    headers: Sequence[Header]
    stamp: object
    until_ms: int | None = None


class KnownReplays:
    """Use within one event loop. `stamp` tells what look-ups stand on: an answer holds while it is the same."""

    def __init__(self, streams: OpenStreams, turns: Turns, stamp: Callable[[], object]) -> None:
        self.stamp = stamp
        self._streams = streams
        self._turns = turns
        self._known: dict[bytes, KnownReplay] = {}

    def find(self, request: bytes) -> KnownReplay | None:
        known = self._known.get(request)
        return known if known is not None and known.holds(self.stamp()) else None

    def keep(self, scope: Scope, found: Found) -> None:
        """Keeps an answer for a while, where the request was a plain one."""
        request = scope["extensions"][REQUEST]
        headers = dict(scope["headers"])
        if not request or scope["method"] != "GET" or scope["http_version"] != "1.1" or _WITH_BODY & headers.keys():
            return
        closes = headers.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        if request not in self._known:
            if len(self._known) >= _KEPT:
                del self._known[next(iter(self._known))]
            asyncio.get_running_loop().call_later(_SECONDS, self._known.pop, request, None)
        self._known[request] = KnownReplay(found, self._streams, self._turns, closes)


class KnownReplay:
    """The answer to one request. Fits `connection.PromptAnswer` by its shape."""

    __slots__ = ("_found", "_streams", "_turns", "closes")

    def __init__(self, found: Found, streams: OpenStreams, turns: Turns, closes: bool) -> None:
        self._found = found
        self._streams = streams
        self._turns = turns
        self.closes = closes

    def holds(self, stamp: object) -> bool:
        found = self._found
        in_time = found.until_ms is None or now_ms() < found.until_ms
        return found.stamp == stamp and in_time and not (found.log.expired or found.log.deleted)

    def send(self, connection: Connection, defaults: Sequence[Header]) -> RestOfReplay | None:
        log, head, sent = self._found.log, self._head(defaults), 0
        end = chunk_end(log, 0)
        lead = b"%b%b%x\r\n" % (head, _FIRST_CHUNK, end)
        try:
            with connection.open_socket() as sock:
                sent = sock.send(lead, socket.MSG_MORE)
                if sent == len(lead):
                    sent += os.sendfile(sock.fileno(), log.open_file(), 0, end)
                if sent == len(lead) + log.end:
                    last = sock.send(_AFTER_FRAMES)
                    if last < len(_AFTER_FRAMES):
                        connection.transport.write(_AFTER_FRAMES[last:])
                    self._streams.count_whole(log)
                    return None
        except BlockingIOError:
            pass
        except OSError:
            connection.abort()
            return None
        return RestOfReplay(self._found, self._streams, self._turns, connection, head + _FIRST_CHUNK, sent)

    def _head(self, defaults: Sequence[Header]) -> bytes:
        """Status line and headers, as the library would write them."""
        lines = b"".join([b"%b: %b\r\n" % header for header in (*defaults, *self._found.headers)])
        closing = b"connection: close\r\n" if self.closes else b""
        ends = b"x-request-id: %b\r\n%btransfer-encoding: chunked\r\n\r\n" % (new_request_id().encode(), closing)
        return b"HTTP/1.1 200 OK\r\n" + lines + ends


class RestOfReplay:
    """An answer of which `sent` bytes have gone. A client of open streams, and `connection.Rest`, by its shape."""

    __slots__ = ("_come_back", "_connection", "_found", "_lane", "_on_end", "_stream", "_streams", "stopped")

    def __init__(
        self, found: Found, streams: OpenStreams, turns: Turns, connection: Connection, head: bytes, sent: int
    ) -> None:
        self._found = found
        self._streams = streams
        self._connection = connection
        self._lane = Lane.of_whole(found.log, connection, turns, head, sent)
        self._stream = OpenStream(found.account, found.key_id, found.log, self, found.session)
        self._come_back = True
        self.stopped = False

    def go_on(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._streams.join(self._stream)
        self._stream.take_lane(self._lane)
        self._lane.done.add_done_callback(self._end)
        self._lane.start()

    def stop(self, *, come_back: bool = True) -> None:
        self.stopped, self._come_back = True, come_back

    def cut_off(self) -> None:
        self._connection.abort()

    def _end(self, _: object) -> None:
        self._stream.drop_lane()
        self._streams.leave(self._stream)
        self._lane.close()
        if self._lane.failed:
            self._connection.abort()
            return
        asks = framed(LONG_RETRY) if self.stopped and self._come_back else b""
        self._connection.transport.write(asks + _LAST_CHUNK)
        self._on_end()
