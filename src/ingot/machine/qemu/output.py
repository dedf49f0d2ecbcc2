"""A command's output, read from its virtio port as it comes, and its end, which is written behind it inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from ingot.errors import MachineLostError
from ingot.process import Sink

_CHUNK = 64 * 1024


@dataclass(frozen=True, slots=True)
class End:
    """How a command ended. `memory_kills` counts processes of it that were killed for memory; `disk_full` says that
    the disk had no room, or no inode, when a command failed."""

    status: int
    memory_kills: int
    disk_full: bool


class Mark:
    """Takes a command's bytes apart: the begin, output, and the end, marked by NUL and `nonce`, which no earlier
    command can have known. What comes before the begin is of others."""

    def __init__(self, nonce: str) -> None:
        self._begin = b"\0" + nonce.encode() + b"\n"
        self._end = b"\0" + nonce.encode() + b" "
        self.begun = False
        self._held = b""

    def feed(self, chunk: bytes) -> tuple[bytes, End | None]:
        """(output, the end once it has come). What may be the beginning of a mark is held back."""
        content, self._held = self._held + chunk, b""
        if not self.begun:
            _, found, after = content.partition(self._begin)
            if not found:
                self._held = content[-len(self._begin) :]
                return b"", None
            self.begun, content = True, after
        output, found, after = content.partition(self._end)
        if found:
            line, whole, _ = after.partition(b"\n")
            if whole:
                return output, _parse_end(line)
            self._held = found + after
            return output, None
        place = content.rfind(b"\0", max(0, len(content) - len(self._end)))
        if place >= 0 and self._end.startswith(content[place:]):
            self._held = content[place:]
            return content[:place], None
        return content, None


async def read_output(
    reader: asyncio.StreamReader, nonce: str, sink: Sink, at_begin: Callable[[], None] = lambda: None
) -> End:
    """Calls `at_begin` when the command begins, and passes its output on until its end. Raises MachineLostError when
    the machine goes first."""
    mark, begun = Mark(nonce), False
    while chunk := await reader.read(_CHUNK):
        output, end = mark.feed(chunk)
        if mark.begun and not begun:
            begun = True
            at_begin()
        if output:
            await sink(output)
        if end is not None:
            return end
    raise MachineLostError("the machine ended while a command ran")


def _parse_end(line: bytes) -> End:
    try:
        status, kills, *room = line.split()
        blocks = None if room == [b"-"] else [int(number) for number in room]
        full = blocks is not None and (blocks[0] * blocks[1] < 1024 * 1024 or blocks[2] < 8)
        return End(int(status), int(kills), full)
    except (ValueError, IndexError):
        raise MachineLostError(f"the machine told a command's end as {line[:80]!r}") from None
