"""Compacting a finished log, and reading it back: size, and MB of frames a second.

    .venv/bin/python -m bench.compaction

The lines are those of a package manager: the paths of this host's files, each with a number. Prints one JSON object.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from pathlib import Path

from ingot.events.compacted import COMPACTED_FILE
from ingot.events.frames import encode_lines, encode_terminal
from ingot.events.log import EventLogs
from ingot.records.event import FrameId, Level, Phase, Result

LINES = 300_000
_BATCH = 100
_TS_MS = 1_780_938_001_007


async def measure(directory: Path) -> dict[str, float]:
    size = await write(directory)
    began = time.perf_counter()
    await EventLogs(directory).compact("b1")
    compacting = time.perf_counter() - began
    log = await EventLogs(directory).log("b1")
    assert log is not None
    began = time.perf_counter()
    read = sum([len(batch) async for batch in log.cursor()])
    reading = time.perf_counter() - began
    assert read == size
    return {
        "frames_mb": round(size / 1e6, 1),
        "size_ratio": round((directory / "b1" / COMPACTED_FILE).stat().st_size / size, 3),
        "compact_mb_s": round(size / 1e6 / compacting),
        "read_mb_s": round(size / 1e6 / reading),
    }


async def write(directory: Path) -> int:
    """A finished log; its size in bytes."""
    found = subprocess.run(["find", "/usr/lib", "/usr/share"], capture_output=True, text=True, check=True)
    lines = [f"Unpacking {path} ({place * 7919 % 999_983})" for place, path in enumerate(found.stdout.splitlines())]
    writer = await EventLogs(directory).open_writer("b1", 1, 1)
    for begin in range(0, min(LINES, len(lines)), _BATCH):
        first, batch = FrameId(1, writer.next_seq), lines[begin : begin + _BATCH]
        ts_ms = _TS_MS + begin
        writer.append(encode_lines(first, batch, ts_ms=ts_ms, level=Level.INFO, phase=Phase.INSTALL, source="apt"))
        await writer.room()
    last = FrameId(1, writer.next_seq)
    end = encode_terminal(
        last, ts_ms=_TS_MS + LINES, reached=Phase.ARCHIVE, result=Result.READY, duration_ms=1, failure=None
    )
    await writer.finish(end, _nothing)
    return (directory / "b1" / "events.sse").stat().st_size


async def _nothing() -> None:
    """Commits nothing."""


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(json.dumps(asyncio.run(measure(Path(place)))))
