"""Merged disks of virtual machines: QEMU reads the same through them, whatever was written and discarded above it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingot.errors import HostError
from ingot.machine.qemu.hardware import chain_node, empty_disk_argv
from ingot.machine.qemu.machine import LAYER_DISK
from ingot.machine.qemu.merging import merge_disks
from tests.machine.cached_base import vm_backend
from tests.machine.conftest import sh
from tests.machine.test_qemu_machines import SMALL, vm_base, vms

pytestmark = pytest.mark.machine
__all__ = ["vm_base", "vms"]

SIZE = 16 * 2**20
BLOCK = 4096


def tool(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout


def opened(disks: Sequence[Path], *, writable: bool = False) -> str:
    """A chain as one image; the lowest is a raw base."""
    base = {"driver": "raw", "read-only": True, "file": {"driver": "file", "filename": str(disks[0])}}
    node = dict(chain_node(disks[1:], base) or base)
    if writable:
        node |= {"read-only": False, "discard": "unmap"}
    return f"json:{json.dumps(node)}"


def content(disks: Sequence[Path]) -> str:
    whole = disks[0].with_name("whole")
    tool("qemu-img", "convert", "-O", "raw", opened(disks), str(whole))
    return hashlib.sha256(whole.read_bytes()).hexdigest()


def scribble(disks: Sequence[Path], chance: random.Random) -> None:
    """What a guest does to its disk: bytes, zeros and discards, of blocks and of parts of them."""
    orders = []
    for _ in range(40):
        begin = chance.randrange(SIZE // BLOCK - 64) * BLOCK
        length = chance.randrange(1, 64) * BLOCK
        kind = chance.choice(["write -P 7", f"write -P {chance.randrange(1, 256)}", "write -z -u", "discard"])
        if kind.startswith("write -P") and chance.random() < 0.3:
            begin, length = begin + 512, 512
        orders += ["-c", f"{kind} {begin} {length}"]
    tool("qemu-io", *orders, opened(disks, writable=True))


async def make_chain(directory: Path, seed: int, count: int = 6) -> list[Path]:
    chance = random.Random(seed)
    disks = [directory / "base"]
    disks[0].write_bytes(chance.randbytes(SIZE))
    for number in range(count):
        disks.append(directory / f"{number}.qcow2")
        tool(*empty_disk_argv(disks[-1], SIZE))
        scribble(disks, chance)
    return disks


@pytest.mark.parametrize("seed", range(3))
async def test_any_upper_stretch_of_a_chain_can_be_merged(tmp_path: Path, seed: int) -> None:
    disks = await make_chain(tmp_path, seed)
    expected = content(disks)
    for begin in range(1, len(disks)):
        merged = tmp_path / "merged"
        await merge_disks(disks[begin:], merged)
        assert content([*disks[:begin], merged]) == expected, begin
        tool("qemu-img", "check", "-q", str(merged))
        merged.unlink()


async def test_disks_are_merged_while_another_machine_reads_them(tmp_path: Path) -> None:
    disks = await make_chain(tmp_path, 7)
    other = tmp_path / "other.qcow2"
    tool(*empty_disk_argv(other, SIZE))
    reader = subprocess.Popen(
        ["qemu-io", opened([*disks, other], writable=True)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        await merge_disks(disks[1:], tmp_path / "merged")
    finally:
        reader.communicate(b"quit\n", timeout=60)
    assert reader.returncode == 0
    assert content([disks[0], tmp_path / "merged"]) == content(disks)


async def test_a_disk_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    disks = await make_chain(tmp_path, 8, 2)
    with disks[1].open("r+b") as file:
        file.write(b"nonsense")
    with pytest.raises(HostError, match=r"layers cannot be merged: .*not in qcow2 format"):
        await merge_disks(disks[1:], tmp_path / "merged")


async def test_no_daemon_outlives_a_killed_server(tmp_path: Path) -> None:
    """The layers are as they were, and can be merged again."""
    disks = await make_chain(tmp_path, 9)
    expected = content(disks)
    script = (
        "import asyncio, sys; from pathlib import Path; from ingot.machine.qemu import merging\n"
        "async def hang(_): print('pulling', flush=True); await asyncio.sleep(60)\n"
        "merging._pull = hang; asyncio.run(merging.merge_disks([Path(p) for p in sys.argv[2:]], Path(sys.argv[1])))"
    )
    argv = [sys.executable, "-c", script, str(tmp_path / "half"), *map(str, disks[1:])]
    server = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    assert await asyncio.wait_for(server.stdout.readline(), 60) == b"pulling\n"
    async with asyncio.timeout(60):
        while not daemons(tmp_path / "half"):  # what starts it becomes it
            await asyncio.sleep(0.02)
        server.send_signal(signal.SIGKILL)
        await server.wait()
        while daemons(tmp_path / "half"):
            await asyncio.sleep(0.02)
    await merge_disks(disks[1:], tmp_path / "merged")
    assert content([disks[0], tmp_path / "merged"]) == expected == content(disks)


def daemons(disk: Path) -> list[int]:
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if runs(pid, disk)]


def runs(process: int, disk: Path) -> bool:
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
    return line.startswith(b"qemu-storage-daemon") and str(disk).encode() in line


@pytest.mark.timeout(600)
async def test_a_machine_boots_on_merged_layers(vm_base: Path, tmp_path: Path) -> None:
    """Written, replaced and deleted over many layers; the file system is sound and says the last of it."""
    backend, layers = vm_backend(), []
    async with backend.open(SMALL, [vm_base]) as machine:
        for number in range(6):
            layers.append(tmp_path / f"layer{number}")
            layers[-1].mkdir()
            script = f"rm -rf /srv/{number - 2} /etc/issue; mkdir /srv/{number}; echo {number} >/srv/{number}/n; "
            script += f"head -c {2 - number % 2}000000 /dev/urandom >/srv/big; sha256sum /srv/big >/srv/sum"
            result, said = await sh(machine, script)
            assert result.exit_code == 0, said
            await machine.checkpoint(layers[-1])
    merged = tmp_path / "merged"
    merged.mkdir()
    captured = await backend.merge(layers, [vm_base], merged)
    assert 0 < captured.size_bytes <= sum(backend.weigh(layer) * 512 for layer in layers)
    assert [entry.name for entry in merged.iterdir()] == [LAYER_DISK]
    async with backend.open(SMALL, [vm_base, merged], hostname="merged") as machine:
        script = "cat /srv/*/n; sha256sum -c /srv/sum; ls /etc/issue 2>&1; grep -c ' / .*errors' /proc/mounts"
        _, said = await sh(machine, script, timeout=120)
        assert said.splitlines()[:3] == ["4", "5", "/srv/big: OK"]
        assert "cannot access '/etc/issue'" in said
