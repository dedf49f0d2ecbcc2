"""How much one step may write, and what is kept of the rest.

The first part of a step's output passes as it comes. Beyond the caps lines are only counted, and the last raw
bytes are kept in a ring that is turned into lines when the step ends. Never starts in the middle of a line:
the line's beginning is where a secret could have been.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes, but for the seconds. `text`, `frames`: what a step may write before the ring takes over;
    `attempt_frames`: of all steps together; `ring_frames`: stored bytes the ring may turn into."""

    line: int = 16 * KIB
    text: int = 16 * MIB
    frames: int = 64 * MIB
    attempt_frames: int = 256 * MIB
    ring: int = 256 * KIB
    ring_frames: int = 1 * MIB
    idle_seconds: float = 1.0
    rewrite_seconds: float = 0.5
    capped_seconds: float = 10.0


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Omission:
    """What was left out between the last line shown and the lines of the ring."""

    lines: int
    bytes: int


class Ring:
    """The last bytes of a stream. `whole_start` is False when the first byte may be inside a line."""

    def __init__(self, size: int, *, whole_start: bool) -> None:
        self.lines = 0
        self.bytes = 0
        self._size = size
        self._whole_start = whole_start
        self._chunks: deque[bytes] = deque()
        self._kept = 0

    def append(self, chunk: bytes) -> None:
        self.lines += chunk.count(b"\n")
        self.bytes += len(chunk)
        if len(chunk) > self._size:
            chunk = chunk[-self._size :]
            self._whole_start = False
        self._chunks.append(chunk)
        self._kept += len(chunk)
        while self._kept - len(self._chunks[0]) >= self._size:
            self._kept -= len(self._chunks.popleft())
            self._whole_start = False

    def tail(self, unsafe: int) -> bytes:
        """What is kept, from the start of a line; where there is no line break, without the first `unsafe`
        bytes, in which the end of a secret may be."""
        kept = b"".join(self._chunks)
        if self._whole_start:
            return kept
        newline = kept.find(b"\n")
        return kept[newline + 1 :] if newline >= 0 else kept[unsafe:]


def last_lines_within(lines: list[str], budget: int, overhead: int = 160) -> list[str]:
    """As many of the last lines as `budget` stored bytes hold, when a frame costs `overhead` beside its line."""
    spent = 0
    for count, line in enumerate(reversed(lines)):
        spent += len(line) + overhead
        if spent > budget:
            return lines[len(lines) - count :]
    return lines
