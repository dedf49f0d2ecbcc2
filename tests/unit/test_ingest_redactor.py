"""Secrets never pass, in whatever form and however the text is cut."""

import base64
import json
from itertools import pairwise
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.events.ingest import Redactor, SecretForms, redact_line
from ingot.events.ingest.redactor import split_safe

SECRET = "hunter2-hunter3/é+x"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQC7\nshort\n-----END KEY-----\n"


def through(forms: SecretForms, *chunks: str) -> str:
    redactor = Redactor(forms)
    return "".join([*(redactor.feed(chunk) for chunk in chunks), redactor.finish()])


@pytest.mark.parametrize("cut", range(len(f"a {SECRET} b") + 1))
def test_a_secret_is_found_at_every_split(cut: int) -> None:
    text = f"a {SECRET} b"
    assert through(SecretForms([SECRET]), text[:cut], text[cut:]) == "a *** b"


def test_a_secret_is_found_character_by_character() -> None:
    assert through(SecretForms([SECRET]), *f"a {SECRET} b") == "a *** b"


@pytest.mark.parametrize(
    "form",
    [
        quote(SECRET, safe=""),
        quote(SECRET),
        quote_plus(SECRET),
        quote(SECRET, safe="").lower().replace("hunter", "hunter"),
        json.dumps(SECRET)[1:-1],
        json.dumps(SECRET, ensure_ascii=False)[1:-1],
        json.dumps(SECRET)[1:-1].replace("/", "\\/"),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode().rstrip("="),
        base64.b64encode(f"{SECRET}\n".encode()).decode(),
    ],
)
def test_encoded_forms_are_masked_whole(form: str) -> None:
    assert through(SecretForms([SECRET]), f"x={form};") == "x=***;"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
@pytest.mark.parametrize("after", ["", "y", "yz"])
def test_base64_is_found_at_every_alignment(before: str, after: str) -> None:
    text = base64.b64encode(f"{before}{SECRET}{after}".encode()).decode()
    masked = through(SecretForms([SECRET]), text)
    assert "***" in masked
    assert len(masked) <= 14, f"too much of the secret's encoding is left: {masked}"


def test_each_line_of_a_multi_line_secret_is_masked() -> None:
    forms = SecretForms([PEM])
    for line in PEM.splitlines():
        assert through(forms, f"> {line} <") == "> *** <"


@pytest.mark.parametrize("width", [64, 76])
def test_wrapped_base64_of_a_long_secret_is_masked(width: int) -> None:
    encoded = base64.b64encode(PEM.encode()).decode()
    for start in range(0, len(encoded), width):
        part = encoded[start : start + width]
        if len(part) >= 8:
            assert through(SecretForms([PEM]), part) == "***"


def test_values_below_four_characters_are_left_alone() -> None:
    assert not SecretForms(["abc", "", "  \n"])
    assert through(SecretForms(["abc"]), "abcabc") == "abcabc"


def test_short_values_are_masked_as_they_are_but_not_encoded() -> None:
    forms = SecretForms(["abcd"])
    assert forms.patterns == ("abcd",)


def test_overlapping_secrets_leave_nothing_of_either() -> None:
    assert through(SecretForms(["abcdef", "defghi"]), "-abcdefghi-") == "-***-"
    assert through(SecretForms(["abcd", "abcdefgh"]), "abcd", "ef", "gh!") == "***!"
    assert through(SecretForms(["abcd", "abcdefgh"]), "abcd", "efxx") == "***efxx"


def test_bytes_that_are_no_utf8_are_secrets_too() -> None:
    raw = b"\xff\xfebinary-secret"
    assert "binary" not in through(SecretForms([raw]), raw.decode("utf-8", "replace"))


def test_what_may_become_a_secret_is_held_back_and_released_when_it_does_not() -> None:
    redactor = Redactor(SecretForms(["secret"]))
    assert redactor.feed("my secr") == "my "
    assert redactor.held == "secr"
    assert redactor.feed("ied") == "secried"


@settings(deadline=None)
@given(
    secrets=st.lists(st.text(alphabet="ab", min_size=4, max_size=7), min_size=1, max_size=3),
    text=st.text(alphabet="ab\n", max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
)
def test_chunk_boundaries_change_nothing_and_nothing_leaks(secrets: list[str], text: str, cuts: list[int]) -> None:
    forms = SecretForms(secrets)
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    chunks = [text[a:b] for a, b in pairwise(places)]
    whole = through(forms, text)
    assert through(forms, *chunks) == whole
    assert through(forms, *text) == whole
    assert not any(secret in whole for secret in secrets)
    covered = [False] * len(text)
    for start, end in forms.spans(text):
        covered[start:end] = [True] * (end - start)
    kept = [character for character, hidden in zip(text, covered, strict=True) if not hidden]
    assert whole.replace("***", "") == "".join(kept)


def test_colours_inside_a_secret_do_not_hide_it() -> None:
    forms = SecretForms(["supersecret"])
    assert redact_line(forms, "x \x1b[31msuper\x1b[1msecret\x1b[0m y") == "x \x1b[31m***\x1b[1m\x1b[0m y"
    assert redact_line(forms, "\x1b[31mplain\x1b[0m") == "\x1b[31mplain\x1b[0m"


def test_a_partial_line_keeps_what_may_be_a_secret_across_colours() -> None:
    forms = SecretForms(["supersecret"])
    ready, waiting = split_safe(forms, "pass: su\x1b[1mper")
    assert (ready, waiting) == ("pass: ", "su\x1b[1mper")
