"""The bytes of frames: shape, order of keys, sizes."""

import json
import re

import pytest

from ingot.events.frames import (
    MAX_FRAME,
    encode_frame,
    encode_lines,
    encode_terminal,
    format_ts,
    parse_frame,
    parse_ts,
)
from ingot.records.build import Failure, FailureCode
from ingot.records.event import Event, FrameId, Level, Phase, Result

TS = 1_780_938_001_007


def test_a_frame_has_exactly_the_contracts_shape() -> None:
    event = Event(TS, Level.INFO, Phase.INSTALL, "npm install -g @anthropic-ai/claude-code", "npm")
    assert encode_frame(FrameId(3, 14), event) == (
        b'id: 3-14\ndata: {"ts":"2026-06-08T17:00:01.007Z","level":"info","phase":"install","source":"npm",'
        b'"line":"npm install -g @anthropic-ai/claude-code"}\n\n'
    )
    without_source = encode_frame(FrameId(3, 15), Event(TS, Level.INFO, Phase.BOOT, "booting build VM"))
    assert b'"phase":"boot","line":"booting build VM"}' in without_source


def test_bulk_and_single_encoding_agree_and_read_back() -> None:
    lines = ["a", 'quote " back \\ slash', "tab\tü ✓ 😀 \u2028", ""]
    frames = encode_lines(FrameId(1, 7), lines, ts_ms=TS, level=Level.INFO, phase=Phase.INSTALL, source="apt")
    for place, (line, frame) in enumerate(zip(lines, frames, strict=True)):
        event = Event(TS, Level.INFO, Phase.INSTALL, line, "apt")
        assert frame == encode_frame(FrameId(1, 7 + place), event)
        assert frame.isascii()
        assert parse_frame(frame).event == event


@pytest.mark.parametrize("line", ["é" * 8192, "😀" * 4096, '"' * 16384, "✓" * 5461, "\x1b[m" * 5461, "\t" * 16384])
def test_no_line_of_16_kib_makes_a_frame_above_64_kib(line: str) -> None:
    [frame] = encode_lines(
        FrameId(999_999_999, 10**12 - 1), [line], ts_ms=TS, level=Level.SUCCESS, phase=Phase.SNAPSHOT, source="x" * 900
    )
    assert len(frame) <= MAX_FRAME


def terminal(result: Result, failure: Failure | None) -> tuple[str, dict[str, object]]:
    frame = encode_terminal(
        FrameId(2, 5), ts_ms=TS, reached=Phase.INSTALL, result=result, duration_ms=118_449, failure=failure
    )
    assert len(frame) <= MAX_FRAME
    text = frame.decode()
    content = re.fullmatch(r"id: 2-5\ndata: (\{.*\})\n\n", text)
    assert content is not None
    return text, json.loads(content[1])


def test_the_ready_frame() -> None:
    text, _ = terminal(Result.READY, None)
    assert text == (
        'id: 2-5\ndata: {"ts":"2026-06-08T17:00:01.007Z","level":"success","phase":"ready",'
        '"line":"golden snapshot ready in 118.4s","result":"ready","attempt":2,"duration_ms":118449}\n\n'
    )


@pytest.mark.parametrize(
    ("result", "code", "phase", "opening"),
    [
        (Result.FAILED, FailureCode.STEP_FAILED, "install", "build failed: "),
        (Result.CANCELLED, FailureCode.CANCELLED, "cancel", "build cancelled: "),
        (Result.TIMED_OUT, FailureCode.TIMED_OUT, "timeout", "build timed out: "),
    ],
)
def test_the_frame_of_a_build_that_did_not_make_it(result: Result, code: FailureCode, phase: str, opening: str) -> None:
    failure = Failure(code, "it went wrong", step="run [1] make", exit_code=2)
    _, content = terminal(result, failure)
    assert list(content) == ["ts", "level", "phase", "line", "result", "attempt", "duration_ms", "error"]
    assert content["level"] == "error"
    assert content["phase"] == phase
    assert content["line"] == opening + "it went wrong"
    assert content["error"] == {"code": code, "step": "run [1] make", "exit_code": 2, "message": "it went wrong"}


def test_a_huge_message_still_makes_a_frame_of_its_size() -> None:
    _, content = terminal(Result.FAILED, Failure(FailureCode.INTERNAL, "😀" * 100_000, step="😀" * 10_000))
    assert "exit_code" not in content["error"]  # type: ignore[operator]


def test_the_terminal_frame_reads_back() -> None:
    failure = Failure(FailureCode.CANCELLED, "by its owner")
    frame = encode_terminal(
        FrameId(2, 5), ts_ms=TS, reached=Phase.BOOT, result=Result.CANCELLED, duration_ms=9, failure=failure
    )
    stored = parse_frame(frame)
    assert stored.terminal is not None
    assert stored.terminal.result is Result.CANCELLED
    assert stored.terminal.error == {"code": "cancelled", "step": None, "message": "by its owner"}
    assert stored.terminal.id == FrameId(2, 5)


def test_timestamps_keep_their_milliseconds() -> None:
    for ts in (0, 1, 999, TS, TS + 993):
        assert parse_ts(format_ts(ts)) == ts
