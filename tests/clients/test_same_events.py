"""Clients that others wrote all deliver the same events: those of the log, each once, and nothing else."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients import builds
from tests.clients.readers import READERS
from tests.service.event_stream_server import PATH, Stream, serving


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    """Its heartbeats are frequent, so that clients meet many."""
    async with serving(tmp_path, heartbeat=0.1) as started:
        yield started


def address(stream: Stream) -> str:
    return f"http://127.0.0.1:{stream.port}{PATH}"


@pytest.mark.parametrize("name", READERS)
async def test_hostile_lines_reach_every_client_whole(stream: Stream, name: str) -> None:
    wanted = await builds.hostile(stream)
    lines = [json.loads(data)["line"] for _, data in wanted]
    assert {"", "data: forged", "id: 9-9", "event: forged", "retry: 1", ": comment", ":"} < set(lines)
    assert [identity for identity, _ in wanted] == [f"1-{seq}" for seq in range(len(wanted))]
    assert await READERS[name](address(stream)) == wanted


@pytest.mark.parametrize("name", READERS)
async def test_every_client_follows_a_live_build_and_sees_no_heartbeat(stream: Stream, name: str) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(builds.live(stream))
        while not stream.attempts:
            await asyncio.sleep(0.01)
        events = await READERS[name](address(stream))
    assert events == builds.stored_events(stream)
