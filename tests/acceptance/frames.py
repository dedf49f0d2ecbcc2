"""A build's event stream as a client sees it: bytes first, then what they say.

`read_frames` accepts exactly what the stream's contract allows and nothing else, so every test that reads a stream
tests its shape.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

PHASES = ("publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready", "cancel", "timeout")
LEVELS = ("info", "success", "warn", "error")
RESULTS = ("ready", "failed", "cancelled", "timed_out")
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


def take_frames(received: bytes) -> tuple[list[Frame], bytes]:
    """The whole frames in what was received so far, and the rest. Comments and `retry` lines are left out."""
    stored = _RETRY.sub(b"", _COMMENT.sub(b"", received))
    frames, place = [], 0
    while (found := _FRAME.match(stored, place)) is not None:
        frames.append(Frame(found[0], int(found[1]), int(found[2]), json.loads(found[3])))
        place = found.end()
    return frames, stored[place:]


def read_frames(received: bytes) -> list[Frame]:
    """All frames of a stream that ended, checked one by one."""
    frames, rest = take_frames(received)
    assert rest == b"", f"the stream holds something that is no frame: {rest[:200]!r}"
    check_frames(frames)
    return frames


def check_frames(frames: list[Frame]) -> None:
    """Each frame's shape, and what holds between them."""
    for frame in frames:
        _check_frame(frame)
    for one, next_one in itertools.pairwise(frames):
        assert (next_one.attempt, next_one.seq) == (one.attempt, one.seq + 1), f"{one.id} is followed by {next_one.id}"
        assert next_one.data["ts"] >= one.data["ts"], f"time goes back at {next_one.id}"
        assert PHASES.index(next_one.phase) >= PHASES.index(one.phase), f"the phase goes back at {next_one.id}"
    assert all(not frame.is_end for frame in frames[:-1]), "a terminal frame that is not the last"


def check_whole(frames: list[Frame]) -> dict[str, Any]:
    """A whole attempt: from frame 0 to the one terminal frame, whose data are returned."""
    assert frames, "no frame at all"
    assert frames[0].seq == 0
    end = frames[-1]
    assert end.is_end, f"the stream ended without a terminal frame: {end.raw!r}"
    assert end.data["attempt"] == end.attempt
    return end.data


def _check_frame(frame: Frame) -> None:
    assert len(frame.raw) <= 65_536
    text = frame.raw.split(b"data: ", 1)[1].rstrip(b"\n").decode()
    assert text == json.dumps(frame.data, separators=(",", ":")), "the JSON is compact and ASCII, in its own order"
    keys = [key for key in frame.data if key not in (*END_KEYS, "error")]
    assert keys == [key for key in BASE_KEYS if key in frame.data], f"keys in another order: {list(frame.data)}"
    assert set(BASE_KEYS) - {"source"} <= set(frame.data)
    assert _TS.fullmatch(frame.data["ts"])
    datetime.fromisoformat(frame.data["ts"])
    assert frame.data["level"] in LEVELS
    assert frame.phase in PHASES
    if frame.is_end:
        _check_end(frame)
    else:
        assert frame.data["level"] in ("info", "warn"), f"only the end may be {frame.data['level']}: {frame.raw!r}"
        assert frame.phase not in ("ready", "cancel", "timeout")


def _check_end(frame: Frame) -> None:
    data, result = frame.data, frame.data["result"]
    assert result in RESULTS
    tail = list(data)[list(data).index("line") + 1 :]
    if result == "ready":
        assert tail == END_KEYS
        assert (data["level"], data["phase"]) == ("success", "ready")
        assert re.fullmatch(r"golden snapshot ready in \d+\.\ds", data["line"])
        return
    assert tail == [*END_KEYS, "error"]
    assert data["level"] == "error"
    opening = {"failed": "build failed", "cancelled": "build cancelled", "timed_out": "build timed out"}[result]
    assert data["line"].startswith(opening)
    assert data["phase"] == {"cancelled": "cancel", "timed_out": "timeout"}.get(result, data["phase"])
    assert list(data["error"]) == [k for k in ("code", "step", "exit_code", "message") if k in data["error"]]
