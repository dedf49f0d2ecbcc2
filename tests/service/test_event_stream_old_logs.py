"""Logs that were compacted or removed, as clients of the stream meet them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.event_stream_server import Stream, serving
from tests.service.test_event_stream_contract import opened


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with serving(tmp_path) as started:
        yield started


async def aged(stream: Stream, lines: int) -> bytes:
    """A finished build whose log is compacted and was not read before; its bytes."""
    stored = await stream.finished(lines)
    assert await stream.logs.compact(stream.attempts[-1])
    assert not (stream.directory / stream.attempts[-1] / "events.sse").exists()
    return stored


async def test_a_compacted_log_is_replayed_byte_for_byte(stream: Stream) -> None:
    stored = await aged(stream, 20_000)
    frames = [frame + b"\n\n" for frame in stored.split(b"\n\n")[:-1]]

    async def read(query: str = "", last: str | None = None) -> bytes:
        async with stream.get(query, last=last) as response:
            assert response.status == 200
            return await response.all()

    assert await asyncio.gather(*(read() for _ in range(8))) == [opened(stored)] * 8
    assert await read(last="1-12344") == opened(b"".join(frames[12345:]))
    assert await read("?tail=7") == opened(b"".join(frames[-7:]))
    assert await read("?follow=0") == opened(stored)
    async with stream.get(last=f"1-{len(frames) - 1}") as response:
        assert response.status == 204


async def test_the_other_formats_read_compacted_logs(stream: Stream) -> None:
    stored = await aged(stream, 5000)
    async with stream.get("?format=ndjson") as response:
        ids = [json.loads(line)["id"] for line in (await response.all()).splitlines()]
    assert ids == [f"1-{seq}" for seq in range(stored.count(b"\n\n"))]
    async with stream.get("?format=text&tail=3&source=run") as response:
        assert (await response.all()).decode().splitlines()[:2] == ["line 4998", "line 4999"]


async def test_a_log_whose_time_is_over_is_gone(stream: Stream) -> None:
    await stream.finished(10)
    assert await stream.logs.expire(stream.attempts[-1])
    for query in ("", "?follow=0", "?tail=3", "?format=text", "?wait=1"):
        async with stream.get(query) as response:
            assert response.status == 410
            refusal = json.loads(await response.all())
        assert (refusal["code"], "removed" in refusal["error"]) == ("log_expired", True)
    stored = await stream.finished(3)
    async with stream.get() as response:
        assert await response.all() == opened(stored), "a newer attempt is there"
