"""Raw bytes become the same lines however they arrive."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.events.ingest import Ingest, Limits, SecretForms
from ingot.events.ingest.sanitiser import SGR

NO_SECRETS = SecretForms()
SMALL = Limits(line=16, text=10**9)


def lines_of(*chunks: bytes, forms: SecretForms = NO_SECRETS, limits: Limits | None = None) -> list[str]:
    ingest = Ingest(forms, limits or Limits())
    lines = [line for chunk in chunks for line in ingest.feed(chunk, 0)]
    last, omission, ring = ingest.finish()
    assert omission is None
    assert ring == []
    return lines + last


@pytest.mark.parametrize(
    ("raw", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a\nb\n", ["a", "b"]),
        (b"a\n\nb", ["a", "", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"10%\r50%\r100%\n", ["100%"]),
        (b"10%\r100%\r\nnext", ["100%", "next"]),
        (b"\r10%\r20%", ["20%"]),
        (b"state\r", ["state"]),
        (b"caf\xc3\xa9 \xff\xfe \xe2\x82\n", ["café \ufffd\ufffd \ufffd"]),
        (b"end cut \xe2\x82", ["end cut \ufffd"]),
        (b"\x1b[32mok\x1b[0m\x1b[K\n", ["\x1b[32mok\x1b[0m"]),
    ],
)
def test_lines(raw: bytes, lines: list[str]) -> None:
    assert lines_of(raw) == lines
    assert lines_of(*(raw[place : place + 1] for place in range(len(raw)))) == lines


PIECES = st.sampled_from(
    [b"a", b"bcd", b"\n", b"\r", b"\r\n", b"\t", b"secret", b"sec", b"ret", b"\x00", b"\x1b[31m", b"\x1b[K",
     b"\x1b]0;t", b"\x07", b"\x1b", b"\xc3\xa9", b"\xc3",
     b"\xf0\x9f\x98\x80", b"\xff", b"\xc2\x9b", b"[", b"m", b"x" * 30]
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(PIECES, max_size=30), st.lists(st.integers(0, 300), max_size=8))
def test_chunk_boundaries_change_nothing(pieces: list[bytes], cuts: list[int]) -> None:
    raw = b"".join(pieces)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [raw[a:b] for a, b in pairwise(places)]
    forms = SecretForms(["secret"])
    for limits in (Limits(), SMALL):
        whole = lines_of(raw, forms=forms, limits=limits)
        assert lines_of(*chunks, forms=forms, limits=limits) == whole
        assert lines_of(*(raw[n : n + 1] for n in range(len(raw))), forms=forms, limits=limits) == whole
        assert not any("\x1b" in SGR.sub("", line) or "\r" in line for line in whole)
        assert all(len(line.encode()) <= limits.line for line in whole)
    assert not any("secret" in SGR.sub("", line) for line in lines_of(raw, forms=forms))


@pytest.mark.parametrize(
    "raw", [b"sec\x00ret", b"sec\x1b[Kret", b"s\x1b]0;t\x07ecret", b"sec\x1b[31mret", b"x\rsecret"]
)
def test_a_secret_that_joins_when_sanitised_is_masked(raw: bytes) -> None:
    forms = SecretForms(["secret"])
    for cut in range(len(raw)):
        for end in (b"", b"\n", b"\r\n"):
            [line] = lines_of(raw[:cut], raw[cut:] + end, forms=forms)
            assert line.replace("\x1b[31m", "") == "***"


def test_a_broken_escape_before_a_mask_is_the_same_in_a_long_line_cut_anywhere() -> None:
    raw = b"x" * 70 + b"\x1bsecret\x1b\x00"
    forms = SecretForms(["secret"])
    whole = lines_of(raw, forms=forms, limits=SMALL)
    assert lines_of(*(raw[place : place + 1] for place in range(len(raw))), forms=forms, limits=SMALL) == whole


def test_a_long_line_is_cut_and_a_secret_across_the_cut_is_masked() -> None:
    raw = b"x" * 13 + b"sec\x00ret" + b"y" * 20
    forms = SecretForms(["secret"])
    for cut in range(len(raw)):
        assert lines_of(raw[:cut], raw[cut:], forms=forms, limits=SMALL) == ["x" * 13 + "***", "y" * 16, "y" * 4]


def test_memory_stays_small_for_a_line_that_never_ends() -> None:
    ingest = Ingest(NO_SECRETS, Limits(text=10**9))
    count = sum(len(ingest.feed(b"z" * 65536, 0)) for _ in range(160))
    assert count >= 160 * 4 - 8
    assert sum(map(len, ingest.finish()[0])) <= 5 * 16384


def test_a_prompt_is_shown_after_a_second_and_what_follows_is_a_line_of_its_own() -> None:
    ingest = Ingest(NO_SECRETS)
    assert ingest.feed(b"Password: ", 10) == []
    assert ingest.due() == 11
    assert ingest.show_partial(10.9) == []
    assert ingest.show_partial(11) == ["Password: "]
    assert ingest.due() is None
    assert ingest.feed(b"thanks\n", 12) == ["thanks"]


def test_a_line_break_behind_a_shown_prompt_adds_no_empty_line() -> None:
    ingest = Ingest(NO_SECRETS)
    ingest.feed(b"Continue? ", 0)
    ingest.show_partial(1)
    assert ingest.feed(b"\nnext\n\n", 2) == ["next", ""]


@pytest.mark.parametrize("start", [b"sec", b"s\x00ec", b"\x1b[1msec", b"sec\x1b[1"])
def test_an_idle_flush_never_releases_the_beginning_of_a_secret(start: bytes) -> None:
    ingest = Ingest(SecretForms(["secret"]))
    ingest.feed(b"token " + start, 0)
    shown = ingest.show_partial(1)
    assert [line.replace("\x1b[1m", "") for line in shown] == ["token "]
    rest = ingest.feed(b"mret\n" if start.endswith(b"[1") else b"ret\n", 2)
    assert [line.replace("\x1b[1m", "") for line in rest] == ["***"]


def test_rewritten_lines_show_their_state_at_most_twice_a_second_and_their_end() -> None:
    ingest = Ingest(NO_SECRETS)
    shown = [(now, line) for now in range(40) for line in ingest.feed(b"%d%%\r" % now, now / 10)]
    assert [now for now, _ in shown] == [5, 10, 15, 20, 25, 30, 35]
    assert shown[0][1] == "5%"
    assert ingest.feed(b"100%\n", 4) == ["100%"]


def test_a_state_that_was_shown_is_not_repeated_when_the_line_ends() -> None:
    ingest = Ingest(NO_SECRETS)
    ingest.feed(b"1%\r", 0)
    assert ingest.feed(b"done\r", 1) == ["done"]
    assert ingest.feed(b"\nnext\n", 1) == ["next"]


def test_the_last_lines_hold_the_unfinished_one() -> None:
    ingest = Ingest(SecretForms(["secret"]))
    ingest.feed(b"".join(b"line %d\n" % n for n in range(30)) + b"error: \x1b[Ksec", 0)
    assert ingest.last_lines() == (*(f"line {n}" for n in range(11, 30)), "error: sec")


CAPPED = Limits(text=1000, ring=300, ring_frames=100_000)


def test_beyond_the_cap_lines_are_counted_and_the_last_ones_kept() -> None:
    ingest = Ingest(NO_SECRETS, CAPPED)
    raw = b"".join(b"%06d\n" % n for n in range(1000))
    lines = [line for place in range(0, len(raw), 50) for line in ingest.feed(raw[place : place + 50], 0)]
    last, omission, ring = ingest.finish()
    assert last == []
    assert omission is not None
    assert lines == [f"{n:06d}" for n in range(len(lines))]
    assert len(lines) * 7 - 1000 in range(60)
    assert ring == [f"{n:06d}" for n in range(1000 - len(ring), 1000)]
    assert len(ring) >= 300 // 7
    assert len(lines) + omission.lines + len(ring) == 1000
    assert len(lines) * 7 + omission.bytes + len(ring) * 7 == 7000
    assert ingest.last_lines() == tuple(ring[-20:])


def test_frames_count_for_the_cap_as_well() -> None:
    ingest = Ingest(NO_SECRETS, Limits(frames=500))
    ingest.feed(b"y\n", 0)
    ingest.charge(500)
    assert ingest.feed(b"y\ny\n", 0) == ["y"]
    assert ingest.ring is not None
    assert ingest.ring.lines == 1


@settings(deadline=None)
@given(st.integers(0, 40), st.integers(1, 60))
def test_a_secret_at_the_cap_or_at_the_rings_start_never_leaks(offset: int, step: int) -> None:
    limits = Limits(text=100, ring=64, line=64)
    raw = (b"." * offset) + b"the secret value\n" * 20
    ingest = Ingest(SecretForms(["secret"]), limits)
    lines = [line for place in range(0, len(raw), step) for line in ingest.feed(raw[place : place + step], 0)]
    last, _, ring = ingest.finish()
    for line in (*lines, *last, *ring):
        assert line.strip(".") in ("the *** value", "")


def test_a_ring_without_line_breaks_leaves_out_where_a_secret_may_end() -> None:
    ingest = Ingest(SecretForms(["secret" * 10]), Limits(text=10, ring=1000, line=64))
    ingest.feed(b"\n" * 12, 0)
    for _ in range(3000):
        ingest.feed(b"secret" * 5 + b"secre", 0)
        ingest.feed(b"t" + b"secret" * 4, 0)
    _, _, ring = ingest.finish()
    assert set("".join(ring)) == {"*"}


def test_many_empty_lines_in_the_ring_are_bounded_by_their_frames() -> None:
    ingest = Ingest(NO_SECRETS, Limits(text=10, ring=10_000, ring_frames=16_000))
    ingest.feed(b"\n" * 10, 0)
    ingest.feed(b"\n" * 50_000, 0)
    _, omission, ring = ingest.finish()
    assert len(ring) == 100
    assert omission is not None
    assert omission.lines == 50_000 - 1 - 100
