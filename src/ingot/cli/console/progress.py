"""The ways a watched build is shown: tty, plain, rawjson, quiet. Each takes frames and writes; none reads a network.

Where lines are what was asked for they go to stdout, where they are talk to stderr; rawjson is always a result.
"""

from __future__ import annotations

import sys
import time
from typing import Protocol, TextIO

from rich.console import Console

from ingot.cli.console.layout import final_rows, finished_phase, live_rows, plain_line
from ingot.cli.console.model import BuildModel
from ingot.cli.console.painter import Painter
from ingot.cli.output import duration
from ingot.cli.watch import ProgressMode, Watch
from ingot.client import Frame, Retry


class Progress(Protocol):
    """One build's display. `take` gets frames in order; `tick` comes ten times a second; `close` once, at the end."""

    def connected(self, clock_offset: float | None) -> None:
        """A connection is open; the server's clock is so many seconds ahead of ours (None: unknown)."""

    def retrying(self, retry: Retry) -> None: ...

    def take(self, frame: Frame) -> None: ...

    def tick(self) -> None: ...

    def close(self) -> None: ...


def make_progress(watch: Watch) -> Progress:
    """The display that a watch asks for; `auto` is tty on a terminal that can move its cursor."""
    stream = sys.stdout if watch.results_are_frames else sys.stderr
    terminal = Console(file=stream)
    movable = terminal.is_terminal and not terminal.is_dumb_terminal
    mode = watch.mode
    if mode is ProgressMode.AUTO:
        mode = ProgressMode.TTY if movable else ProgressMode.PLAIN
    if mode is ProgressMode.TTY:
        return Live(stream)
    if mode is ProgressMode.PLAIN:
        return Plain(stream, colour=movable and not terminal.no_color)
    return RawJson(sys.stdout) if mode is ProgressMode.RAWJSON else Quiet()


class Quiet:
    """Shows nothing but what keeps us from watching."""

    def connected(self, clock_offset: float | None) -> None: ...

    def retrying(self, retry: Retry) -> None:
        sys.stderr.write(f"{retry.why}; trying again in {retry.wait:.1f} s\n")
        sys.stderr.flush()

    def take(self, frame: Frame) -> None: ...

    def tick(self) -> None: ...

    def close(self) -> None: ...


class RawJson(Quiet):
    """Every event as the server sent it, one a line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def take(self, frame: Frame) -> None:
        self._stream.write(frame.data + "\n")

    def tick(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class Plain(Quiet):
    """A line an event: seconds since the build began, phase, source, line. Good for files and CI."""

    def __init__(self, stream: TextIO, *, colour: bool) -> None:
        self._stream = stream
        self._colour = colour
        self._began_ms: int | None = None

    def take(self, frame: Frame) -> None:
        event = frame.event
        if self._began_ms is None:
            self._began_ms = event.ts_ms
        at = duration((event.ts_ms - self._began_ms) / 1000)
        line = event.line + "\x1b[0m" if self._colour and "\x1b" in event.line else plain_line(event.line)
        self._stream.write(f"{at:>7} {event.phase:<8} {event.source or '-':<8} {line}\n")

    def tick(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        self._stream.flush()


class Live:
    """The console on a terminal: a line per phase and step, ticking times, the last lines of what runs."""

    def __init__(self, stream: TextIO) -> None:
        self._model = BuildModel()
        self._painter = Painter(stream)
        self._drawn = 0
        self._ahead_ms = 0
        self._status = ""

    def connected(self, clock_offset: float | None) -> None:
        self._status = ""
        # The header counts whole seconds: a smaller difference says nothing.
        self._ahead_ms = round(clock_offset * 1000) if clock_offset is not None and abs(clock_offset) >= 2 else 0

    def retrying(self, retry: Retry) -> None:
        self._status = f"{retry.why}; trying again ({retry.tries})"

    def take(self, frame: Frame) -> None:
        self._model.take(frame)

    def tick(self) -> None:
        canvas = self._painter.canvas(int(time.time() * 1000) + self._ahead_ms)
        model = self._model
        over = len(model.phases) if model.end is not None else max(0, len(model.phases) - 1)
        fresh = [row for phase in model.phases[self._drawn : over] for row in finished_phase(phase, canvas)]
        earlier = model.phases[: self._drawn]
        live = live_rows(model, canvas, self._status) if model.end is None else []
        self._painter.paint(
            canvas, fresh, live, lambda: [row for phase in earlier for row in finished_phase(phase, canvas)]
        )
        self._drawn = over

    def close(self) -> None:
        self.tick()
        canvas = self._painter.canvas(0)
        rows = final_rows(self._model, canvas)
        if rows:
            self._painter.paint(canvas, rows, [], list)
        self._painter.close()
