"""The event streams that are open: limits, heartbeats, stalled readers, revoked keys, figures, and the drain.

One task looks after all of them once a second. A viewer is never refused for a limit: the oldest stream of the key that
has most makes room, and its client, which comes back with its id, loses nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ingot.api.client_side import COMMENT
from ingot.api.direct_lane import Lane
from ingot.troubles import Troubles

if TYPE_CHECKING:
    from ingot.events.log import StoredLog

_SWEEP = 1.0
_REVOKED_SWEEP = 2.0
_DRAIN_STEP = 0.02

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """How many streams may be open in this process, and of one account."""

    process: int = 10_000
    account: int = 6_000


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """Since the start: streams opened, of them resumed, frames sent (to within a block of 64 KiB for streams that are
    open), and streams ended by the server, by reason. Now: how far the last reader is behind, in bytes."""

    opened: int = 0
    resumed: int = 0
    frames: int = 0
    ended: Mapping[str, int] = field(default_factory=dict)
    lag_bytes: int = 0


class Client(Protocol):
    """Who reads a stream."""

    @property
    def stopped(self) -> bool: ...

    def stop(self, *, come_back: bool = True) -> None:
        """Ends the stream at the next moment; `come_back` asks the client for a longer pause first."""

    def cut_off(self) -> None:
        """Ends the connection without waiting for the client."""


class OpenStream:
    """One open stream: whose it is, what it reads (None: it waits for a first build), and how far it is."""

    __slots__ = ("account", "client", "counted", "key_id", "lane", "log", "offset", "session")

    def __init__(self, account: str, key_id: str, log: StoredLog | None, client: Client, session: str = "") -> None:
        self.account = account
        self.key_id = key_id
        self.session = session
        self.log = log
        self.client = client
        self.lane: Lane | None = None
        self.offset = -1
        self.counted = 0

    def take_lane(self, lane: Lane) -> None:
        assert self.log is not None
        self.lane, self.offset = lane, lane.offset
        self.counted = self.log.seq_near(lane.offset)
        if self.client.stopped:
            lane.stop()

    def drop_lane(self) -> None:
        if self.lane is not None:
            self.offset, self.lane = self.lane.offset, None

    def end(self, *, come_back: bool = True) -> None:
        """Ends the stream without a terminal frame."""
        self.client.stop(come_back=come_back)
        if self.lane is not None:
            self.lane.stop()

    def count_frames(self) -> int:
        """Frames sent since the last call."""
        offset = self.lane.offset if self.lane is not None else self.offset
        if offset < 0 or self.log is None:
            return 0
        seq = self.log.seq_near(offset)
        fresh, self.counted = max(0, seq - self.counted), max(seq, self.counted)
        return fresh

    def count_lag(self) -> int:
        """Bytes that exist and have not been sent."""
        offset = self.lane.offset if self.lane is not None else self.offset
        return self.log.end - offset if self.log is not None and offset >= 0 else 0


class OpenStreams:
    """Use within one event loop. `is_live` tells of a key's id and a session whether they still open streams."""

    def __init__(
        self,
        *,
        heartbeat: float,
        stall: float,
        limits: StreamLimits,
        is_live: Callable[[str, str], Awaitable[bool]] | None,
    ) -> None:
        self._heartbeat = heartbeat
        self._stall = stall
        self._limits = limits
        self._is_live = is_live
        self._streams: dict[OpenStream, None] = {}
        self._opened = self._resumed = self._frames = 0
        self._ended = {"limit": 0, "revoked": 0, "stalled": 0, "drain": 0}
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False
        self._troubles = Troubles(_log)

    def __len__(self) -> int:
        return len(self._streams)

    @contextlib.contextmanager
    def joined(self, stream: OpenStream, *, resumed: bool = False) -> Iterator[OpenStream]:
        """The stream is open within this context."""
        self.join(stream, resumed=resumed)
        try:
            yield stream
        finally:
            self.leave(stream)

    def join(self, stream: OpenStream, *, resumed: bool = False) -> None:
        """The stream is open from now on, until `leave`."""
        self._opened += 1
        self._resumed += resumed
        self._streams[stream] = None
        self._make_room(stream.account)
        if self._closing:
            stream.end()
        elif self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep(), name="event streams")

    def leave(self, stream: OpenStream) -> None:
        del self._streams[stream]
        self._frames += stream.count_frames()

    def count_whole(self, log: StoredLog) -> None:
        """A stream that was opened, sent all of a log, and ended, at once."""
        self._opened += 1
        self._frames += log.next_seq

    def measure(self) -> StreamFigures:
        """The figures as they are now."""
        self._frames += sum(stream.count_frames() for stream in self._streams)
        lag = max((stream.count_lag() for stream in self._streams), default=0)
        return StreamFigures(self._opened, self._resumed, self._frames, dict(self._ended), lag)

    async def aclose(self, spread: float) -> None:
        """Ends all streams in random order, spread over `spread` seconds."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        leaving = list(self._streams)
        random.shuffle(leaving)
        loop = asyncio.get_running_loop()
        began, count = loop.time(), len(leaving)
        while leaving:
            due = count if not spread else min(count, int((loop.time() - began) / spread * count) + 1)
            while len(leaving) > count - due:
                self._end(leaving.pop(), "drain")
            if leaving:
                await asyncio.sleep(_DRAIN_STEP)

    def _end(self, stream: OpenStream, reason: str) -> None:
        if stream in self._streams and not stream.client.stopped:
            self._ended[reason] += 1
            stream.end(come_back=reason != "revoked")

    def _make_room(self, account: str) -> None:
        own = [stream for stream in self._streams if stream.account == account and not stream.client.stopped]
        if len(own) > self._limits.account:
            self._evict(own)
        elif len(self._streams) > self._limits.process:
            self._evict([stream for stream in self._streams if not stream.client.stopped])

    def _evict(self, streams: list[OpenStream]) -> None:
        """Ends the oldest stream of the key that has most of these."""
        counts = Counter((stream.account, stream.key_id) for stream in streams)
        most = counts.most_common(1)[0][0]
        self._end(next(stream for stream in streams if (stream.account, stream.key_id) == most), "limit")

    async def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        interval = min(_SWEEP, self._heartbeat / 15, self._stall / 4)
        checked = loop.time()
        while True:
            await asyncio.sleep(interval)
            now = loop.time()
            for stream in tuple(self._streams):
                try:
                    self._look_after(stream, now)
                except Exception:
                    _log.exception("an event stream fails, so it is cut off", extra={"action": "stream_failed"})
                    stream.client.cut_off()
            if self._is_live is not None and now - checked >= _REVOKED_SWEEP:
                checked = now
                await self._end_revoked(self._is_live)

    def _look_after(self, stream: OpenStream, now: float) -> None:
        lane = stream.lane
        if lane is None:
            return  # the ordinary way has its own clock
        if lane.is_idle:
            if now - lane.progress >= self._heartbeat:
                lane.send_comment(COMMENT)
        elif lane.is_stalled(self._stall):
            self._ended["stalled"] += 1
            stream.client.cut_off()

    async def _end_revoked(self, is_live: Callable[[str, str], Awaitable[bool]]) -> None:
        for whose in {(stream.key_id, stream.session) for stream in self._streams if stream.key_id}:
            live = True
            with self._troubles.outlived("asking which keys still open streams"):
                live = await is_live(*whose)
            if not live:
                for stream in [stream for stream in self._streams if (stream.key_id, stream.session) == whose]:
                    self._end(stream, "revoked")
