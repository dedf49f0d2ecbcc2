"""A step that floods: what it does to the server's memory, to another build's latency, and to the flood's own log.

A build prints 100 lines a second, each with the time at which it was written inside the machine; a client that follows
it tells how long each took. First alone, then with 100 clients, then beside `yes | head -c 1000M`, then beside one
line of 1,000 MB.

    .venv/bin/python -m bench.flood

Needs root and what containers need. Prints one JSON object: latencies in ms, memory in MiB, rates in MB/s.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import httpx2
from tests.acceptance.documents import template
from tests.acceptance.server import KEY, Server, path_of

from bench.real_server import real_server
from bench.stream.watchers import watching
from ingot.conformance.frames import take_frames

SECONDS = 30
_SETTLED = 3
"""Seconds after which the client of the ticking build has started and caught up."""

FLOOD_MB = 1000
FLOODS = {
    "yes": f"yes | head -c {FLOOD_MB}M; echo the end; exit 3",
    "yes, then slowly": f"yes | head -c {FLOOD_MB}M; timeout 22 sh -c 'while sleep 1; do echo more; done' || true; "
    "echo the end; exit 3",
    "one line": f"head -c {FLOOD_MB}M /dev/zero | tr '\\0' x; echo; echo the end; exit 3",
}
MANY = 100
_TICKS = f"for i in $(seq 1 {SECONDS * 100}); do echo tick ${{EPOCHREALTIME/[.,]/}}; sleep 0.009; done"
_TICK = re.compile(rb'"line":"tick (\d{16})"')
"""Microseconds since the epoch."""
_SAMPLE = 0.1
_DEADLINE = 300.0


def main() -> None:
    with real_server(builds="4", account_builds="4") as server:
        print(json.dumps(asyncio.run(measure(server)), indent=1))


async def measure(server: Server) -> dict[str, Any]:
    await ticking(server)  # once for the caches
    alone = latencies([came - written for written, came in await ticking(server)])
    found: dict[str, Any] = {"alone": alone}
    found[f"{MANY} clients"] = latencies([came - written for written, came in await ticking(server, MANY)])
    for name, step in FLOODS.items():
        before = memory_mb(server)
        sampling = asyncio.create_task(highest_memory(server))
        ticks, flood = await asyncio.gather(ticking(server), flooded(server, step, wait=_SETTLED))
        sampling.cancel()
        beside = [came - written for written, came in ticks if flood["began"] <= written <= flood["ended"]]
        found[name] = latencies(beside) | flood
        found[name] |= {"memory_before": before, "memory_growth": round(await sampling - before, 1)}
        found[name]["p99_to_alone"] = round(found[name]["p99"] / alone["p99"], 2)
    return found


async def ticking(server: Server, clients: int = 1) -> list[tuple[float, float]]:
    """Builds what prints the time; when each line was written, and when it came to each client, in seconds since the
    epoch, without the first seconds. The clients are a process of their own."""
    ref = server.publish(template(f": {time.time()}; {_TICKS}"))  # no step that is known
    server.build(ref)
    command = [sys.executable, "-m", "bench.flood", "--clients", f"{path_of(ref)}", str(server.port), str(clients)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _DEADLINE)
    finally:
        if process.returncode is None:
            process.kill()
    ticks: list[tuple[float, float]] = json.loads(output)
    assert len(ticks) == SECONDS * 100 * clients, len(ticks)
    settled = min(written for written, _ in ticks) + _SETTLED
    return [tick for tick in ticks if tick[0] >= settled]


def tick_clients(path: str, port: int, count: int) -> None:
    """Follows a ticking build and prints when its lines were written and came, in seconds since the epoch."""
    request = f"GET /api{path}/build/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\n\r\n".encode()
    with watching(port, request, count) as clients:
        ticks = clients.stamped(time.monotonic() + _DEADLINE, _TICK, lambda: time.time_ns() // 1000)
    print(json.dumps([(written / 1e6, came / 1e6) for written, came in ticks]))


async def flooded(server: Server, step: str, wait: float) -> dict[str, Any]:
    """Builds what floods, after `wait` seconds, and returns what its log says."""
    await asyncio.sleep(wait)
    ref = server.publish(template(step))
    server.build(ref)
    chunks = [chunk async for chunk in following(f"{server.url}/api{path_of(ref)}/build/events")]
    times = [came for _, came in chunks]
    frames, _ = take_frames(b"".join(chunk for chunk, _ in chunks))
    end = frames[-1].data
    lines = [frame.line for frame in frames]
    return {
        "began": times[0],
        "ended": times[-1],
        "seconds": round(times[-1] - times[0], 1),
        "rate_mb_s": round(FLOOD_MB * 1.048576 / (times[-1] - times[0]), 1),
        "frames": len(frames),
        "progress_lines": sum("still writing" in line for line in lines),
        "longest_silence": round(max(later - before for before, later in itertools.pairwise(times)), 1),
        "warnings": [frame.line for frame in frames if frame.data["level"] == "warn"],
        "end_is_there": "the end" in lines,
        "failure": f"{end['result']} {end['error']['exit_code']}",
    }


async def following(address: str) -> AsyncIterator[tuple[bytes, float]]:
    """The bytes of a build's stream with the time at which they came."""
    client = httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, trust_env=False)
    async with asyncio.timeout(_DEADLINE), client, client.stream("GET", address, timeout=60) as response:
        async for chunk in response.aiter_raw():
            yield chunk, time.time()


async def highest_memory(server: Server) -> float:
    """The server's highest resident memory in MiB, until cancelled."""
    highest = 0.0
    try:
        while True:
            highest = max(highest, memory_mb(server))
            await asyncio.sleep(_SAMPLE)
    except asyncio.CancelledError:
        return highest


def memory_mb(server: Server) -> float:
    assert server.process is not None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1)


def latencies(took: Sequence[float]) -> dict[str, float]:
    """p50, p99 and the worst of seconds, in ms."""
    ordered = sorted(seconds * 1000 for seconds in took)
    places = {"p50": len(ordered) // 2, "p99": len(ordered) * 99 // 100, "max": -1}
    return {name: round(ordered[place], 1) for name, place in places.items()}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--clients"]:
        tick_clients(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
