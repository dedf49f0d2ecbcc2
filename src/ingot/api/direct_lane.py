"""A stream of stored frames straight to a client's socket: no task switch, no copy and no memory for each reader.

A lane is a place in the log and a place in the chunk that is being sent, nothing more. Small batches are encoded as an
HTTP chunk once and shared by all lanes at the same place; larger ones go from the file by `sendfile`. Whoever appends
never waits for a lane: ready lanes take turns on the event loop. It sends bytes as they are stored, the headers and
the end of the answer are not its business.
"""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import termios
from collections import deque
from typing import TYPE_CHECKING

from ingot.api.connection import Connection
from ingot.errors import CorruptStoreError

if TYPE_CHECKING:
    from ingot.events.log import StoredLog

_SMALL = 16 * 1024
"""Batches up to this size are sent from memory, shared; larger ones from the file."""

_CHUNK = 1024 * 1024
_TURN_BYTES = 1024 * 1024
_TURN_SECONDS = 0.004
_SHARED = 16


class Turns:
    """Lets ready lanes send in turn, some milliseconds at a time, so that the loop stays free for others."""

    def __init__(self) -> None:
        self._ready: deque[Lane] = deque()
        self._scheduled = False
        self._wires: dict[tuple[int, int, int], bytes] = {}

    def add(self, lane: Lane) -> None:
        """The lane may be able to send."""
        if not lane.queued:
            lane.queued = True
            self._ready.append(lane)
            self._schedule()

    def shared_wire(self, log: StoredLog, begin: int, end: int) -> bytes | None:
        """Bytes [begin, end) of the log as they go out, None when they are not in memory. Made once for all."""
        key = (id(log), begin, end)
        wire = self._wires.get(key)
        if wire is None:
            content = log.in_memory(begin)
            if content is None or len(content) < end - begin:
                return None
            content = content[: end - begin]
            wire = framed(content)
            if len(self._wires) >= _SHARED:
                self._wires.clear()
            self._wires[key] = wire
        return wire

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def _run(self) -> None:
        self._scheduled = False
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TURN_SECONDS
        while self._ready:
            lane = self._ready.popleft()
            lane.queued = False
            lane.push()
            if loop.time() > deadline:
                break
        if self._ready:
            self._schedule()
        else:
            self._wires.clear()


class Lane:
    """One reader. `done` is set when nothing more will be sent: the log ended, `until` was reached, `stop` was called
    (between two chunks), the client went, or the log must be read in another way from `offset` on."""

    __slots__ = (
        "_blocked", "_body_end", "_connection", "_file", "_lead", "_log", "_loop", "_opening", "_outq",
        "_sock", "_stopping", "_trail", "_turns", "_until", "done", "failed", "offset", "progress", "queued",
    )  # fmt: skip

    @classmethod
    def of_whole(cls, log: StoredLog, connection: Connection, turns: Turns, head: bytes, sent: int) -> Lane:
        """For all of a finished log; `head` goes before it, in one piece with the first chunk. Of these `sent` bytes
        have gone, at most the first chunk."""
        lane = cls(log, 0, connection, turns, opening=b"", until=log.end)
        lane._begin(chunk_end(log, 0))
        lead = head + lane._lead
        lane._lead, past = lead[sent:], max(0, sent - len(lead))
        lane.offset = min(past, lane._body_end)
        lane._trail = lane._trail[past - lane.offset :]
        return lane

    def __init__(
        self,
        log: StoredLog,
        offset: int,
        connection: Connection,
        turns: Turns,
        *,
        opening: bytes,
        until: int | None,
    ) -> None:
        self._log = log
        self._connection = connection
        self._turns = turns
        self._until = until
        self._loop = asyncio.get_running_loop()
        self._sock = connection.open_socket()
        self._file = -1
        self._opening = opening
        self._lead = b""
        self._trail = b""
        self._body_end = offset
        self._blocked = False
        self._stopping = False
        self._outq = 0
        self.offset = offset
        self.queued = False
        self.failed = False
        self.progress = self._loop.time()
        self.done: asyncio.Future[None] = self._loop.create_future()
        connection.on_lost = self._lose

    # --- what others ask

    def start(self) -> None:
        self._turns.add(self)

    def wake(self) -> None:
        """There is more in the log, or it is over."""
        self._turns.add(self)

    def stop(self) -> None:
        """Ends the lane behind the chunk that is being sent."""
        self._stopping = True
        self._turns.add(self)

    def close(self) -> None:
        """Lets go of everything. To be called when `done` is set, or to give up."""
        self._log.stop_awaiting(self)
        self._connection.on_lost = None
        self._unblock()
        self._sock.close()
        self._finish()

    @property
    def is_idle(self) -> bool:
        """Everything that exists has been handed to the kernel."""
        return not self.done.done() and not self._has_chunk() and not self._blocked

    def send_comment(self, comment: bytes) -> None:
        """Sends a heartbeat. Only while idle."""
        self._lead = framed(comment)
        self._turns.add(self)

    def is_stalled(self, seconds: float) -> bool:
        """The client has taken nothing for so long while something waits for it. To be asked again and again."""
        if not self._blocked:
            return False
        waiting = array.array("i", [0])
        fcntl.ioctl(self._sock, termios.TIOCOUTQ, waiting)
        if waiting[0] != self._outq:
            self._outq, self.progress = waiting[0], self._loop.time()
        return self._loop.time() - self.progress >= seconds

    # --- sending

    def push(self) -> None:
        """Sends what there is, as much as the socket takes, at most one turn's worth."""
        if self.done.done() or self._blocked:
            return
        try:
            self._send_turn()
        except (BlockingIOError, InterruptedError):
            self._block()
        except OSError:
            self._lose()
        except CorruptStoreError:
            self.failed = True
            self._finish()

    def _send_turn(self) -> None:
        left = _TURN_BYTES
        while left > 0:
            if self._has_chunk():
                left -= self._send_chunk()
            elif self._stopping or self._at_end():
                self._finish()
                return
            elif self._log.end == self.offset:
                self._log.await_more(self)
                return
            elif self._opening:
                self._lead, self._opening = framed(self._opening), b""
            elif not self._next_chunk():
                self._finish()
                return
        self._turns.add(self)

    def _at_end(self) -> bool:
        if self._until is not None:
            return self.offset >= self._until
        return self._log.deleted or (self._log.is_over and self.offset >= self._log.end)

    def _has_chunk(self) -> bool:
        return bool(self._lead or self._trail) or self.offset < self._body_end

    def _next_chunk(self) -> bool:
        """Begins the next chunk; a small one is sent at once when the socket takes it. False when the log's bytes
        can be had neither from memory nor from a plain file."""
        end = chunk_end(self._log, self.offset)
        if self._until is not None:
            end = min(end, self._until)
        if end - self.offset <= _SMALL:
            wire = self._turns.shared_wire(self._log, self.offset, end)
            if wire is not None:
                self._sent(wire, self._sock.send(wire), end)
                return True
        if self._file < 0:
            found = self._log.file_range(self.offset)
            if found is None:
                return False
            self._file = found[0]
        self._begin(end)
        return True

    def _begin(self, end: int) -> None:
        self._body_end = end
        self._lead, self._trail = b"%x\r\n" % (end - self.offset), b"\r\n"

    def _sent(self, wire: bytes, count: int, end: int) -> None:
        """`count` bytes of a whole chunk went out; what is left goes the other way."""
        self.progress = self._loop.time()
        if count == len(wire):
            self.offset = self._body_end = end
            return
        lead = wire.index(b"\n") + 1
        size = end - self.offset
        self._lead, self._trail = wire[count:lead], wire[max(count, lead + size) :]
        self._body_end = end
        self.offset += min(max(0, count - lead), size)

    def _send_chunk(self) -> int:
        """One call's worth of the chunk that is under way; the number of bytes that went out."""
        if self._lead:
            more = socket.MSG_MORE if self.offset < self._log.end else 0
            count = self._sock.send(self._lead, more)
            self._lead = self._lead[count:]
        elif self.offset < self._body_end:
            count = self._send_body()
        else:
            count = self._sock.send(self._trail)
            self._trail = self._trail[count:]
        self.progress = self._loop.time()
        return count

    def _send_body(self) -> int:
        if self._file < 0:
            found = self._log.file_range(self.offset)
            if found is None:
                return self._send_from_memory()
            self._file = found[0]
        count = os.sendfile(self._sock.fileno(), self._file, self.offset, self._body_end - self.offset)
        if not count:
            raise CorruptStoreError("an event log is shorter than it was", hint="restore it from a backup")
        self.offset += count
        return count

    def _send_from_memory(self) -> int:
        content = self._log.in_memory(self.offset)
        if content is None:
            raise CorruptStoreError("an event log went away while it was sent", hint="reconnect with the last id")
        count = self._sock.send(memoryview(content)[: self._body_end - self.offset])
        self.offset += count
        return count

    # --- waiting for the socket, ending

    def _block(self) -> None:
        self._blocked, self._outq = True, 0
        self._loop.add_writer(self._sock.fileno(), self._unblock_and_push)

    def _unblock(self) -> None:
        if self._blocked:
            self._blocked = False
            self._loop.remove_writer(self._sock.fileno())

    def _unblock_and_push(self) -> None:
        self._unblock()
        self._turns.add(self)

    def _lose(self) -> None:
        self.failed = True
        self._finish()

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


def chunk_end(log: StoredLog, offset: int) -> int:
    """The end of the chunk that begins at `offset`: behind a whole frame, so that a stream may end there."""
    return log.frames_end(offset, _CHUNK)


def framed(content: bytes) -> bytes:
    """Bytes as an HTTP chunk: the library sends bodies without a length in chunks, whatever version was asked for."""
    return b"%x\r\n%b\r\n" % (len(content), content)
