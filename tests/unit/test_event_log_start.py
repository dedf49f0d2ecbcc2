"""Where a reader begins, from what its client asked for. Pure."""

import pytest

from ingot.api.stream_request import (
    Start,
    StreamQuery,
    bearer_token,
    choose_start,
    match_path,
    parse_query,
)
from ingot.errors import RequestError


@pytest.mark.parametrize(
    ("last", "start"),
    [
        ("2-0", Start(1, "2-0")),
        ("2-8", Start(9, "2-8")),
        ("2-9", Start(10, "2-9")),
        ("2-10", Start(0, "start")),
        ("2-999999", Start(0, "start")),
        ("1-3", Start(0, "start")),
        ("3-0", Start(0, "start")),
        ("nonsense", Start(0, "start")),
        ("-", Start(0, "start")),
        ("2-", Start(0, "start")),
        ("2-1-1", Start(0, "start")),
        ("٢-٣", Start(0, "start")),
        ("2--1", Start(0, "start")),
        ("9" * 5000, Start(0, "start")),
        (" 2-4 ", Start(5, "2-4")),
        ("02-04", Start(5, "2-4")),
    ],
)
def test_an_id_is_continued_or_everything_is_sent(last: str, start: Start) -> None:
    query = StreamQuery(last_event_id=last, tail=3)
    assert choose_start(query, attempt=2, next_seq=10, over=False) == start


def test_only_the_terminal_frames_own_id_means_that_nothing_is_left() -> None:
    query = StreamQuery(last_event_id="2-9")
    assert choose_start(query, attempt=2, next_seq=10, over=True) == Start(None, "2-9")
    assert choose_start(query, attempt=1, next_seq=10, over=True) == Start(0, "start")


@pytest.mark.parametrize(("tail", "over", "seq"), [(3, False, 7), (0, False, 10), (0, True, 9), (99, True, 0)])
def test_a_tail_is_the_last_frames_and_never_without_the_terminal_one(tail: int, over: bool, seq: int) -> None:
    start = choose_start(StreamQuery(tail=tail), attempt=1, next_seq=10, over=over)
    assert start == Start(seq, "gap" if seq else "start")


def test_the_query_is_read() -> None:
    assert parse_query(b"", None) == StreamQuery()
    assert parse_query(b"follow=0&tail=5&attempt=2&last_event_id=1-3&wait=1&format=sse", None) == StreamQuery(
        attempt=2, last_event_id="1-3", follow=False, tail=5, wait=True
    )
    assert parse_query(b"last_event_id=1-3", "1-7").last_event_id == "1-7"
    assert parse_query(b"last_event_id=%00%ff%zz", None).last_event_id is not None
    assert parse_query(b"_=123", None) == StreamQuery()


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (b"follow=maybe", "?follow=maybe is neither 1 nor 0"),
        (b"tail=-1", "?tail=-1 is not a number from 0"),
        (b"tail=", "?tail= is not a number"),
        (b"attempt=0", "?attempt=0 is not a number from 1"),
        (b"attempt=99999999999999999999", "is not a number from 1 to 999999999"),
        (b"attempt=%D9%A3", "is not a number"),
        (b"attempt=1&attempt=2", "given twice"),
        (b"format=xml", "?format=xml is none of sse, ndjson, text"),
        (b"phase=cooking", "?phase=cooking is none of publish, compile, boot"),
    ],
)
def test_nonsense_is_refused_in_words(query: bytes, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_query(query, None)
    assert words in str(caught.value)
    assert caught.value.code == "bad_query"


@pytest.mark.parametrize("query", [b"key=x", b"api_key=x", b"token=x", b"access_token=x", b"q=sk_live_abc"])
def test_a_key_in_the_url_is_refused(query: bytes) -> None:
    with pytest.raises(RequestError, match="an API key in a URL ends up in logs") as caught:
        parse_query(query, None)
    assert caught.value.code == "key_in_url"


def test_the_path_is_decoded_part_by_part() -> None:
    assert match_path("/api/templates/default/x/1.0.0+b%2B1/build/events") == ("default", "x", "1.0.0+b+1")
    assert match_path("/api/templates/a%2Fb/x/1.0.0/build/events") == ("a/b", "x", "1.0.0")
    assert match_path("/api/templates/a/x/1.0.0/build") is None


def test_only_a_bearer_token_counts() -> None:
    assert bearer_token([(b"Authorization", b"bearer  sk_1 ")]) == "sk_1"
    assert bearer_token([(b"authorization", b"Basic abc")]) is None
    assert bearer_token([]) is None
