"""Every way a secret's value may show up in a build's output, and where a text contains one.

A form never contains a line break, so no match spans lines. This module finds; it does not replace.
Values shorter than 4 characters are left alone: blanking them would blank the log.
"""

from __future__ import annotations

import base64
import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from ingot.events.ingest.sanitiser import sanitise

MIN_LENGTH = 4
MIN_ENCODED_BYTES = 8
_WRAPS = (64, 76)
"""Columns at which `openssl base64` and `base64` wrap what they print."""

Span = tuple[int, int]


class SecretForms:
    """The forms of some secrets; immutable. `longest` is the longest form's length in characters."""

    def __init__(self, secrets: Iterable[str | bytes] = ()) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        self.patterns: tuple[str, ...] = tuple(sorted(forms))
        self.longest = max(map(len, self.patterns), default=0)
        self._probes = _smallest(self.patterns)
        self._first = frozenset(pattern[0] for pattern in self.patterns)

    def __bool__(self) -> bool:
        return bool(self.patterns)

    def found(self, text: str) -> bool:
        """Whether `text` contains any form."""
        return any(probe in text for probe in self._probes)

    def spans(self, text: str) -> list[Span]:
        """The parts of `text` covered by forms, overlapping and touching ones merged, in order."""
        found = sorted(span for pattern in self.patterns for span in _occurrences(pattern, text))
        return merge(found)

    def hold(self, text: str) -> int:
        """Where the earliest end of `text` begins that may grow into a form; len(text) when none may."""
        end = len(text)
        begin = max(0, end - self.longest + 1)
        begin = max(begin, text.rfind("\n", begin) + 1, text.rfind("\r", begin) + 1)
        for position in range(begin, end):
            if text[position] in self._first and self._begins(text[position:]):
                return position
        return end

    def _begins(self, text: str) -> bool:
        """Whether `text` is the beginning of a longer form."""
        place = bisect_left(self.patterns, text)
        if place < len(self.patterns) and self.patterns[place] == text:
            place += 1
        return place < len(self.patterns) and self.patterns[place].startswith(text)


def merge(spans: Iterable[Span]) -> list[Span]:
    """Sorted spans with overlapping and touching ones made one."""
    merged: list[Span] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _occurrences(pattern: str, text: str) -> Iterator[Span]:
    position = text.find(pattern)
    while position >= 0:
        yield position, position + len(pattern)
        position = text.find(pattern, position + 1)


def _smallest(patterns: Iterable[str]) -> tuple[str, ...]:
    """The patterns that contain no other: whichever pattern is in a text, one of these is."""
    kept: list[str] = []
    for pattern in sorted(patterns, key=len):
        if not any(small in pattern for small in kept):
            kept.append(pattern)
    return tuple(kept)


def _forms(secret: str | bytes) -> set[str]:
    raw = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
    values = {raw, raw + b"\n", raw.strip(), *re.split(rb"[\r\n]+", raw)}
    forms = {form.strip() for value in values for form in _value_forms(value)}
    return {form for form in forms if len(form) >= MIN_LENGTH and "\n" not in form and "\r" not in form}


def _value_forms(value: bytes) -> Iterator[str]:
    text = value.decode("utf-8", "replace")
    yield text
    yield sanitise(text)
    if len(value.strip()) >= MIN_ENCODED_BYTES:
        yield from _base64_forms(value)
        yield from _escaped_forms(value, text)


def _base64_forms(value: bytes) -> Iterator[str]:
    """What of the base64 of a text with `value` in it depends on `value` alone, at each alignment; and the
    base64 of `value` by itself, whole and as tools wrap it."""
    whole = base64.b64encode(value).decode()
    found = [whole, whole.rstrip("=")]
    for shift in range(3):
        encoded = base64.b64encode(b"\0" * shift + value).decode()
        found.append(encoded[-(-8 * shift // 6) : 8 * (shift + len(value)) // 6])
    for width in _WRAPS:
        if len(whole) > width:
            found.extend(whole[start : start + width] for start in range(0, len(whole), width))
    for form in found:
        if len(form) >= MIN_ENCODED_BYTES:
            yield form
            yield form.replace("+", "-").replace("/", "_")


def _escaped_forms(value: bytes, text: str) -> Iterator[str]:
    for encoded in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield encoded
        yield re.sub("%..", lambda match: match[0].lower(), encoded)
    for ascii_only in (True, False):
        escaped = json.dumps(text, ensure_ascii=ascii_only)[1:-1]
        yield escaped
        yield escaped.replace("/", "\\/")
