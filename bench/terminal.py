"""Times a terminal: opening it until its prompt shows, a key until it is echoed, much output, hanging up.

Run as root: `.venv/bin/python bench/terminal.py container|qemu [rounds]`. Uses the base images that the tests keep.
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
from ingot.machine.contract import Backend, Machine
from ingot.records.machine import MachineSpec

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.contract.typist import Typist  # tests are no installed package
from tests.machine.cached_base import SETTINGS, cached_base, cached_vm_base, vm_backend

SPEC = MachineSpec(cpu=1, memory_mb=512, disk_mb=1024)
KEYS = 200
OUTPUT = {"container": 20_000_000, "qemu": 4_000_000}


async def open_and_leave(machine: Machine, took: dict[str, list[float]]) -> None:
    begun = time.perf_counter()
    async with machine.terminal(80, 24) as terminal:
        await Typist(terminal).until("# ")
        took["open until the prompt"].append(1000 * (time.perf_counter() - begun))
        begun = time.perf_counter()
    took["hang up"].append(1000 * (time.perf_counter() - begun))


async def type_keys(typist: Typist, took: dict[str, list[float]]) -> None:
    for _ in range(KEYS):
        begun = time.perf_counter()
        await typist.type("x")
        await typist.until("x")
        took["key until its echo"].append(1000 * (time.perf_counter() - begun))
    await typist.type("\x03")
    await typist.until("# ")


async def print_much(typist: Typist, size: int) -> float:
    """MB/s."""
    begun, seen, tail = time.perf_counter(), 0, b""
    await typist.type(f"head -c {size} /dev/zero | tr '\\0' y; echo; echo en''d\n")
    while b"end\r\n" not in tail:
        chunk = await typist.terminal.read()
        seen, tail = seen + len(chunk), (tail + chunk)[-100:]
    return seen / (time.perf_counter() - begun) / 1e6


async def measure(backend: Backend, base: Path, rounds: int) -> None:
    took: dict[str, list[float]] = defaultdict(list)
    async with backend.open(SPEC, [base]) as machine:
        for _ in range(rounds):
            await open_and_leave(machine, took)
        async with machine.terminal(80, 24) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            await type_keys(typist, took)
            speed = await print_much(typist, OUTPUT[backend.name])
    print(f"{'ms':24} {'median':>8} {'slowest':>8}")
    for name, times in took.items():
        print(f"{name:24} {statistics.median(times):8.1f} {max(times):8.1f}")
    print(f"output: {speed:.1f} MB/s")


async def main(kind: str, rounds: int) -> None:
    if kind == "qemu":
        await measure(vm_backend(), await cached_vm_base(), rounds)
        return
    with tempfile.TemporaryDirectory(dir=Path.home()) as disks:
        await measure(ContainerBackend(Path(disks), SETTINGS), await cached_base(), rounds)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10))
