"""A command's output as it comes from its virtio port, and its end, which is written behind it inside."""

from __future__ import annotations

from dataclasses import dataclass

from ingot.errors import MachineLostError

_LONGEST_END = 256


@dataclass(frozen=True, slots=True)
class End:
    """How a command ended. `memory_kills` counts processes of it that were killed for memory; `disk_full` says that
    the disk had no room, or no inode, when a command failed."""

    status: int
    memory_kills: int
    disk_full: bool


class Mark:
    """Takes a command's bytes apart: the begin, output, and the end, marked by NUL and `nonce`, which no earlier
    command can have known. What comes before the begin is of others. `begun` and `end` are what has come so far."""

    def __init__(self, nonce: str) -> None:
        self._begin = b"\0" + nonce.encode() + b"\n"
        self._ending = b"\0" + nonce.encode() + b" "
        self.begun = False
        self.end: End | None = None
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The output in it. What may be the beginning of a mark is held back, as far as one can be long."""
        content, self._held = self._held + chunk, b""
        if not self.begun:
            _, found, after = content.partition(self._begin)
            if not found:
                self._held = content[-len(self._begin) :]
                return b""
            self.begun, content = True, after
        output, found, after = content.partition(self._ending)
        if found:
            line, whole, _ = after.partition(b"\n")
            if whole:
                self.end = _parse_end(line)
            elif len(after) > _LONGEST_END:
                return content
            else:
                self._held = found + after
            return output
        place = content.rfind(b"\0", max(0, len(content) - len(self._ending)))
        if place >= 0 and self._ending.startswith(content[place:]):
            self._held = content[place:]
            return content[:place]
        return content


def _parse_end(line: bytes) -> End:
    try:
        status, kills, *room = line.split()
        blocks = None if room == [b"-"] else [int(number) for number in room]
        full = blocks is not None and (blocks[0] * blocks[1] < 1024 * 1024 or blocks[2] < 8)
        return End(int(status), int(kills), full)
    except (ValueError, IndexError):
        raise MachineLostError(f"the machine told a command's end as {line[:80]!r}") from None
