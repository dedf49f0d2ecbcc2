"""What a client asked the event stream for, and where in the log that is. Pure.

A client's event id is never refused, whatever it looks like: a browser gives up for ever on any answer but 200.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from urllib.parse import parse_qsl, unquote

from ingot.api.stream_format import Format, Selection
from ingot.errors import RequestError
from ingot.records.event import FrameId, Level, Phase

_PATH = re.compile(r"/api/templates/([^/]+)/([^/]+)/([^/]+)/build/events")
_KEY_NAMES = frozenset({"key", "api_key", "apikey", "api-key", "token", "access_token", "authorization"})
_KEY_PREFIX = "sk_live_"
_FLAGS = {"1": True, "true": True, "0": False, "false": False}
_MAX_NUMBER = 999_999_999
_MAX_SOURCES = 20
_Name = TypeVar("_Name", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """Whose events: the template's name, `attempt` (None: the current one), and as they came the bearer `token`, else
    the `ticket`, else the `session` of a page's cookie."""

    namespace: str
    name: str
    version: str
    attempt: int | None
    token: str | None
    ticket: str | None = None
    session: str | None = None


@dataclass(frozen=True, slots=True)
class StreamQuery:
    """How the events are wanted. `last_event_id` is what the client sent, unchecked; `tail` is None for all;
    `wait`: a version that was never built is waited for; `download`: as a file."""

    attempt: int | None = None
    last_event_id: str | None = None
    follow: bool = True
    tail: int | None = None
    wait: bool = False
    format: Format = Format.SSE
    selection: Selection = field(default_factory=Selection)
    download: bool = False
    ticket: str | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Where to begin: `seq` is the first frame sent, None when the client has all of them. `resumed_from` is
    `start`, the id that is continued, or `gap` when earlier frames are left out on request."""

    seq: int | None
    resumed_from: str


def match_path(raw_path: str) -> tuple[str, str, str] | None:
    """(namespace, name, version) of an event stream's path as sent, still percent-encoded."""
    found = _PATH.fullmatch(raw_path)
    return None if found is None else (unquote(found[1]), unquote(found[2]), unquote(found[3]))


def bearer_token(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The bearer token of the Authorization header, None without one."""
    value = find_header(headers, b"authorization")
    scheme, _, token = (value or "").strip().partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def find_header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in headers if key.lower() == name), None)


def parse_query(query_string: bytes, header_id: str | None, accept: str | None = None) -> StreamQuery:
    """Reads the query; `header_id` is the Last-Event-ID header, which wins, `accept` the Accept header, which does not.
    RequestError for nonsense."""
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    _refuse_keys(pairs)
    query = dict(pairs)
    if len(query) != len(pairs):
        raise RequestError("a parameter of the query is given twice", hint="give each once", code="bad_query")
    wanted, download = _format(query, accept), _flag(query, "download", default=False)
    if download and wanted is Format.SSE:
        raise RequestError("?download=1 is for files", hint="add format=text or format=ndjson", code="bad_query")
    return StreamQuery(
        attempt=_number(query, "attempt", 1),
        last_event_id=header_id or query.get("last_event_id") or None,
        follow=_flag(query, "follow", default=True),
        tail=_number(query, "tail", 0),
        wait=_flag(query, "wait", default=False),
        format=wanted,
        selection=_selection(query),
        download=download,
        ticket=query.get("ticket") or None,
    )


def choose_start(query: StreamQuery, attempt: int, next_seq: int, *, over: bool) -> Start:
    """Where a reader of an attempt with `next_seq` frames begins; `over`: the last of them is the terminal one."""
    if query.last_event_id is not None:
        last = FrameId.parse(query.last_event_id.strip())
        if last is None or last.attempt != attempt or last.seq >= next_seq:
            return Start(0, "start")
        if over and last.seq == next_seq - 1:
            return Start(None, str(last))
        return Start(last.seq + 1, str(last))
    if query.tail is not None:
        seq = max(0, next_seq - max(query.tail, 1 if over else 0))  # the terminal frame always passes
        return Start(seq, "gap" if seq else "start")
    return Start(0, "start")


def _format(query: Mapping[str, str], accept: str | None) -> Format:
    if "format" in query:
        return _one_of(Format, "format", query["format"])
    types = [part.partition(";")[0].strip().lower() for part in (accept or "").split(",")]
    known = {"text/event-stream": Format.SSE, "application/x-ndjson": Format.NDJSON, "text/plain": Format.TEXT}
    return next((known[kind] for kind in types if kind in known), Format.SSE)


def _selection(query: Mapping[str, str]) -> Selection:
    phases = sources = level = None
    if "phase" in query:
        phases = frozenset(_one_of(Phase, "phase", name) for name in query["phase"].split(","))
    if "source" in query:
        sources = frozenset(query["source"].split(","))
        if "" in sources or len(sources) > _MAX_SOURCES:
            raise RequestError(
                f"?source= takes 1 to {_MAX_SOURCES} names", hint="separate them by commas", code="bad_query"
            )
    if "level" in query:
        level = _one_of(Level, "level", query["level"])
    return Selection(phases, sources, level)


def _one_of(kind: type[_Name], name: str, value: str) -> _Name:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(kind)
        raise RequestError(f"?{name}={value[:40]} is none of {known}", hint="mend it", code="bad_query") from None


def _refuse_keys(pairs: Iterable[tuple[str, str]]) -> None:
    if any(name.lower() in _KEY_NAMES or value.startswith(_KEY_PREFIX) for name, value in pairs):
        raise RequestError(
            "an API key in a URL ends up in logs and histories, so it is not taken from there",
            hint="send it as the header `Authorization: Bearer <key>`, and revoke this one",
            code="key_in_url",
        )


def _number(query: Mapping[str, str], name: str, least: int) -> int | None:
    if name not in query:
        return None
    text = query[name]
    if not (text.isascii() and text.isdigit()) or len(text) > 9 or int(text) < least:
        raise RequestError(
            f"?{name}={text[:40]} is not a number from {least} to {_MAX_NUMBER}", hint="mend it", code="bad_query"
        )
    return int(text)


def _flag(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    if name not in query:
        return default
    value = _FLAGS.get(query[name].lower())
    if value is None:
        raise RequestError(f"?{name}={query[name][:40]} is neither 1 nor 0", hint="mend it", code="bad_query")
    return value
