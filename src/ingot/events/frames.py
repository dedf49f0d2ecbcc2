"""Events ↔ the bytes of their frames, `id: <attempt>-<seq>\\ndata: {json}\\n\\n`.

A frame is encoded once and the same bytes are stored, replayed and sent live. JSON is compact and ASCII-only, so
no content can forge a line or a field; the additional keys of the terminal frame come last. A line of 16 KiB
becomes at most 48 KiB of JSON (6 bytes for 2, 12 for 4, 8 for a colour sequence of 3), so no frame passes 64 KiB.
"""

from __future__ import annotations

import calendar
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quote
from typing import Any

from ingot.records.build import Failure
from ingot.records.event import Event, FrameId, Level, Phase, Result

MAX_FRAME = 64 * 1024
FRAME_END = b"\n\n"
_MAX_MESSAGE = 2048
_MAX_STEP = 512
_MAX_SOURCE = 64


@dataclass(frozen=True, slots=True)
class TerminalFrame:
    """What the last frame of an attempt says. `error` is the frame's object, None when ready."""

    id: FrameId
    result: Result
    duration_ms: int
    error: dict[str, Any] | None
    line: str


@dataclass(frozen=True, slots=True)
class StoredFrame:
    """A frame read back. `terminal` is set on the last frame of an attempt that is over."""

    id: FrameId
    event: Event
    terminal: TerminalFrame | None


def encode_frame(id: FrameId, event: Event, extra: str = "") -> bytes:  # noqa: A002
    """One frame. `extra` is JSON members with a leading comma."""
    opening = _opening(event.ts_ms, event.level, event.phase, event.source)
    return f"id: {id}{opening}{quote(event.line)}{extra}}}\n\n".encode("ascii")


def encode_lines(
    first: FrameId, lines: Sequence[str], *, ts_ms: int, level: Level, phase: Phase, source: str | None
) -> list[bytes]:
    """A frame for each line, with the ids from `first` on. About 0.7 µs a line."""
    opening = _opening(ts_ms, level, phase, source)
    head = f"id: {first.attempt}-"
    return [
        f"{head}{seq}{opening}{quote(line)}}}\n\n".encode("ascii") for seq, line in enumerate(lines, start=first.seq)
    ]


def encode_terminal(
    id: FrameId,  # noqa: A002
    *,
    ts_ms: int,
    reached: Phase,
    result: Result,
    duration_ms: int,
    failure: Failure | None,
) -> bytes:
    """The last frame of an attempt. `reached` is the phase a failed build ends in; `failure` is redacted already
    and required for every result but `ready`."""
    phase = {Result.FAILED: reached, Result.CANCELLED: Phase.CANCEL, Result.TIMED_OUT: Phase.TIMEOUT}.get(
        result, Phase.READY
    )
    level = Level.SUCCESS if result is Result.READY else Level.ERROR
    members: dict[str, Any] = {"result": str(result), "attempt": id.attempt, "duration_ms": duration_ms}
    if result is not Result.READY:
        assert failure is not None, "an attempt that is not ready ends with a failure"
        members["error"] = _error(failure)
    extra = "," + json.dumps(members, separators=(",", ":"))[1:-1]
    line = terminal_line(result, duration_ms, failure)
    return encode_frame(id, Event(ts_ms, level, phase, line), extra)


def terminal_line(result: Result, duration_ms: int, failure: Failure | None) -> str:
    """`golden snapshot ready in 118.4s`, `build failed: …`, `build cancelled: …` or `build timed out: …`."""
    if result is Result.READY:
        return f"golden snapshot ready in {duration_ms / 1000:.1f}s"
    opening = {Result.CANCELLED: "build cancelled", Result.TIMED_OUT: "build timed out"}.get(result, "build failed")
    message = failure.message[:_MAX_MESSAGE] if failure is not None else ""
    return f"{opening}: {message}" if message else opening


def parse_frame(frame: bytes) -> StoredFrame:
    """Reads one stored frame; ValueError when it is not one."""
    head, data = frame.removesuffix(FRAME_END).decode("ascii").split("\n")
    frame_id = FrameId.parse(head.removeprefix("id: "))
    if frame_id is None or not data.startswith("data: "):
        raise ValueError(f"not a frame: {frame[:80]!r}")
    content = json.loads(data[len("data: ") :])
    event = Event(
        ts_ms=parse_ts(content["ts"]),
        level=Level(content["level"]),
        phase=Phase(content["phase"]),
        line=content["line"],
        source=content.get("source"),
    )
    terminal = None
    if "result" in content:
        result, duration_ms = Result(content["result"]), int(content["duration_ms"])
        terminal = TerminalFrame(frame_id, result, duration_ms, content.get("error"), event.line)
    return StoredFrame(frame_id, event, terminal)


def format_ts(ts_ms: int) -> str:
    """Milliseconds since the epoch as ISO 8601, UTC, with milliseconds."""
    return f"{_second(ts_ms // 1000)}.{ts_ms % 1000:03d}Z"


def parse_ts(text: str) -> int:
    """The reverse of `format_ts`."""
    seconds = time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")
    return calendar.timegm(seconds) * 1000 + int(text[20:23])


@lru_cache(maxsize=64)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


@lru_cache(maxsize=256)
def _opening(ts_ms: int, level: Level, phase: Phase, source: str | None) -> str:
    """What stands between a frame's id and its line."""
    named = f',"source":{quote(source[:_MAX_SOURCE])}' if source else ""
    return f'\ndata: {{"ts":"{format_ts(ts_ms)}","level":"{level}","phase":"{phase}"{named},"line":'


def _error(failure: Failure) -> dict[str, Any]:
    error: dict[str, Any] = {"code": str(failure.code), "step": failure.step and failure.step[:_MAX_STEP]}
    if failure.exit_code is not None:
        error["exit_code"] = failure.exit_code
    error["message"] = failure.message[:_MAX_MESSAGE]
    return error
