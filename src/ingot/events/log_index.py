"""The sparse index of a log: where its blocks begin. Pure."""

from __future__ import annotations

import struct
from bisect import bisect_right
from dataclasses import dataclass, field

BATCH = 64 * 1024
"""Readers get whole frames, at most this many bytes at a time."""

_HEAD = struct.Struct("<8sQQQ")
_MAGIC = b"INGOTIX1"
_ENTRY = struct.Struct("<QQ")


@dataclass(slots=True)
class LogIndex:
    """Where blocks of whole frames begin: block `n` holds the frames from `seqs[n]` on and begins at byte
    `offsets[n]`. `end` is the byte behind the last frame, `next_seq` the number of frames."""

    seqs: list[int] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    end: int = 0
    next_seq: int = 0

    def extend(self, size: int, frames: int) -> None:
        """`frames` frames of `size` bytes together (at most one batch) follow."""
        if not self.offsets or self.end + size - self.offsets[-1] > BATCH:
            self.seqs.append(self.next_seq)
            self.offsets.append(self.end)
        self.end += size
        self.next_seq += frames

    def block_end(self, offset: int) -> int:
        """The end of the block that `offset` is in."""
        place = bisect_right(self.offsets, offset)
        return self.offsets[place] if place < len(self.offsets) else self.end

    def frames_end(self, offset: int, size: int) -> int:
        """The last byte known to be behind a whole frame, at most `size` (two batches at least) behind `offset`."""
        if offset + size >= self.end:
            return self.end
        return self.offsets[bisect_right(self.offsets, offset + size) - 1]

    def seq_near(self, offset: int) -> int:
        """The number of the frame at a byte: exact where blocks begin and at the end, in between by proportion."""
        if offset >= self.end:
            return self.next_seq
        place = bisect_right(self.offsets, offset) - 1
        begin, end = self.offsets[place], self.block_end(self.offsets[place])
        last = self.seqs[place + 1] if place + 1 < len(self.seqs) else self.next_seq
        return self.seqs[place] + (last - self.seqs[place]) * (offset - begin) // (end - begin)

    def block_of(self, seq: int) -> tuple[int, int]:
        """(begin, end) of the block with the frame `seq`, which must exist."""
        place = bisect_right(self.seqs, seq) - 1
        return self.offsets[place], self.block_end(self.offsets[place])

    def pack(self) -> bytes:
        """As it is kept on disk."""
        head = _HEAD.pack(_MAGIC, self.end, self.next_seq, len(self.seqs))
        return head + b"".join(_ENTRY.pack(*entry) for entry in zip(self.seqs, self.offsets, strict=True))

    @staticmethod
    def unpack(content: bytes) -> tuple[LogIndex, bytes]:
        """The index that `content` begins with, and what follows it. ValueError when it begins with none."""
        if len(content) < _HEAD.size:
            raise ValueError("an index is cut off")
        magic, end, next_seq, count = _HEAD.unpack_from(content)
        size = _HEAD.size + count * _ENTRY.size
        if magic != _MAGIC or len(content) < size:
            raise ValueError("an index is cut off, or none")
        entries = list(_ENTRY.iter_unpack(content[_HEAD.size : size]))
        return LogIndex([seq for seq, _ in entries], [place for _, place in entries], end, next_seq), content[size:]
