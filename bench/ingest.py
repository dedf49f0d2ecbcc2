"""How many lines a second go through the whole ingest pipeline into the durable log.

    python bench/ingest.py [--megabytes N] [--directory D]

Prints one JSON object a line: a case, its lines per second, and the longest time the event loop was kept busy.
The lines are about 80 bytes, three secrets are set, chunks are 64 KiB as a pipe gives them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ingot.events.ingest.caps import MIB, Limits
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.records.build import StepRecord
from ingot.records.event import Phase, Result

CHUNK = 64 * 1024
LINE = "Get:%05d http://mirror.example/debian bookworm/main amd64 libfoo%05d 1.2.3-4 [118 kB]"
VALUES = [secrets.token_urlsafe(24), "sk-" + secrets.token_hex(20), secrets.token_urlsafe(40)]


def plain(count: int) -> str:
    return "\n".join((LINE % (n, n))[:79] for n in range(count)) + "\n"


def coloured(count: int) -> str:
    return "\n".join(f"\x1b[32m{(LINE % (n, n))[:60]}\x1b[0m\x1b[K  ok" for n in range(count)) + "\n"


def unicode_text(count: int) -> str:
    return "\n".join(f"{(LINE % (n, n))[:70]} ✓ fertig" for n in range(count)) + "\n"


def leaking(count: int) -> str:
    return "\n".join(f"{(LINE % (n, n))[:50]} token={VALUES[n % 3]}" for n in range(count)) + "\n"


def progress(count: int) -> str:
    return "".join(f"{n % 101:3d}% [{'=' * (n % 60):60}] fetching\r" for n in range(count)) + "\n"


def short(count: int) -> str:
    return "y\n" * count


CASES: dict[str, Callable[[int], str]] = {
    "plain": plain,
    "coloured": coloured,
    "unicode": unicode_text,
    "a secret in every line": leaking,
    "two-byte lines": short,
    "carriage returns": progress,
}


async def watch_loop(longest: list[float]) -> None:
    """Keeps the longest time between two turns of the loop."""
    before = time.perf_counter()
    while True:
        await asyncio.sleep(0)
        now = time.perf_counter()
        longest[0] = max(longest[0], now - before)
        before = now


async def run_case(name: str, content: bytes, directory: Path, limits: Limits) -> dict[str, object]:
    async def on_progress(phase: Phase, step: str | None) -> None: ...

    async def on_step(record: StepRecord) -> None: ...

    async def commit() -> None: ...

    logs = EventLogs(directory)
    writer = await logs.open_writer(name.replace(" ", "-"), 1, 1)
    reporter = BuildReporter(writer, 1, VALUES, on_progress, on_step, limits=limits)
    await reporter.enter(Phase.INSTALL)
    longest = [0.0]
    watcher = asyncio.create_task(watch_loop(longest))
    start, busy = time.perf_counter(), time.process_time()
    async with reporter.output("apt") as output:
        for place in range(0, len(content), CHUNK):
            await output.write(content[place : place + CHUNK])
    await writer.flush()
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    watcher.cancel()
    frames, size = writer.next_seq, writer.stored_bytes
    await reporter.finish(Result.READY, 1, None, commit)
    lines = content.count(b"\n") + content.count(b"\r")
    return {
        "case": name,
        "lines_per_s": round(lines / seconds),
        "lines": lines,
        "frames": frames,
        "stored_mb": round(size / 1e6, 1),
        "seconds": round(seconds, 3),
        "cpu_seconds": round(busy, 3),
        "longest_loop_turn_ms": round(longest[0] * 1000, 1),
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=32)
    parser.add_argument("--directory", type=Path, default=None)
    arguments = parser.parse_args()
    wide = Limits(text=10_000 * MIB, frames=10_000 * MIB, attempt_frames=10_000 * MIB)
    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        for name, make in CASES.items():
            sample = make(10_000).encode()
            size = arguments.megabytes * MIB // (16 if name == "two-byte lines" else 1)
            content = make(10_000 * max(1, size // len(sample))).encode()
            print(json.dumps(await run_case(name, content, Path(directory), wide)), flush=True)
        content = b"y\n" * (arguments.megabytes * MIB * 4)
        result = await run_case("capped", content, Path(directory), Limits())
        print(json.dumps({**result, "mb_per_s": round(len(content) / 1e6 / float(str(result["seconds"])))}), flush=True)


if __name__ == "__main__":
    import uvloop

    uvloop.run(main())
