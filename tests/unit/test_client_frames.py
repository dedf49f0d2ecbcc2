"""Bytes of a stream become frames, however they are cut; anything else is told, never guessed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingot.client.frames import Frame, FrameReader
from ingot.errors import ServerError
from ingot.records.build import FailureCode
from ingot.records.event import Level, Phase, Result

STREAM = (
    b":\n"
    b"retry: 2000\n"
    b'id: 3-0\ndata: {"ts":"2026-06-08T17:00:01.250Z","level":"info","phase":"boot","line":"booting build VM"}\n\n'
    b":\n:\n"
    b'id: 3-1\r\ndata: {"ts":"2026-06-08T17:00:01Z","level":"warn","phase":"install","source":"npm",'
    b'"line":"\\u65e5"}\r\n\r\n'
    b"retry: 5000\n"
    b'id: 3-2\ndata: {"ts":"2026-06-08T17:00:02Z","level":"error","phase":"install","line":"build failed","result":'
    b'"failed","attempt":3,"duration_ms":12,"error":{"code":"step_failed","step":"s","exit_code":7,"message":"m"}}\n\n'
)


def read(chunks: list[bytes]) -> list[Frame]:
    reader = FrameReader()
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def test_frames_carry_id_event_and_end() -> None:
    first, second, last = read([STREAM])
    assert (str(first.id), first.event.phase, first.event.source, first.end) == ("3-0", Phase.BOOT, None, None)
    assert first.event.ts_ms == 1780938001250
    assert (second.event.level, second.event.source, second.event.line) == (Level.WARN, "npm", "日")
    assert last.end is not None
    assert last.end.failure is not None
    assert (last.end.result, last.end.duration_ms) == (Result.FAILED, 12)
    assert (last.end.failure.code, last.end.failure.exit_code) == (FailureCode.STEP_FAILED, 7)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_where_the_bytes_are_cut_does_not_matter(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    assert read([STREAM[a:b] for a, b in itertools.pairwise(places)]) == read([STREAM])


def test_a_frame_that_was_cut_off_is_never_seen() -> None:
    whole = len(read([STREAM]))
    assert len(read([STREAM[:-1]])) == whole - 1


def test_the_last_pause_asked_for_is_kept_though_no_frame_follows() -> None:
    reader = FrameReader()
    list(reader.feed(b"retry: 5000\n"))
    assert reader.retry_ms == 5000


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b'data: {"x":1}\n\n', "a frame without an id"),
        (b"id: 1-0\ndata: nonsense\n\n", "frame 1-0 is no build event"),
        (b'id: 1-0\ndata: {"ts":"2026-06-08T17:00:01Z","level":"info","phase":"lunch","line":""}\n\n', "'lunch'"),
        (b"id: 1-0\ndata: [1]\n\n", "is no build event"),
        (b"x" * 300_000, "a line of more than"),
    ],
)
def test_what_is_no_event_is_an_error_that_says_so(stream: bytes, words: str) -> None:
    with pytest.raises(ServerError) as caught:
        read([stream])
    assert words in str(caught.value)


def test_an_unknown_failure_code_is_internal() -> None:
    raw = STREAM.replace(b"step_failed", b"a_new_code")
    end = read([raw])[-1].end
    assert end is not None
    assert end.failure is not None
    assert end.failure.code is FailureCode.INTERNAL
