"""Bytes of an event stream → frames. Pure: no network, no clock.

`FrameReader` takes chunks as they come and gives whole frames only: what a broken connection cut off is never seen.
It reads the subset of server-sent events that this API sends (`id`, `data`, `retry`, comments), `\\n` or `\\r\\n`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from ingot.client.answers import failure_from
from ingot.errors import ServerError
from ingot.records.build import Failure
from ingot.records.event import Event, FrameId, Level, Phase, Result

_LONGEST = 256 * 1024


@dataclass(frozen=True, slots=True)
class End:
    """The terminal frame's own keys. `failure` is None for `ready` alone."""

    result: Result
    duration_ms: int
    failure: Failure | None


@dataclass(frozen=True, slots=True)
class Frame:
    """One event with its id. `data` is the JSON text as it was sent; `end` is set on the last frame alone."""

    id: FrameId
    event: Event
    end: End | None
    data: str = field(repr=False)


class FrameReader:
    """One connection's parser. `retry_ms` is the last pause the server asked for, None when it did not; `is_sent_away`
    tells that no frame came behind that, which is how a server ends a stream that has more to come."""

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self.is_sent_away = False
        self._rest = b""
        self._id: FrameId | None = None
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that `chunk` completes. ServerError for what is no build event."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > _LONGEST:
            raise ServerError(
                f"the event stream has a line of more than {_LONGEST} bytes", hint="is this an Ingot server?"
            )
        for line in lines:
            frame = self._take(line.removesuffix(b"\r"))
            if frame is not None:
                yield frame

    def _take(self, line: bytes) -> Frame | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id":
            self._id = FrameId.parse(value.decode(errors="replace"))
        elif name == b"retry" and value.isdigit():
            self.retry_ms, self.is_sent_away = int(value[:9]), True
        return None

    def _dispatch(self) -> Frame | None:
        data, identity = b"\n".join(self._data), self._id
        self._data, self._id = [], None
        if not data:
            return None
        self.is_sent_away = False
        if identity is None:
            raise ServerError("the event stream has a frame without an id", hint="is this an Ingot server?")
        return read_frame(identity, data)


def read_frame(identity: FrameId, data: bytes) -> Frame:
    """One `data:` payload as a frame; ServerError when it is no build event."""
    try:
        raw = json.loads(data)
        event = Event(
            ts_ms=_milliseconds(raw["ts"]),
            level=Level(raw["level"]),
            phase=Phase(raw["phase"]),
            line=str(raw["line"]),
            source=raw.get("source"),
        )
        end = None
        if "result" in raw:
            failure = failure_from(raw["error"]) if raw.get("error") else None
            end = End(Result(raw["result"]), int(raw.get("duration_ms") or 0), failure)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        shown = data[:200].decode(errors="replace")
        raise ServerError(f"frame {identity} is no build event ({error!r}): {shown}", hint="update ingot") from error
    return Frame(identity, event, end, data.decode(errors="replace"))


def _milliseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)
