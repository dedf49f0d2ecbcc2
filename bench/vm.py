"""Virtual machines: how long a captured one takes to run again, and stands still to be captured; what it weighs.

    .venv/bin/python -m bench.vm [--accelerator kvm] [--rounds 10]

Needs Debian's QEMU, and where it runs as root what containers need for their network. With `--accelerator kvm` it
measures a host whose KVM works. Makes the base once (about a minute), boots it once, and captures a golden with a
process that counts. Prints one JSON object; times in ms, memory in MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.machine.cached_base import VM_SETTINGS, cache_directory, cached_vm_base

from ingot.machine.contract import Keep, Machine
from ingot.machine.qemu import QemuBackend, QemuSettings
from ingot.records.machine import Command, MachineSpec

SPEC = MachineSpec(cpu=1, memory_mb=1024, disk_mb=2048)
TOGETHER = 10
_COUNTER = "setsid sh -c 'while :; do date >/dev/shm/now; sleep 1; done' >/dev/null 2>&1 &"
Figures = dict[str, float]


async def _quiet(chunk: bytes) -> None: ...


async def run(machine: Machine, script: str) -> None:
    result = await machine.exec(Command(("sh", "-c", script), 60), _quiet)
    assert result.exit_code == 0, result


async def launch(backend: QemuBackend, stack: Sequence[Path], name: str) -> Figures:
    """From the call to a machine that is handed over, and to its first command's end; QEMU's CPU to there, and for
    the second command."""
    begun = time.monotonic()
    async with backend.open(SPEC, stack, hostname=name) as machine:
        opened = time.monotonic()
        assert machine.resumed
        await run(machine, "true")
        done, [process] = time.monotonic(), _processes(backend)
        used = _cpu(process)
        await run(machine, "true")
        again, used_again = time.monotonic(), _cpu(process)
    gone = time.monotonic()
    return {
        "opened": (opened - begun) * 1000,
        "first_command": (done - begun) * 1000,
        "second_command": (again - done) * 1000,
        "removed": (gone - again) * 1000,
        "first_command_cpu": used,
        "second_command_cpu": used_again - used,
    }


async def capture(backend: QemuBackend, base: Path, layer: Path, keep: Keep) -> Figures:
    """A checkpoint as a whole, and how long the machine stood still in it."""
    layer.mkdir()
    async with backend.open(SPEC, [base]) as machine:
        await run(machine, _COUNTER)
        emulator, stood = machine._emulator, [0.0, 0.0]  # type: ignore[attr-defined]
        stop, go_on = emulator.stop, emulator.go_on

        async def noted_stop() -> None:
            await stop()
            stood[0] = time.monotonic()

        async def noted_go_on() -> None:
            stood[1] = time.monotonic()
            await go_on()

        emulator.stop, emulator.go_on = noted_stop, noted_go_on
        begun = time.monotonic()
        await machine.checkpoint(layer, keep)
        took = time.monotonic() - begun
    sizes = {path.stem: path.stat().st_blocks * 512 / 2**20 for path in layer.iterdir() if path.is_file()}
    return {"checkpoint": took * 1000, "pause": (stood[1] - stood[0]) * 1000} | sizes


async def together(backend: QemuBackend, stack: Sequence[Path]) -> Figures:
    """Launches at once: to the first command's end, and the memory of each that is not shared with others."""
    ready, leave = [], asyncio.Event()

    async def one(number: int) -> None:
        begun = time.monotonic()
        async with backend.open(SPEC, stack, hostname=f"vm-{number}") as machine:
            await run(machine, "true")
            ready.append((time.monotonic() - begun) * 1000)
            await leave.wait()

    tasks = [asyncio.create_task(one(number)) for number in range(TOGETHER)]
    while len(ready) < TOGETHER:
        await asyncio.sleep(0.1)
        for task in tasks:
            if task.done():
                task.result()
    weights = [_memory(process) for process in _processes(backend)]
    leave.set()
    await asyncio.gather(*tasks)
    ready.sort()
    private, shared = zip(*weights, strict=True)
    return {
        "p50": ready[len(ready) // 2],
        "p95": ready[-1],
        "private_each": statistics.mean(private),
        "shared": max(shared),
    }


def _processes(backend: QemuBackend) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue  # it has ended
        if line.startswith(b"qemu-system") and str(backend._run_dir).encode() in line:
            found.append(int(entry.name))
    return found


def _memory(process: int) -> tuple[float, float]:
    """(memory of its own, memory shared with others) of a process."""
    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    kib = {line.split(":")[0]: int(line.split()[1]) for line in lines[1:]}
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return private / 1024, (kib["Shared_Clean"] + kib["Shared_Dirty"]) / 1024


def _cpu(process: int) -> float:
    """Milliseconds of CPU that a process has used: what counts where launches share a host."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def summary(rounds: Sequence[Figures]) -> dict[str, Figures]:
    return {
        name: {
            "p50": round(statistics.median(one[name] for one in rounds), 1),
            "max": round(max(one[name] for one in rounds), 1),
        }
        for name in rounds[0]
    }


async def measure(accelerator: str, rounds: int) -> dict[str, Any]:
    base = await cached_vm_base()
    settings = QemuSettings(accelerator, VM_SETTINGS.ca_bundle)
    backend = QemuBackend(cache_directory() / f"bench-{accelerator}", settings, Path("/run/ingot-vm-bench"))
    with tempfile.TemporaryDirectory(dir=cache_directory()) as directory:
        place = Path(directory)
        captures = [await capture(backend, base, place / f"golden{n}", Keep.STATE) for n in range(5)]
        stack = [base, place / "golden0"]
        await launch(backend, stack, "warm")
        launches = [await launch(backend, stack, f"vm-{n}") for n in range(rounds)]
        found: dict[str, Any] = {"capture": summary(captures), "launch": summary(launches)}
        found[f"{TOGETHER} at once"] = {
            name: round(value, 1) for name, value in (await together(backend, stack)).items()
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accelerator", choices=("tcg", "kvm"), default="tcg")
    parser.add_argument("--rounds", type=int, default=10)
    chosen = parser.parse_args()
    print(json.dumps(asyncio.run(measure(chosen.accelerator, chosen.rounds)), indent=1))


if __name__ == "__main__":
    main()
