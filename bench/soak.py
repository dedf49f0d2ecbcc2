"""Half an hour of real builds, with watchers who come and go and a server that is ended and killed.

    .venv/bin/python -m bench.soak [--minutes 30] [--watchers 500]

Builds run in a loop. Each watcher follows one of the newest builds, leaves at a random time, and takes another. Every
frame that any of them sees is compared with the log as it is replayed at the end. For two thirds of the time the server
is left alone: its memory, descriptors and tasks then are compared between the begin and the end. In the last third it
is ended in order and killed in turn. Prints a JSON object; status 1 when anything grew or was missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import re
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any

from tests.acceptance.documents import template
from tests.acceptance.server import KEY, Server

from bench.real_server import real_server
from ingot.client import Client
from ingot.client.follow import Patience
from ingot.errors import IngotError
from ingot.records.ref import Ref

_STEPS = ("seq 1 400", "for i in $(seq 1 40); do echo tick $i; sleep 0.25; done", "seq 1 200")
_NEWEST = 3
_RESTART_EVERY = 45.0
_GROWTH = {"memory_mb": 1.15, "descriptors": 1.15, "tasks": 1.15}
"""How many times its first value a figure may have at the end."""


class Soak:
    def __init__(self, server: Server, client: Client, seconds: float) -> None:
        self.server = server
        self.client = client
        self.ends = time.monotonic() + seconds
        self.refs: list[Ref] = []
        self.seen: dict[Ref, dict[int, int]] = {}
        self.samples: list[dict[str, float]] = []
        self.wrong: list[str] = []
        self.frames = self.watches = self.restarts = 0

    @property
    def is_over(self) -> bool:
        return time.monotonic() >= self.ends

    async def build_in_a_loop(self) -> None:
        """One build after the other; all are over when it returns."""
        while not self.is_over:
            with contextlib.suppress(IngotError):
                document = json.dumps(template(f": {time.time()}; {_STEPS[0]}", *_STEPS[1:])).encode()
                ref = Ref.parse((await self.client.publish(document, "application/json")).ref)
                await self.client.build(ref)
                self.refs.append(ref)
                async for _ in self.client.follow(ref):
                    pass
                continue
            await asyncio.sleep(1)  # the server is away

    async def watch_in_a_loop(self) -> None:
        while not self.is_over:
            await asyncio.sleep(random.random())
            if self.refs:
                await self._watch(random.choice(self.refs[-_NEWEST:]))

    async def _watch(self, ref: Ref) -> None:
        self.watches += 1
        stay = random.choice((0.5, 3.0, 20.0, 60.0)) * random.random()
        expected = 0
        seen = self.seen.setdefault(ref, {})
        with contextlib.suppress(TimeoutError, IngotError):
            async with asyncio.timeout(stay), contextlib.aclosing(self._follow(ref)) as frames:
                async for frame in frames:
                    if frame.id.seq != expected:
                        self.wrong.append(f"{ref}: {frame.id} came where {expected} was due")
                    expected = frame.id.seq + 1
                    self.frames += 1
                    if seen.setdefault(frame.id.seq, hash(frame.data)) != hash(frame.data):
                        self.wrong.append(f"{ref}: {frame.id} is not the same for all")

    def _follow(self, ref: Ref) -> Any:
        return self.client.follow(ref, patience=Patience(give_up_after=60))

    async def sample(self, until: float) -> None:
        """Memory, descriptors and tasks of the server, until it is restarted for the first time."""
        while time.monotonic() < until:
            assert self.server.process is not None
            proc = Path(f"/proc/{self.server.process.pid}")
            metrics = await asyncio.to_thread(lambda: self.server.client.get("/metrics").text)
            self.samples.append(
                {
                    "memory_mb": int((proc / "status").read_text().split("VmRSS:")[1].split()[0]) / 1024,
                    "descriptors": len(list((proc / "fd").iterdir())),
                    "tasks": float(re.search(r"^ingot_tasks (\S+)", metrics, re.MULTILINE)[1]),  # type: ignore[index]
                }
            )
            await asyncio.sleep(2)

    async def restart_in_a_loop(self, begin: float) -> None:
        await asyncio.sleep(max(0.0, begin - time.monotonic()))
        while time.monotonic() < self.ends - _RESTART_EVERY / 2:
            number = (signal.SIGTERM, signal.SIGKILL)[self.restarts % 2]
            await asyncio.to_thread(self.server.end, number, 15)
            await asyncio.to_thread(self.server.start)
            self.restarts += 1
            await asyncio.sleep(min(_RESTART_EVERY, self.ends - time.monotonic()))

    async def compare_with_logs(self) -> None:
        """What watchers saw against what is stored."""
        for ref in self.refs:
            stored = {frame.id.seq: hash(frame.data) async for frame in self.client.follow(ref)}
            if not self.seen.get(ref, {}).items() <= stored.items():
                self.wrong.append(f"{ref}: watchers saw what is not in the log")

    def report(self) -> dict[str, Any]:
        quarter = max(1, len(self.samples) // 4)
        growth = {}
        for name in _GROWTH:
            values = [sample[name] for sample in self.samples]
            first, last = statistics.median(values[quarter : 2 * quarter]), statistics.median(values[-quarter:])
            growth[name] = {"second_quarter": round(first, 1), "last_quarter": round(last, 1)}
            if last > first * _GROWTH[name]:
                self.wrong.append(f"{name} grew from {first:.1f} to {last:.1f}")
        counts = {"builds": len(self.refs), "watches": self.watches, "frames": self.frames, "restarts": self.restarts}
        return counts | growth | {"wrong": len(self.wrong), "examples": self.wrong[:10]}


async def soak(server: Server, minutes: float, watchers: int) -> dict[str, Any]:
    async with Client(server.url, KEY) as client:
        run = Soak(server, client, minutes * 60)
        calm = run.ends - minutes * 20
        await asyncio.gather(
            run.build_in_a_loop(),
            run.build_in_a_loop(),
            run.sample(calm),
            run.restart_in_a_loop(calm),
            *(run.watch_in_a_loop() for _ in range(watchers)),
        )
        await run.compare_with_logs()
        return run.report()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--watchers", type=int, default=500)
    chosen = parser.parse_args()
    with real_server(builds="2", log_compact_after="30") as server:
        found = asyncio.run(soak(server, chosen.minutes, chosen.watchers))
    print(json.dumps(found, indent=1))
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
