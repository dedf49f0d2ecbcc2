"""A build's end on a disk that takes nothing: told when it takes something again, and once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.service.test_held_machines import works

from ingot import worker
from ingot.events import log_file
from ingot.records.build import BuildFlags, BuildState


async def test_an_end_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write, tried, room = log_file.write_at, asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def write_while_there_is_room(fd: int, chunks: list[bytes], offset: int) -> Any:
        if b'"result":' in b"".join(chunks) and not room.is_set():
            loop.call_soon_threadsafe(tried.set)
            raise OSError(28, "No space left on device")
        return write(fd, chunks, offset)

    monkeypatch.setattr(log_file, "write_at", write_while_there_is_room)
    monkeypatch.setattr(worker, "_ROOM_SECONDS", 0.05)
    async with works(tmp_path) as shop:
        ending = asyncio.create_task(shop.end(flags=BuildFlags(force=True)))
        await asyncio.wait_for(tried.wait(), 20)
        [waiting] = await shop.queue.active()
        assert waiting.state is BuildState.RUNNING
        assert '"result":' not in shop.lines(waiting)
        room.set()
        ended = await ending
        assert ended.failure is not None
        assert ended.failure.message == "run break it ended with exit code 3"
        assert shop.lines(ended).count('"result":') == 1
