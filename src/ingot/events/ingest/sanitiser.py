"""Drops what a log line must not carry: escape sequences other than colour (SGR), control characters.

Works on a line or on a whole block of lines alike: no sequence reaches over a line break. Tab stays. It
neither splits lines nor looks for secrets.
"""

from __future__ import annotations

import re
from itertools import accumulate

SGR = re.compile(r"\x1b\[[0-9;:]*m")
"""A colour sequence: the only escape sequence that stays."""

_PARAMETERS = 64
# Each pattern begins with a literal character: that is what makes searching fast.
_COLOUR = rf"\[[0-9;:]{{0,{_PARAMETERS}}}m"
_OTHER = (
    rf"(?:\[[0-?]{{0,{_PARAMETERS}}}[ -/]{{0,8}}[@-~]"  # any other control sequence
    r"|[\]PX^_][^\x1b\x07\n]*(?:\x07|\x1b\\)?"  # title, link, device string
    r"|[ -/]{1,8}[0-~]"  # character sets
    r"|[0-OQ-WYZ\\`-~]"  # two characters
    rf"|\[[0-?]{{0,{_PARAMETERS}}}[ -/]{{0,8}}|[ -/]{{0,8}})"  # broken: what follows plays no part in it
)
_ESCAPE = re.compile(rf"\x1b(?:{_COLOUR}|{_OTHER})")
_UNWANTED = re.compile(rf"\x1b(?!{_COLOUR}){_OTHER}")
_UNFINISHED = re.compile(
    rf"\x1b(?:\[[0-?]{{0,{_PARAMETERS}}}[ -/]{{0,8}}|[ -/]{{0,8}}"
    r"|[\]PX^_][^\x1b\x07\n]*\x1b?)\Z"
)
_STRING_OPENERS = "]PX^_"
_KEPT_CONTROLS = "\t\n\x1b\x07"
_CONTROLS = {code: None for code in (*range(32), *range(127, 160)) if chr(code) not in _KEPT_CONTROLS}
_TRANSLATED: dict[int, str | None] = {
    **_CONTROLS,
    0x90: "\x1bP",
    0x9B: "\x1b[",
    0x9C: "\x1b\\",
    0x9D: "\x1b]",
    0x98: "\x1bX",
    0x9E: "\x1b^",
    0x9F: "\x1b_",
}
_DROPPED_BYTES = bytes(code for code in (*range(32), 127) if code not in (9, 10))
_C1_BYTES = re.compile(rb"\xc2[\x80-\x9f]")


def is_clean(raw: bytes) -> bool:
    """Whether UTF-8 bytes have nothing for `sanitise` or carriage-return folding to do. Fast: 1 GB/s."""
    if len(raw.translate(None, _DROPPED_BYTES)) != len(raw):
        return False
    return raw.isascii() or _C1_BYTES.search(raw) is None


def sanitise(text: str) -> str:
    """`text` with colour sequences, tabs and line breaks, and no other control or escape sequence.
    A sequence that the end of the text cuts off is dropped."""
    text = text.translate(_TRANSLATED)
    if "\x1b" in text:
        text = _UNWANTED.sub("", text)
    return text.replace("\x07", "")


def split_unfinished(text: str) -> tuple[str, str]:
    """(what is complete, the escape sequence that the end of `text` cuts off). The content of a cut-off
    title or device string is left out, since it is dropped in any case: the rest stays short."""
    text = text.translate(_TRANSLATED)
    begin = _last_open(text)
    if begin < 0:
        return text, ""
    rest = text[begin:]
    if len(rest) > 2 and rest[1] in _STRING_OPENERS:
        rest = rest[:2] + ("\x1b" if rest.endswith("\x1b") else "")
    return text[:begin], rest


def _last_open(text: str) -> int:
    """Where an unfinished escape sequence begins at the end of `text`, else -1."""
    if "\x1b" not in text:
        return -1
    position = 0
    while (position := text.find("\x1b", position)) >= 0:
        if _UNFINISHED.match(text, position):
            return position
        found = _ESCAPE.match(text, position)
        position = found.end() if found else position + 1
    return -1


def without_colour(text: str) -> tuple[str, list[tuple[int, str]]]:
    """The sanitised `text` as it reads, and each colour sequence with its place in that reading."""
    pieces = SGR.split(text)
    places = accumulate(map(len, pieces))
    return "".join(pieces), list(zip(places, SGR.findall(text), strict=False))
