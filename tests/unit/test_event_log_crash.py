"""A writer killed at any moment: what a reader was told stays, and the log goes on behind it."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from ingot.events.frames import encode_lines
from ingot.events.log import EventLogs
from ingot.records.event import FrameId, Level, Phase

WRITER = """
import asyncio, sys
from pathlib import Path
from ingot.events.frames import encode_lines
from ingot.events.log import EventLogs
from ingot.records.event import FrameId, Level, Phase

async def main():
    logs = EventLogs(Path(sys.argv[1]))
    writer = await logs.open_writer("b1", 1, 1)
    cursor = (await logs.log("b1")).cursor()

    async def read():
        async for batch in cursor:
            sys.stdout.buffer.write(batch)
            sys.stdout.buffer.flush()

    reader = asyncio.create_task(read())
    while True:
        lines = [f"line {n} " + "x" * 300 for n in range(100)]
        first = FrameId(1, writer.next_seq)
        writer.append(encode_lines(first, lines, ts_ms=1000, level=Level.INFO, phase=Phase.INSTALL, source="run"))
        await writer.room()
        await asyncio.sleep(0)

asyncio.run(main())
"""


async def test_what_a_reader_saw_before_the_kill_is_in_the_log_after_it(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    seen = await process.stdout.readexactly(500_000)
    os.kill(process.pid, signal.SIGKILL)
    seen += await process.stdout.read()
    await process.wait()

    writer = await EventLogs(tmp_path).open_writer("b1", 1, 2)
    stored = (tmp_path / "b1/events.sse").read_bytes()
    assert stored.startswith(seen[: seen.rindex(b"\n\n") + 2])
    assert stored.count(b"\n\n") == writer.next_seq
    assert (writer.last_phase, writer.last_ts_ms) == (Phase.INSTALL, 1000)
    more = encode_lines(
        FrameId(1, writer.next_seq), ["on"], ts_ms=2000, level=Level.INFO, phase=Phase.INSTALL, source=None
    )
    writer.append(more)
    await writer.aclose()
    assert (tmp_path / "b1/events.sse").read_bytes() == stored + more[0]
