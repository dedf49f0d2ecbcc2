"""Stored frames → what a client asked for: fewer frames, NDJSON, plain text. Pure: whole frames in, whole frames out.

Selection and NDJSON never parse JSON: patterns are anchored at a frame's head, which no line's content can forge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Set
from dataclasses import dataclass
from enum import StrEnum
from json.encoder import encode_basestring_ascii as quote

from ingot.records.event import Level, Phase


class Format(StrEnum):
    """How events are written: server-sent events, a JSON object a line, the lines alone."""

    SSE = "sse"
    NDJSON = "ndjson"
    TEXT = "text"


CONTENT_TYPES = {
    Format.SSE: b"text/event-stream; charset=utf-8",
    Format.NDJSON: b"application/x-ndjson",
    Format.TEXT: b"text/plain; charset=utf-8",
}
_LEVELS = (Level.INFO, Level.SUCCESS, Level.WARN, Level.ERROR)
_STRING = r'"(?:[^"\\\n]|\\.)*"'
_HEAD = re.compile(rb"id: (\d+-\d+)\ndata: \{")
_LINE = re.compile(rb'"line":(%b)' % _STRING.encode())


@dataclass(frozen=True, slots=True)
class Selection:
    """Which frames are wanted; None means all. `level` is the least one. The terminal frame always passes."""

    phases: Set[Phase] | None = None
    sources: Set[str] | None = None
    level: Level | None = None

    @property
    def selects(self) -> bool:
        """Some frames may be left out."""
        return not (self.phases is None and self.sources is None and self.level in (None, Level.INFO))

    def keep(self, batch: bytes) -> bytes:
        """The wanted frames of a batch, unchanged."""
        return b"".join(match[0] for match in self.pattern().finditer(batch)) if self.selects else batch

    def count(self, batch: bytes) -> int:
        """How many frames of a batch are wanted."""
        return sum(1 for _ in self.pattern().finditer(batch)) if self.selects else batch.count(b"\n\n")

    def first_of_last(self, batch: bytes, count: int) -> int:
        """The number of the frame with which the last `count` wanted frames of a batch begin (1 ≤ count ≤ those
        that there are)."""
        frames = [match[0] for match in self.pattern().finditer(batch)]
        head = frames[-count].partition(b"\n")[0]
        return int(head.rpartition(b"-")[2])

    def pattern(self) -> re.Pattern[bytes]:
        """Matches one wanted frame."""
        return _pattern(self)


def to_ndjson(batch: bytes) -> bytes:
    """Each event as a JSON object on a line of its own, the frame's id first."""
    return _HEAD.sub(rb'{"id":"\1",', batch).replace(b"\n\n", b"\n")


def to_text(batch: bytes) -> bytes:
    """Each event's line, in UTF-8."""
    lines = b",".join(match[1] for match in _LINE.finditer(batch))
    texts = json.loads(b"[%b]" % lines)
    return "".join(f"{text}\n" for text in texts).encode("utf-8", "replace")


def convert(batch: bytes, wanted: Format, selection: Selection) -> bytes:
    """A batch of stored frames as the client wants it."""
    kept = selection.keep(batch)
    if wanted is Format.NDJSON:
        return to_ndjson(kept)
    return to_text(kept) if wanted is Format.TEXT else kept


def parse_range(header: str | None, length: int) -> tuple[int, int] | None:
    """(begin, end) of the one range of bytes that a `Range` header asks for; None when it is to be ignored. A range
    outside of what there is gives begin ≥ length: to be answered with 416."""
    found = re.fullmatch(r"bytes=(\d{0,15})-(\d{0,15})", (header or "").strip())
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        size = int(found[2])
        return (max(0, length - size), length) if size else (length, length)
    begin, end = int(found[1]), min(int(found[2]) + 1 if found[2] else length, length)
    if found[2] and int(found[2]) < begin:
        return None
    return (begin, end)


def _pattern(selection: Selection) -> re.Pattern[bytes]:
    found = _PATTERNS.get(selection_key := _key(selection))
    if found is None:
        if len(_PATTERNS) > 256:
            _PATTERNS.clear()
        found = _PATTERNS[selection_key] = _compile(selection)
    return found


_PATTERNS: dict[tuple[object, ...], re.Pattern[bytes]] = {}


def _key(selection: Selection) -> tuple[object, ...]:
    phases = None if selection.phases is None else frozenset(selection.phases)
    sources = None if selection.sources is None else frozenset(selection.sources)
    return (phases, sources, selection.level)


def _compile(selection: Selection) -> re.Pattern[bytes]:
    levels = _LEVELS[_LEVELS.index(selection.level or Level.INFO) :]
    level = "|".join(levels)
    phase = "[a-z]+" if selection.phases is None else "|".join(sorted(selection.phases))
    if selection.sources is None:
        source = f'(?:"source":{_STRING},)?'
    else:
        source = '"source":(?:' + "|".join(re.escape(quote(name)) for name in sorted(selection.sources)) + "),"
    head = r'id: \d+-\d+\ndata: \{"ts":"[^"\n]*",'
    wanted = rf'"level":"(?:{level})","phase":"(?:{phase})",{source}"line":[^\n]*'
    any_head = rf'"level":"[a-z]+","phase":"[a-z]+",(?:"source":{_STRING},)?"line":{_STRING}'
    return re.compile(rf'{head}(?:{wanted}|{any_head},"result":[^\n]*)\n\n'.encode())
