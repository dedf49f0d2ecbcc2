"""Draws rows on a terminal: what is finished scrolls up for good, what runs is redrawn in place below it.

Each repaint is one write. When the terminal's width changes, rows drawn before may have been folded by it, so the
visible part is drawn anew. Leaving the painter puts the cursor back below everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TextIO

from rich.console import Console
from rich.text import Text

from ingot.cli.console.layout import ASCII, UNICODE, Canvas

_HIDE, _SHOW, _CLEAR, _BELOW, _LINE_END = "\x1b[?25l", "\x1b[?25h", "\x1b[2J\x1b[H", "\x1b[J", "\x1b[K"


class Painter:
    """One live region at the end of `stream`, which must be a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._console = Console(file=stream, force_terminal=True, highlight=False, legacy_windows=False)
        self._symbols = UNICODE if "utf" in (stream.encoding or "").lower() else ASCII
        self._live = 0
        self._width = 0
        self._hidden = False

    def canvas(self, now_ms: int) -> Canvas:
        """The terminal as it is now."""
        try:
            columns, lines = os.get_terminal_size(self._stream.fileno())
        except OSError:
            columns, lines = 80, 24
        return Canvas(columns or 80, lines or 24, now_ms, self._symbols)

    def paint(
        self, canvas: Canvas, finished: Sequence[Text], live: Sequence[Text], again: Callable[[], Sequence[Text]]
    ) -> None:
        """Adds `finished` for good and draws `live` in place of the last one. `again` gives all that was finished
        before, for a terminal whose width has changed."""
        out = [] if self._hidden else [_HIDE]
        self._hidden = True
        if self._width not in (0, canvas.width):
            room = max(0, canvas.height - 1 - len(live) - len(finished))
            earlier = again()
            out += [_CLEAR, *(self._encode(row) for row in earlier[len(earlier) - min(room, len(earlier)) :])]
        elif self._live:
            out.append(f"\x1b[{self._live}A\r")
        out += [self._encode(row) for row in (*finished, *live)]
        out.append(_BELOW)
        self._live, self._width = len(live), canvas.width
        self._stream.write("".join(out))
        self._stream.flush()

    def close(self) -> None:
        """Shows the cursor again; what is drawn stays."""
        if self._hidden:
            self._stream.write(_SHOW)
            self._stream.flush()
        self._hidden = False

    def _encode(self, row: Text) -> str:
        with self._console.capture() as captured:
            self._console.print(row, soft_wrap=True, end="")
        return captured.get() + _LINE_END + "\n"
