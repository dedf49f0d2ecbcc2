"""Reading part of a file without ever making the event loop wait for a disk."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from ingot.errors import CorruptStoreError


async def read_range(fd: int, begin: int, end: int, path: Path) -> bytes:
    """Bytes [begin, end): from the page cache at once, from the disk in a thread. `path` is for the error's text."""
    content = bytearray(end - begin)
    try:
        if os.preadv(fd, [content], begin, os.RWF_NOWAIT) == len(content):
            return bytes(content)
    except OSError:
        pass  # not cached, or a file system without RWF_NOWAIT
    read = await asyncio.to_thread(os.pread, fd, end - begin, begin)
    if len(read) != end - begin:
        raise CorruptStoreError(f"{path} is shorter than it was", hint="restore it from a backup")
    return read
