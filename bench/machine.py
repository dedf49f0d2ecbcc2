"""Times what a container machine costs: open, the first command, a command, a small checkpoint, leaving.

Run as root: `.venv/bin/python bench/machine.py [rounds]`. Prints the median and the slowest of each, beside
what runc alone takes for the same command on the same host. Uses the base image that the tests keep.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from ingot.machine.container import ContainerBackend
from ingot.machine.container.ids import Home
from ingot.machine.container.runtime import runc_argv
from ingot.process import run
from ingot.records.machine import Command, GuestFile, MachineSpec

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.machine.cached_base import SETTINGS, cached_base  # tests are no installed package

SPEC = MachineSpec(cpu=2, memory_mb=1024, disk_mb=10_240)
TARGETS_MS = {"open": 150, "exec true": 40, "checkpoint (1 file)": 150, "leave": 150}


async def ignore(_: bytes) -> None:
    """Output is not what is measured."""


async def one_round(
    backend: ContainerBackend, base: Path, scratch: Path, run_dir: Path, took: dict[str, list[float]]
) -> None:
    begun = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal begun
        took[name].append(1000 * (time.perf_counter() - begun))
        begun = time.perf_counter()

    async with backend.open(SPEC, [base]) as machine:
        lap("open")
        await machine.exec(Command(("true",), 10), ignore)
        lap("first exec")
        await machine.exec(Command(("true",), 10), ignore)
        lap("exec true")
        home = Home(machine.id, run_dir / machine.id, scratch)
        await run([*runc_argv(home), "exec", machine.id, "true"], timeout=10)
        lap("  runc exec true alone")
        layer = scratch / machine.id
        layer.mkdir()
        await machine.put([GuestFile("/srv/x", b"x")])
        lap("put (1 file)")
        await machine.checkpoint(layer)
        lap("checkpoint (1 file)")
        await machine.exec(Command(("true",), 10), ignore)
        lap("exec true after it")
        await backend.pack(layer, scratch / f"{machine.id}.tar.zst")
        lap("pack (1 file)")
    lap("leave")


async def main(rounds: int) -> None:
    base = await cached_base()
    took: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(dir=Path.home()) as scratch:
        run_dir = Path("/run/ingot")
        backend = ContainerBackend(Path(scratch) / "machines", SETTINGS, run_dir)
        for _ in range(rounds):
            await one_round(backend, base, Path(scratch), run_dir, took)
    print(f"{'ms':24} {'median':>8} {'slowest':>8} {'target':>8}")
    for name, times in took.items():
        target = TARGETS_MS.get(name, "")
        print(f"{name:24} {statistics.median(times):8.1f} {max(times):8.1f} {target!s:>8}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10))
