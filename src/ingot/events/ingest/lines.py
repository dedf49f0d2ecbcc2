"""Redacted text → finished lines: splits at line breaks, folds carriage returns, sanitises, redacts again what
joined only there, and cuts what is longer than a line may be.

How the text is cut into chunks changes nothing. Whole clean lines are handled in bulk; only the line that is
still open, and lines with carriage returns, cost work of their own.
"""

from __future__ import annotations

from ingot.events.ingest.redactor import redact_line, split_safe
from ingot.events.ingest.sanitiser import SGR, sanitise, split_unfinished
from ingot.events.ingest.secret_forms import SecretForms

_COLOUR_LENGTH = 80
"""No colour sequence is longer: how far back a cut looks for one that it would split."""


class LineAssembler:
    """One stream's lines. `limit` is the longest line in UTF-8 bytes; `forms` may be replaced."""

    def __init__(self, forms: SecretForms, limit: int) -> None:
        self.forms = forms
        self._limit = limit
        self._long = 4 * limit  # characters of an open line that are kept before pieces of it are emitted
        self._open = ""  # the state being written: text since the last line break or carriage return
        self._overwritten = ""  # the last state that a carriage return overwrites
        self._folding = False  # this line has a carriage return in it
        self._shown: str | None = None  # what of this line was emitted before its end

    @property
    def has_open(self) -> bool:
        """Whether a line is begun and not ended."""
        return bool(self._open or self._overwritten)

    @property
    def is_folding(self) -> bool:
        """Whether the open line is one that carriage returns rewrite."""
        return self._folding and self.has_open

    def feed(self, text: str, *, clean: bool = False) -> list[str]:
        """The lines that `text` ends. `clean`: the text has nothing to fold or sanitise."""
        lines: list[str] = []
        if self.has_open or self._shown is not None:
            first, ended, text = text.partition("\n")
            lines = self._extend(first)
            if not ended:
                return lines
            lines += self._end()
        body, ended, tail = text.rpartition("\n")
        if ended:
            lines += self._whole(body, clean=clean)
        return lines + self._extend(tail) if tail else lines

    def finish(self) -> list[str]:
        """The stream ended: the open line, if there is one."""
        if self.has_open:
            return self._end()
        self._forget()
        return []

    def show_partial(self) -> list[str]:
        """What of the open line can be shown before it ends, never a part of what may be a secret; later
        text goes on behind it, in a line of its own. A line under rewriting shows its state and stays."""
        if self._folding:
            return self._show_state()
        ready, waiting = self._safe(self._open)
        if not ready:
            return []
        self._open = waiting
        self._shown = ""
        return cut_line(ready, self._limit)

    def _show_state(self) -> list[str]:
        state, _ = self._safe(self._open or self._overwritten)
        if not state or state == self._shown:
            return []
        self._shown = state
        return cut_line(state, self._limit)

    def _extend(self, text: str) -> list[str]:
        """Adds text without line breaks to the open line; returns the pieces that are certain already."""
        lines: list[str] = []
        if "\r" in text:
            *states, text = text.split("\r")
            self._folding = True
            for state in states:
                if self._open or state:
                    lines += self._overwrite(self._open + state)
        self._open += text
        if len(self._open) > self._long:
            lines += self._overlong()
        return lines

    def _overwrite(self, state: str) -> list[str]:
        """A carriage return ends a state. Of one longer than a line only the last piece is overwritten."""
        self._open = ""
        if len(state) * 4 <= self._limit:
            self._overwritten = state
            return []
        *pieces, self._overwritten = self._finished(state)
        return pieces

    def _overlong(self) -> list[str]:
        ready, waiting = self._safe(self._open)
        if len(waiting) > self._long:
            ready, waiting = ready + redact_line(self.forms, sanitise(waiting)), ""
        *pieces, rest = cut_line(ready, self._limit)
        self._open = rest + waiting
        return pieces

    def _end(self) -> list[str]:
        lines = self._finished(self._open or self._overwritten)
        shown = self._shown
        self._forget()
        return [] if lines == [shown] else lines

    def _forget(self) -> None:
        self._open, self._overwritten, self._folding, self._shown = "", "", False, None

    def _safe(self, text: str) -> tuple[str, str]:
        complete, cut_off = split_unfinished(text)
        ready, waiting = split_safe(self.forms, sanitise(complete))
        return ready, waiting + cut_off

    def _finished(self, text: str) -> list[str]:
        return cut_line(redact_line(self.forms, sanitise(text)), self._limit)

    def _whole(self, body: str, *, clean: bool) -> list[str]:
        """Lines of a block, none of them begun before it."""
        if not clean:
            body = (body + "\n").replace("\r\n", "\n")[:-1]
            if "\r" in body:
                return [piece for line in body.split("\n") for piece in self._folded(line)]
            body = sanitise(body)
        lines = body.split("\n")
        if not clean and self.forms.found(SGR.sub("", body)):
            lines = [redact_line(self.forms, line) for line in lines]
        if len(body) * 4 > self._limit and max(map(len, lines)) * 4 > self._limit:
            lines = [piece for line in lines for piece in cut_line(line, self._limit)]
        return lines

    def _folded(self, line: str) -> list[str]:
        return self._extend(line) + self._end()


def cut_line(line: str, limit: int) -> list[str]:
    """A sanitised line in pieces of at most `limit` UTF-8 bytes, never cut inside a character or an escape."""
    if len(line) * 4 <= limit or len(line.encode()) <= limit:
        return [line]
    pieces, raw = [], line.encode()
    while len(raw) > limit:
        cut = _cut_place(raw, limit)
        pieces.append(raw[:cut].decode())
        raw = raw[cut:]
    return [*pieces, raw.decode()]


def _cut_place(raw: bytes, limit: int) -> int:
    """The last place up to `limit` that is between characters and outside of colour sequences."""
    cut = limit
    while cut > 1 and raw[cut] & 0xC0 == 0x80:
        cut -= 1
    escape = raw.rfind(b"\x1b", max(0, cut - _COLOUR_LENGTH), cut)
    if escape > 0 and raw.find(b"m", escape, cut) < 0:
        return escape
    return cut
