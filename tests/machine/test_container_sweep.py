"""A server killed with SIGKILL leaves machines behind: the next one removes all of it, and only that."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path

import pytest

from ingot.machine.container import ContainerBackend
from tests.machine.cached_base import SETTINGS
from tests.machine.conftest import Opener, sh
from tests.machine.test_container_processes import host_processes

pytestmark = pytest.mark.machine

HOLDER = """
import asyncio, sys
from pathlib import Path
from ingot.machine.container import ContainerBackend
from ingot.machine.contract import DownloadMount
from ingot.records.machine import Command, MachineSpec

async def sink(chunk):
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()

async def main(base, run_dir, disks, kept):
    backend = ContainerBackend(disks, run_dir=run_dir)
    spec, caches = MachineSpec(memory_mb=256, disk_mb=64), [DownloadMount("pip", "/root/.cache/pip", kept)]
    async with backend.open(spec, [base], caches) as machine:
        await machine.exec(Command(("sh", "-c", "sleep 9201 & setsid sleep 9202 & echo " + machine.id), 60), sink)
        await machine.exec(Command(("sh", "-c", "echo running; sleep 9203"), 600), sink)

asyncio.run(main(*map(Path, sys.argv[1:])))
"""


def traces(name: str, *directories: Path) -> list[str]:
    """Everything on this host that still names the machine."""
    found = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if name in line]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/ingot/{name}")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"ingot/{name}")]
    for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it may go between the two looks
            found += [text for text in [loop.read_text()] if name in text]
    found += [str(path) for directory in directories for path in directory.glob(f"*{name}*")]
    found += [f"process {pid}" for pid in host_processes(name)]
    return found


async def test_after_kill_9_a_sweep_leaves_nothing_of_the_machine(
    base_layer: Path, run_dir: Path, tmp_path: Path
) -> None:
    disks = tmp_path / "disks"
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(base_layer), str(run_dir), str(disks), str(tmp_path / "kept")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert holder.stdout is not None
    name = (await holder.stdout.readline()).decode().strip()
    assert await holder.stdout.readline() == b"running\n"
    assert len(traces(name, run_dir, disks)) > 6
    backend = ContainerBackend(disks, SETTINGS, run_dir)
    assert await backend.sweep() == [], "a machine whose server lives must be left alone"
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    removed = await backend.sweep()
    assert f"the directory {run_dir / name}" in removed
    assert f"the disk image {disks / name}.img" in removed
    assert [host_processes(f"sleep\x00920{number}") for number in (1, 2, 3)] == [[], [], []]
    async with asyncio.timeout(30):  # slirp4netns notices by itself that its server is gone
        while left := traces(name, run_dir, disks):
            await asyncio.sleep(0.01)
    assert left == []
    assert await backend.sweep() == []


async def test_a_sweep_leaves_a_machine_of_this_server_alone(backend: ContainerBackend, open_machine: Opener) -> None:
    async with open_machine() as machine:
        assert await backend.sweep() == []
        assert (await sh(machine, "echo well"))[1] == "well\n"


async def test_leaving_a_machine_leaves_nothing_on_the_host(
    open_machine: Opener, run_dir: Path, tmp_path: Path
) -> None:
    async with open_machine() as machine:
        await sh(machine, "sleep 9301 & dd if=/dev/zero of=/srv/big bs=1M count=50 2>/dev/null")
        assert traces(machine.id, run_dir, tmp_path) != []
    assert traces(machine.id, run_dir, tmp_path / "machines") == []
    assert host_processes("sleep\x009301") == []


async def test_a_disk_image_without_a_machine_is_removed(backend: ContainerBackend, tmp_path: Path) -> None:
    image = tmp_path / "machines" / "0123456789ab.img"
    image.parent.mkdir()
    image.touch()
    assert await backend.sweep() == [f"the disk image {image}"]
    assert not image.exists()


async def test_what_an_interrupted_removal_left_is_removed(backend: ContainerBackend, run_dir: Path) -> None:
    (run_dir / "0123456789ab" / "root").mkdir(parents=True)
    assert await backend.sweep() == [f"the directory {run_dir / '0123456789ab'}"]
