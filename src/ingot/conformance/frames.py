"""A build's event stream as a client sees it: bytes first, then what they say.

`read_frames` accepts exactly what the contract allows and nothing else, so whoever reads a stream checks its shape.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ingot.conformance.checking import must

PHASES = ("publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout")
LEVELS = ("info", "success", "warn", "error")
RESULTS = ("ready", "failed", "cancelled", "timed_out")
LARGEST_FRAME = 64 * 1024
LONGEST_LINE = 16 * 1024
FIRST_BYTES = b":\nretry: 2000\nid: "
BASE_KEYS = ["ts", "level", "phase", "source", "line"]
END_KEYS = ["result", "attempt", "duration_ms"]

_COMMENT = re.compile(rb"(?:\A|(?<=\n)):\n")
_RETRY = re.compile(rb"(?:\A|(?<=\n))retry: \d+\n")
_FRAME = re.compile(rb"id: (\d+)-(\d+)\ndata: (\{[\x20-\x7e]*\})\n\n")
_TS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


@dataclass(frozen=True)
class Frame:
    """One event. `raw` are its bytes from `id:` to the blank line."""

    raw: bytes
    attempt: int
    seq: int
    data: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.attempt}-{self.seq}"

    @property
    def line(self) -> str:
        return str(self.data["line"])

    @property
    def phase(self) -> str:
        return str(self.data["phase"])

    @property
    def source(self) -> str | None:
        return self.data.get("source")

    @property
    def is_end(self) -> bool:
        return "result" in self.data


def stored_bytes(received: bytes) -> bytes:
    """What was received, without comments and `retry` lines: the frames as they are stored."""
    return _RETRY.sub(b"", _COMMENT.sub(b"", received))


def take_frames(received: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames in what was received so far, and the rest."""
    stored = stored_bytes(received)
    frames, place = [], 0
    while (found := _FRAME.match(stored, place)) is not None:
        frames.append(Frame(found[0], int(found[1]), int(found[2]), json.loads(found[3])))
        place = found.end()
    return frames, stored[place:]


def read_frames(received: bytes) -> list[Frame]:
    """All frames of a stream that ended, checked one by one."""
    frames, rest = take_frames(received)
    must(rest == b"", f"the stream holds something that is no frame: {rest[:200]!r}")
    check_frames(frames)
    return frames


def check_frames(frames: list[Frame]) -> None:
    """Each frame's shape, and what holds between them."""
    for frame in frames:
        _check_frame(frame)
    for one, following in itertools.pairwise(frames):
        must(
            (following.attempt, following.seq) == (one.attempt, one.seq + 1), f"{one.id} is followed by {following.id}"
        )
        must(following.data["ts"] >= one.data["ts"], f"time goes back at {following.id}")
        must(PHASES.index(following.phase) >= PHASES.index(one.phase), f"the phase goes back at {following.id}")
        must(not one.is_end, f"{following.id} comes behind the terminal frame")


def check_whole(frames: list[Frame]) -> dict[str, Any]:
    """A whole attempt: from frame 0 to the one terminal frame, whose data are returned."""
    must(frames, "no frame at all")
    must(frames[0].seq == 0, f"the first frame is {frames[0].id}")
    end = frames[-1]
    must(end.is_end, f"the stream ended without a terminal frame: {end.raw!r}")
    must(end.data["attempt"] == end.attempt, f"the terminal frame {end.id} tells attempt {end.data['attempt']}")
    return end.data


def _check_frame(frame: Frame) -> None:
    data, shown = frame.data, frame.raw[:300]
    must(len(frame.raw) <= LARGEST_FRAME, f"{frame.id} has {len(frame.raw)} bytes")
    text = frame.raw.split(b"data: ", 1)[1].rstrip(b"\n").decode()
    must(text == json.dumps(data, separators=(",", ":")), f"the JSON is not compact and ASCII: {shown!r}")
    keys = [key for key in data if key not in (*END_KEYS, "error")]
    must(keys == [key for key in BASE_KEYS if key in data], f"the keys stand in another order: {shown!r}")
    must(set(BASE_KEYS) - {"source"} <= set(data), f"a key is missing: {shown!r}")
    must(_TS.fullmatch(data["ts"]) and datetime.fromisoformat(data["ts"]), f"no time in UTC: {data['ts']!r}")
    must(data["level"] in LEVELS and frame.phase in PHASES, f"no such level or phase: {shown!r}")
    must(len(frame.line.encode()) <= LONGEST_LINE, f"the line of {frame.id} is too long")
    if frame.is_end:
        _check_end(frame)
    else:
        must(data["level"] in ("info", "warn"), f"only the end may be {data['level']}: {shown!r}")
        must(frame.phase not in ("ready", "cancel", "timeout"), f"only the end may have this phase: {shown!r}")


def _check_end(frame: Frame) -> None:
    data, result, shown = frame.data, frame.data["result"], frame.raw[:300]
    must(result in RESULTS, f"no such result: {shown!r}")
    tail = list(data)[list(data).index("line") + 1 :]
    if result == "ready":
        must(tail == END_KEYS, f"the keys of the end are {tail}")
        must((data["level"], data["phase"]) == ("success", "ready"), f"no end of a good build: {shown!r}")
        must(re.fullmatch(r"golden snapshot ready in \d+\.\ds", data["line"]), f"another last line: {shown!r}")
        return
    must(tail == [*END_KEYS, "error"], f"the keys of the end are {tail}")
    must(data["level"] == "error", f"the end of a build that is not ready is no error: {shown!r}")
    must(data["line"].startswith(f"build {result.replace('_', ' ')}"), f"another last line: {shown!r}")
    phase = {"cancelled": "cancel", "timed_out": "timeout"}.get(result, data["phase"])
    must(data["phase"] == phase, f"{result} ends in the phase {data['phase']}")
    known = [key for key in ("code", "step", "exit_code", "message") if key in data["error"]]
    must(list(data["error"]) == known and {"code", "message"} <= set(known), f"another error object: {shown!r}")
