"""Replaces secrets by `***`: in a stream of text, and in a finished line.

The stream holds back what may be the beginning of a secret, so that how the text is cut into chunks changes
nothing. A run of characters that belong to secrets, however they overlap, becomes one `***`.
"""

from __future__ import annotations

from bisect import bisect_right

from ingot.events.ingest.sanitiser import without_colour
from ingot.events.ingest.secret_forms import SecretForms, Span, merge

MASK = "***"


class Redactor:
    """Takes a stream of text in chunks. `forms` may be replaced by one that knows more secrets."""

    def __init__(self, forms: SecretForms) -> None:
        self.forms = forms
        self._held = ""
        self._hidden = 0  # characters at the start of `_held` that belong to a secret already seen
        self._masking = False  # what was released last is a mask, which hides what follows without a gap too

    @property
    def held(self) -> str:
        """What may be the beginning of a secret and is kept for now."""
        return self._held

    def feed(self, text: str) -> str:
        """What of the text so far can be shown."""
        if not self.forms:
            return self._release_all(text)
        buffer = self._held + text if self._held else text
        return self._advance(buffer, self.forms.hold(buffer))

    def finish(self) -> str:
        """Nothing follows: the rest. The redactor can be used for another stream."""
        buffer = self._held
        rest = self._advance(buffer, len(buffer)) if buffer else ""
        self._masking = False
        return rest

    def _release_all(self, text: str) -> str:
        released, self._held, self._hidden = self._held + text, "", 0
        return released

    def _advance(self, buffer: str, cut: int) -> str:
        if cut == 0:
            self._held = buffer
            return ""
        if not self._hidden and not self.forms.found(buffer):
            self._held = buffer[cut:]
            self._masking = False
            return buffer[:cut]
        spans = self.forms.spans(buffer)
        if self._hidden:
            spans = merge([(0, self._hidden), *spans])
        spans = [span for span in spans if span[0] < cut]
        released = _mask(buffer[:cut], spans, continues=self._masking)
        last = spans[-1][1] if spans else 0
        self._masking = last >= cut
        self._held, self._hidden = buffer[cut:], max(0, last - cut)
        return released


def redact_line(forms: SecretForms, line: str) -> str:
    """A sanitised line without secrets, also not such as colour sequences interrupt."""
    if not forms:
        return line
    if "\x1b" not in line:
        return _mask(line, forms.spans(line)) if forms.found(line) else line
    plain, colours = without_colour(line)
    if not forms.found(plain):
        return line
    return _mask_coloured(plain, colours, forms.spans(plain))


def split_safe(forms: SecretForms, line: str) -> tuple[str, str]:
    """(what of the beginning of an unfinished sanitised line can be shown, redacted; what must wait)."""
    if not forms:
        return line, ""
    plain, colours = without_colour(line)
    cut = forms.hold(plain)
    for start, end in forms.spans(plain) if cut < len(plain) and forms.found(plain) else ():
        if start < cut < end:
            cut = start
    if cut == len(plain):
        return redact_line(forms, line), ""
    at = cut + sum(len(colour) for place, colour in colours if place <= cut)
    return redact_line(forms, line[:at]), line[at:]


def _mask(text: str, spans: list[Span], *, continues: bool = False) -> str:
    """`text` with each span as a mask; `continues`: a mask stands right before the text."""
    pieces, position = [], 0
    for start, end in spans:
        pieces.append(text[position:start])
        if start or not continues:
            pieces.append(MASK)
        position = end
    pieces.append(text[position:])
    return "".join(pieces)


def _mask_coloured(plain: str, colours: list[tuple[int, str]], spans: list[Span]) -> str:
    """Masks `plain` and puts the colours back; those inside a span follow its mask."""
    places = [place for place, _ in colours]
    pieces, position, used = [], 0, 0
    for start, end in spans:
        first, inside = bisect_right(places, start, used), bisect_right(places, end, used)
        pieces += [_coloured(plain, colours[used:first], position, start), MASK]
        pieces += [colour for _, colour in colours[first:inside]]
        position, used = end, inside
    pieces.append(_coloured(plain, colours[used:], position, len(plain)))
    return "".join(pieces)


def _coloured(plain: str, colours: list[tuple[int, str]], start: int, end: int) -> str:
    pieces = []
    for place, colour in colours:
        pieces += [plain[start:place], colour]
        start = place
    return "".join(pieces) + plain[start:end]
