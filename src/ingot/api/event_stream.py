"""`GET /api/templates/{namespace}/{name}/{version}/build/events`: a build's events as server-sent events.

A raw ASGI application: headers and ends go through the server library, stored bytes straight to the client's socket
(`direct_lane`), or by ASGI messages where there is none. It never encodes an event, and knows builds only as far as
`resolve` tells it. docs/stream-contract.md is what clients may rely on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from ingot.api.client_side import COMMENT, RETRY, ClientSide, Receive, Scope, Send
from ingot.api.cors import CorsPolicy
from ingot.api.direct_lane import Lane, Turns
from ingot.api.errors import new_request_id
from ingot.api.host_names import check_host
from ingot.api.known_replays import Found, KnownReplay, KnownReplays
from ingot.api.log_document import is_document, last_wanted, send_document
from ingot.api.open_streams import OpenStream, OpenStreams, StreamFigures, StreamLimits
from ingot.api.session_cookie import session_token
from ingot.api.stream_format import CONTENT_TYPES, Format, convert
from ingot.api.stream_request import (
    StreamQuery,
    StreamRequest,
    bearer_token,
    choose_start,
    find_header,
    match_path,
    parse_query,
)
from ingot.errors import GoneError, NotFoundError, RequestError
from ingot.events.cursor import Cursor
from ingot.events.log import EventLogs, StoredLog

_LOOK_AGAIN = 15.0
"""Seconds after which a build that is waited for is looked for in any case."""

_TURN = 4
"""Batches after which a reader that takes everything at once lets others have their turn."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamTarget:
    """The attempt whose events are sent. It exists; its log may not have a frame yet. `account`, `key_id` and
    `session` are whose stream it is: limits count by the first two, and it ends when the key is revoked or the session
    is over. `until_ms` is when that is known to be at the latest."""

    build_id: str
    attempt: int
    account: str = ""
    key_id: str = ""
    session: str = ""
    until_ms: int | None = None


Resolve = Callable[[StreamRequest], Awaitable[StreamTarget]]


class NotBuiltError(NotFoundError):
    """A version has no build yet. `whose` are the account, the key's id and the session of who asks."""

    code = "not_built"

    def __init__(self, message: str, whose: tuple[str, str, str], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.whose = whose


class EventStream:
    """The endpoint. `resolve` authorises a request and finds its attempt; it raises RequestError, and for a
    version without a build NotBuiltError.

    `heartbeat` is the silence in seconds after which a comment is sent, `stall` the time after which a reader
    that takes nothing is cut off, `poll` how often a build that is waited for is looked for. `is_live` tells of a
    `key_id` and a `session` whether they still open streams; it is asked again every few seconds. While `stamp` gives
    the same, `resolve` would answer the same until `until_ms`; while `builds` does, no build has come to be. Without
    them nothing is assumed. `hosts` are those of `check_host`.
    """

    def __init__(
        self,
        logs: EventLogs,
        resolve: Resolve,
        *,
        heartbeat: float = 15,
        stall: float = 30,
        poll: float = 1,
        limits: StreamLimits = StreamLimits(),  # noqa: B008 - a frozen value
        is_live: Callable[[str, str], Awaitable[bool]] | None = None,
        cors: CorsPolicy | None = None,
        stamp: Callable[[], object] | None = None,
        builds: Callable[[], object] | None = None,
        hosts: frozenset[str] | None = None,
    ) -> None:
        self._logs = logs
        self._resolve = resolve
        self._heartbeat = heartbeat
        self._stall = stall
        self._poll = poll
        self._builds = builds or object
        self._hosts = hosts
        self._cors = cors or CorsPolicy()
        self._turns = Turns()
        self._streams = OpenStreams(heartbeat=heartbeat, stall=stall, limits=limits, is_live=is_live)
        self._known = KnownReplays(self._streams, self._turns, stamp or object)

    @staticmethod
    def matches(scope: Scope) -> bool:
        """Whether this endpoint answers for the path. Dispatch before any middleware that wraps `send`."""
        return scope["type"] == "http" and match_path(_raw_path(scope)) is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = new_request_id()
        reader = ClientSide(scope, receive, send, request_id, self._stall)
        reader.headers = self._cors.headers_for(find_header(scope["headers"], b"origin"))
        try:
            await self._answer(scope, reader)
        except RequestError as error:
            await reader.refuse(error)
        except asyncio.CancelledError:
            if not reader.stalled:
                raise
        except Exception as error:
            _log.exception("the event stream failed", extra={"action": "stream_failed", "request_id": request_id})
            if reader.started:
                raise
            await reader.refuse(error)
        finally:
            reader.close()

    def find_answer(self, request: bytes) -> KnownReplay | None:
        """The answer to a request for a whole finished log that was answered a moment ago: see `connection.Prompt`."""
        return self._known.find(request)

    def count_open(self) -> int:
        """How many streams are open now."""
        return len(self._streams)

    def figures(self) -> StreamFigures:
        """What has been streamed since the start."""
        return self._streams.measure()

    async def aclose(self, spread: float = 0) -> None:
        """Ends all open streams without a terminal frame, spread over `spread` seconds; clients come back after a
        longer pause. Streams that are opened from now on end at once."""
        await self._streams.aclose(spread)

    async def _answer(self, scope: Scope, reader: ClientSide) -> None:
        check_host(find_header(scope["headers"], b"host"), self._hosts)
        if scope["method"] == "OPTIONS":
            await reader.answer_options()
            return
        if scope["method"] not in ("GET", "HEAD"):
            await reader.refuse_method()
            return
        headers = scope["headers"]
        query = parse_query(
            scope["query_string"], find_header(headers, b"last-event-id"), find_header(headers, b"accept")
        )
        place = match_path(_raw_path(scope))
        if place is None:
            raise NotFoundError("there is nothing at this address", hint="see docs/stream-contract.md")
        request = _request_of(place, query, scope)
        stamp = self._known.stamp()
        try:
            target = await self._resolve(request)
        except NotBuiltError as error:
            if not (query.wait and query.follow):
                raise
            only_headers = scope["method"] == "HEAD"
            await self._wait_for_build(request, query, reader, error.whose, only_headers=only_headers)
            return
        log = await self._logs.awaited(target.build_id)
        if log.expired:
            why = f"the log of attempt {target.attempt} is older than logs are kept here, so it was removed"
            raise GoneError(why, hint="build again for a new one", code="log_expired")
        await self._replay(log, target, query, reader, scope, stamp)

    async def _replay(
        self, log: StoredLog, target: StreamTarget, query: StreamQuery, reader: ClientSide, scope: Scope, stamp: object
    ) -> None:
        start = choose_start(query, target.attempt, log.next_seq, over=log.terminal is not None)
        if query.tail and query.selection.selects and query.last_event_id is None:
            start = await last_wanted(log, query.selection, query.tail)
        headers = [
            (b"x-build-attempt", b"%d" % target.attempt),
            (b"x-build-resumed-from", start.resumed_from.encode()),
        ]
        if start.seq is None:
            await reader.answer_nothing_more(headers)
            return
        range_header = find_header(scope["headers"], b"range")
        only_headers = scope["method"] == "HEAD"
        opened = OpenStream(target.account, target.key_id, log, reader, target.session)
        if is_document(query, start, log):
            with self._streams.joined(opened):
                await send_document(log, query, reader, headers, range_header, only_headers=only_headers)
            return
        await reader.begin(headers, only_headers=only_headers, content_type=CONTENT_TYPES[query.format])
        if only_headers:
            return
        resumed = start.resumed_from not in ("start", "gap")
        with self._streams.joined(opened, resumed=resumed) as stream:
            until = None if query.follow else log.end
            as_stored = query.format is Format.SSE and not query.selection.selects
            if as_stored and reader.connection is not None and log.is_plain:
                if start.seq == 0 and log.terminal is not None and query.ticket is None:
                    whose = (target.account, target.key_id, target.session)
                    self._known.keep(scope, Found(*whose, log, reader.answered, stamp, target.until_ms))
                offset = await log.offset_of(start.seq)
                await self._send_direct(stream, reader, offset, until)
            else:
                await self._pump(log.cursor(start.seq), stream, reader, query, until=until)

    async def _send_direct(self, stream: OpenStream, reader: ClientSide, offset: int, until: int | None) -> None:
        """Sends frames from byte `offset` of the log on past the server library, to the end."""
        assert reader.connection is not None
        if not await reader.flushed():
            await reader.until_cut_off()
            return
        assert stream.log is not None
        lane = Lane(stream.log, offset, reader.connection, self._turns, opening=RETRY, until=until)
        stream.take_lane(lane)
        try:
            lane.start()
            await lane.done
        finally:
            stream.drop_lane()
            lane.close()
        if lane.failed:
            await reader.until_cut_off()
        await reader.end()

    async def _wait_for_build(
        self,
        request: StreamRequest,
        query: StreamQuery,
        reader: ClientSide,
        whose: tuple[str, str, str],
        *,
        only_headers: bool,
    ) -> None:
        """Sends heartbeats until a version that was never built has a build."""
        kind = CONTENT_TYPES[query.format]
        await reader.begin([(b"x-build-resumed-from", b"start")], only_headers=only_headers, content_type=kind)
        if only_headers:
            return
        reader.watch()
        account, key_id, session = whose
        with self._streams.joined(OpenStream(account, key_id, None, reader, session)) as stream:
            target = await self._first_build(request, reader, query.format)
            if target is not None:
                stream.log = await self._logs.awaited(target.build_id)
                await self._pump(stream.log.cursor(0), stream, reader, query, until=None)
            else:
                await reader.end(long_retry=query.format is Format.SSE)

    async def _first_build(self, request: StreamRequest, reader: ClientSide, wanted: Format) -> StreamTarget | None:
        """Waits for it; None when the version was deleted, the key was revoked, or the stream is over."""
        known, looked, spoke = None, 0.0, _now()
        while not reader.is_over:
            builds = self._builds()
            if builds != known or _now() - looked >= _LOOK_AGAIN:
                known, looked = builds, _now()
                try:
                    return await self._resolve(request)
                except NotBuiltError:
                    pass
                except RequestError:
                    return None
            await reader.pause(self._poll)
            if wanted is Format.SSE and _now() - spoke >= self._heartbeat:
                await reader.write(COMMENT)
                spoke = _now()
        return None

    async def _pump(
        self, cursor: Cursor, stream: OpenStream, reader: ClientSide, query: StreamQuery, *, until: int | None
    ) -> None:
        """Sends batches, converted, until the log ends, the reader goes, or byte `until` of the log is reached. Only
        event streams have heartbeats: the other formats have no comments."""
        is_sse = query.format is Format.SSE
        reader.watch()
        reader.on_over(cursor.wake)
        opening, turn, spoke = RETRY if is_sse else b"", 0, _now()
        try:
            while not reader.is_over:
                batch = b"" if until is not None and cursor.offset >= until > 0 else await cursor.read()
                if not batch and (until is not None or cursor.ended or reader.is_over):
                    break
                content = convert(batch, query.format, query.selection) if batch else b""
                if content:
                    await reader.write(opening + content if opening else content)
                    opening, spoke = b"", _now()
                elif is_sse and _now() - spoke >= self._heartbeat:
                    await reader.write(COMMENT)
                    spoke = _now()
                stream.offset, turn = cursor.offset, turn + 1
                if turn % _TURN == 0:
                    await asyncio.sleep(0)
                if not batch:
                    await cursor.wait(max(0.0, spoke + self._heartbeat - _now()) if is_sse else self._heartbeat)
        finally:
            cursor.close()
        await reader.end(long_retry=is_sse)


def _request_of(place: tuple[str, str, str], query: StreamQuery, scope: Scope) -> StreamRequest:
    """Raises what `session_token` does, where the cookie is what counts."""
    headers = scope["headers"]
    token, session = bearer_token(headers), None
    if token is None and query.ticket is None:
        session = session_token(headers, scope["scheme"], changes=False)
    return StreamRequest(*place, attempt=query.attempt, token=token, ticket=query.ticket, session=session)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _raw_path(scope: Scope) -> str:
    raw = scope.get("raw_path")
    return raw.decode("latin-1").partition("?")[0] if raw else str(scope["path"])
