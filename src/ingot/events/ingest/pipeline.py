"""All stages in a row, for the output of one step.

Pure: time is an argument, lines are the result. Whoever owns an `Ingest` makes frames of the lines, tells it
what they weigh (`charge`), and asks it again when a partial line is due (`due`).
"""

from __future__ import annotations

import codecs
import copy
from collections import deque

from ingot.events.ingest.caps import DEFAULT_LIMITS, KIB, Limits, Omission, Ring, last_lines_within
from ingot.events.ingest.lines import LineAssembler
from ingot.events.ingest.redactor import Redactor
from ingot.events.ingest.sanitiser import is_clean
from ingot.events.ingest.secret_forms import SecretForms

_LAST_LINES = 20
_LINE_END_PATIENCE = 64 * KIB
"""How far behind the cap a line's end is waited for, so that the ring begins with a whole line."""


class Ingest:
    """Turns one step's raw output into lines. `now` is seconds on any steady clock."""

    def __init__(self, forms: SecretForms, limits: Limits = DEFAULT_LIMITS, *, now: float = 0) -> None:
        self._limits = limits
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._redactor = Redactor(forms)
        self._lines = LineAssembler(forms, limits.line)
        self._recent: deque[str] = deque(maxlen=_LAST_LINES)
        self._text = 0
        self._frames = 0
        self._behind_cap: int | None = None  # bytes taken since a cap was reached
        self._ring: Ring | None = None
        self._last_feed = now
        self._last_shown = now
        self._looked = False  # the open line was shown since the last feed

    @property
    def forms(self) -> SecretForms:
        return self._redactor.forms

    @forms.setter
    def forms(self, forms: SecretForms) -> None:
        self._redactor.forms = self._lines.forms = forms

    @property
    def ring(self) -> Ring | None:
        """What is beyond the caps, once they are reached."""
        return self._ring

    def feed(self, chunk: bytes, now: float) -> list[str]:
        """The lines that this chunk finishes."""
        self._last_feed = now
        self._looked = False
        if self._ring is not None:
            self._ring.append(chunk)
            return []
        if self._behind_cap is not None:
            return self._feed_behind_cap(chunk, now)
        self._text += len(chunk)
        lines = self._through(chunk, now)
        self._check_caps()
        return lines

    def charge(self, frame_bytes: int) -> None:
        """The lines just returned became so many stored bytes."""
        self._frames += frame_bytes
        self._check_caps()

    def stop_storing(self) -> None:
        """The attempt as a whole has written what it may: from the next line on this step is capped."""
        if self._behind_cap is None:
            self._behind_cap = 0

    def due(self) -> float | None:
        """When to call `show_partial`, None while there is nothing to show."""
        if self._ring is not None or self._looked or not self._lines.has_open:
            return None
        idle = self._last_feed + self._limits.idle_seconds
        if self._lines.is_folding:
            return min(idle, self._last_shown + self._limits.rewrite_seconds)
        return idle

    def show_partial(self, now: float) -> list[str]:
        """The open line, if it is due."""
        due = self.due()
        if due is None or now < due:
            return []
        self._looked = True
        self._last_shown = now
        return self._remember(self._lines.show_partial())

    def finish(self) -> tuple[list[str], Omission | None, list[str]]:
        """The step ended: its last lines; and when it was capped, what was left out and the ring's lines."""
        if self._ring is None:
            text = self._redactor.feed(self._decoder.decode(b"", final=True)) + self._redactor.finish()
            return self._remember(self._lines.feed(text) + self._lines.finish()), None, []
        shown, raw_bytes = self._ring_lines(self._ring)
        left_out = Omission(max(0, self._ring.lines - len(shown)), max(0, self._ring.bytes - raw_bytes))
        return [], left_out, self._remember(shown)

    def last_lines(self) -> tuple[str, ...]:
        """The last lines as they would be if the step ended now. Nothing changes."""
        if self._ring is not None:
            recent = [*self._recent, *self._ring_lines(self._ring)[0]]
        else:
            lines = copy.copy(self._lines)
            rest = copy.copy(self._redactor).finish()
            recent = [*self._recent, *lines.feed(rest), *lines.finish()]
        return tuple(line for line in recent if line)[-_LAST_LINES:]

    def _through(self, chunk: bytes, now: float) -> list[str]:
        clean = is_clean(chunk)
        held = bool(self._redactor.held) or bool(self._decoder.getstate()[0])
        text = self._redactor.feed(self._decoder.decode(chunk))
        lines = self._lines.feed(text, clean=clean and not held)
        if self._lines.is_folding and now >= self._last_shown + self._limits.rewrite_seconds:
            self._last_shown = now
            lines += self._lines.show_partial()
        return self._remember(lines)

    def _remember(self, lines: list[str]) -> list[str]:
        self._recent.extend(lines[-_LAST_LINES:])
        return lines

    def _check_caps(self) -> None:
        if self._text >= self._limits.text or self._frames >= self._limits.frames:
            self.stop_storing()

    def _feed_behind_cap(self, chunk: bytes, now: float) -> list[str]:
        """Takes what is left of the line at the cap, then gives way to the ring."""
        assert self._behind_cap is not None
        line, newline, rest = chunk.partition(b"\n")
        if not newline and self._behind_cap + len(chunk) <= _LINE_END_PATIENCE:
            self._behind_cap += len(chunk)
            return self._through(chunk, now)
        if newline:
            lines = self._through(line + newline, now)
        else:
            lines, rest = self._remember(self._lines.show_partial()), chunk
        self._ring = Ring(self._limits.ring, whole_start=bool(newline))
        if rest:
            self._ring.append(rest)
        return lines

    def _ring_lines(self, ring: Ring) -> tuple[list[str], int]:
        """The ring's lines, and how many raw bytes they stand for (about, where lines were dropped)."""
        raw = ring.tail(unsafe=max(self._limits.line, 4 * self.forms.longest))
        unlimited = Limits(line=self._limits.line)
        inner = Ingest(self.forms, unlimited)
        lines = inner.feed(raw, 0) + inner.finish()[0]
        shown = last_lines_within(lines, self._limits.ring_frames)
        if len(shown) < len(lines):
            return shown, sum(len(line.encode()) + 1 for line in shown)
        return shown, len(raw)
