"""The event stream of one attempt that comes back by itself: every frame once, in order, to the terminal one.

A broken connection, a silent one, a 429 and any 5xx are tried again from the last frame's id, with growing pauses,
until `Patience.give_up_after` seconds passed without progress. What cannot get better by waiting (401, 404, a frame
that is none, an attempt that was replaced) is raised at once. A frame that was seen is never given twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from ingot.client.frames import Frame, FrameReader
from ingot.client.http import error_from, open_stream
from ingot.errors import CapacityError, IngotError, ServerError, StreamLostError, UnreachableError
from ingot.records.event import FrameId

_LONGEST_PAUSE = 10.0
_STEADY = 10.0
_open = contextlib.asynccontextmanager(open_stream)


@dataclass(frozen=True, slots=True)
class Patience:
    """`silence`: seconds without a byte after which a connection counts as dead (three heartbeats);
    `give_up_after`: seconds without progress after which the stream counts as lost."""

    silence: float = 45.0
    give_up_after: float = 120.0


@dataclass(frozen=True, slots=True)
class Retry:
    """Told before each pause: why, which try comes next (from 1), and in how many seconds."""

    why: str
    tries: int
    wait: float


class Follower:
    """`on_retry` is told each pause; `on_connect` the server's clock minus ours in seconds (None when unknown)."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        path: str,
        *,
        attempt: int | None = None,
        live: bool = True,
        patience: Patience | None = None,
        on_retry: Callable[[Retry], None] | None = None,
        on_connect: Callable[[float | None], None] | None = None,
    ) -> None:
        self._http = http
        self._path = path
        self._attempt = attempt
        self._live = live
        self._patience = patience or Patience()
        self._on_retry = on_retry or (lambda _: None)
        self._on_connect = on_connect or (lambda _: None)
        self._last: FrameId | None = None
        self._connected = False
        self._tries = 0
        self._progress = 0.0
        self._retry_ms: int | None = None
        self._sent_away = False
        self._asked_again = False

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Ends after the terminal frame, or, with `live` off, where the log ends now. StreamLostError when patience
        is at its end, and what the server says of a key that was revoked meanwhile."""
        self._progress = _now()
        while True:
            try:
                async with contextlib.aclosing(self._connection()) as connection:
                    async for frame in connection:
                        yield frame
                        if frame.end is not None:
                            return
                if not self._live and not self._sent_away:
                    if self._asked_again:
                        return
                    self._asked_again = True  # a stream whose key was revoked ended the same way
                    continue
                why = f"the stream ended before the {'build' if self._live else 'log'} did"
            except (_AgainError, UnreachableError) as error:
                if not self._connected and isinstance(error, UnreachableError):
                    raise
                why = error.message
            await self._pause(why)

    async def _connection(self) -> AsyncGenerator[Frame, None]:
        reader, self._sent_away = FrameReader(), False
        query = {} if self._live else {"follow": "0"}
        if self._attempt is not None:
            query["attempt"] = str(self._attempt)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self._last is not None:
            headers["Last-Event-ID"] = str(self._last)
        async with _open(
            self._http, self._path, query=query, headers=headers, silence=self._patience.silence
        ) as response:
            await self._check(response)
            self._connected, began = True, _now()
            self._on_connect(_clock_offset(response.headers.get("date")))
            async for chunk in response.aiter_bytes():
                for frame in reader.feed(chunk):
                    if self._accept(frame):
                        yield frame
                if _now() - began > _STEADY:
                    self._made_progress()
                self._retry_ms, self._sent_away = reader.retry_ms, reader.is_sent_away

    async def _check(self, response: httpx2.Response) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if response.status_code == 200 and kind == "text/event-stream":
            return
        if response.status_code == 204:
            raise StreamLostError(
                "the server says that the stream is over, but its end never came", hint="run `ingot status`"
            )
        if response.is_success:
            raise ServerError(
                f"the server answered {kind or 'no type'} instead of an event stream", hint="is it an Ingot server?"
            )
        await response.aread()
        error = error_from(response.status_code, response.headers, response.content, str(self._http.base_url))
        if isinstance(error, (CapacityError, ServerError)):
            raise _AgainError(error.message) from error
        raise error

    def _accept(self, frame: Frame) -> bool:
        """False for a frame that was seen; raises when the stream does not go on where it broke off."""
        last = self._last
        if last is None:
            self._attempt = frame.id.attempt
        elif frame.id.attempt != last.attempt:
            raise StreamLostError(
                f"attempt {last.attempt} was followed, the server now sends attempt {frame.id.attempt}",
                hint="run `ingot logs` to see it",
            )
        elif frame.id.seq <= last.seq:
            return False
        elif frame.id.seq != last.seq + 1:
            raise _AgainError(f"frames between {last} and {frame.id} are missing")
        self._last = frame.id
        self._made_progress()
        return True

    def _made_progress(self) -> None:
        self._progress, self._tries = _now(), 0

    async def _pause(self, why: str) -> None:
        waited = _now() - self._progress
        if waited >= self._patience.give_up_after:
            raise StreamLostError(
                f"the event stream is lost: {why}; tried again for {waited:.0f} s",
                hint="the build goes on without a watcher: `ingot status` tells how it is",
            )
        self._tries += 1
        wait = self._next_wait()
        self._on_retry(Retry(why, self._tries, wait))
        await asyncio.sleep(min(wait, self._patience.give_up_after - waited))

    def _next_wait(self) -> float:
        """The first pause is short, a drain's longer `retry` is honoured, and watchers do not come back in step."""
        asked = (self._retry_ms or 1000) / 1000
        first = asked if asked > 2 else 0.25
        return float(min(first * 2 ** (self._tries - 1), _LONGEST_PAUSE) * random.uniform(0.7, 1.0))  # noqa: S311 spread


class _AgainError(IngotError):
    """This connection is of no use; another one may be."""


def _clock_offset(date: str | None) -> float | None:
    if not date:
        return None
    try:
        return (parsedate_to_datetime(date) - datetime.now(UTC)).total_seconds()
    except ValueError:
        return None


def _now() -> float:
    return asyncio.get_running_loop().time()
