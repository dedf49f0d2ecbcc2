"""What a machine wrote is read from its disk after its server was killed, also after a restart of the host."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot.errors import MachineError
from ingot.machine.container import ContainerBackend
from ingot.machine.container.cgroups import ControlGroup, find_hierarchies
from ingot.machine.container.freezing import frozen
from tests.machine.cached_base import SETTINGS
from tests.machine.conftest import SMALL, Opener, sh
from tests.machine.test_container_processes import host_processes
from tests.machine.test_container_sweep import traces

pytestmark = pytest.mark.machine

HOLDER = """
import asyncio, sys
from pathlib import Path
from ingot.machine.container import ContainerBackend
from ingot.machine.container.cgroups import ControlGroup, find_hierarchies
from ingot.machine.container.freezing import frozen
from ingot.records.machine import Command, MachineSpec

async def sink(chunk):
    sys.stdout.buffer.write(chunk)
    sys.stdout.flush()

async def main(base, run_dir, disks):
    backend = ContainerBackend(disks, run_dir=run_dir)
    async with backend.open(MachineSpec(memory_mb=256, disk_mb=64), [base]) as machine:
        sleeps = "setsid sleep 9501 & until grep -qz ^sleep /proc/$!/cmdline; do :; done; "
        script = "echo kept > /srv/kept; rm /etc/motd; " + sleeps + "echo " + machine.id + "; sleep 600"
        await machine.exec(Command(("sh", "-c", script), 900), sink)

asyncio.run(main(*map(Path, sys.argv[1:])))
"""


@contextlib.asynccontextmanager
async def holder(base: Path, run_dir: Path, disks: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """A process with a machine that has written; the machine's id."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(base), str(run_dir), str(disks)), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process, (await process.stdout.readline()).decode().strip()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()


async def swept(backend: ContainerBackend, name: str, *directories: Path) -> None:
    await backend.sweep()
    async with asyncio.timeout(30):
        while traces(name, *directories):
            await asyncio.sleep(0.01)
    assert host_processes("sleep\x009501") == []


async def test_files_outlive_a_killed_server(base_layer: Path, run_dir: Path, tmp_path: Path) -> None:
    disks, early, layer = tmp_path / "disks", tmp_path / "early", tmp_path / "layer"
    early.mkdir()
    layer.mkdir()
    backend = ContainerBackend(disks, SETTINGS, run_dir)
    async with holder(base_layer, run_dir, disks) as (process, name):
        with pytest.raises(MachineError, match=f"machine {name} belongs to a server that runs; stop that server"):
            await backend.recover(name, early)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert await ContainerBackend(tmp_path / "other", SETTINGS, run_dir).sweep() == [], "it is not this server's"
        captured = await backend.recover(name, layer)
        assert captured is not None
        assert captured.size_bytes == 5
        await swept(backend, name, run_dir, disks)
        async with backend.open(SMALL, [base_layer, layer]) as machine:
            assert (await sh(machine, "cat /srv/kept; test ! -e /etc/motd && echo gone"))[1] == "kept\ngone\n"


async def test_what_a_killed_server_had_frozen_dies_all_the_same(
    base_layer: Path, run_dir: Path, tmp_path: Path
) -> None:
    """It was copying the machine when it was killed."""
    disks, layer = tmp_path / "disks", tmp_path / "layer"
    layer.mkdir()
    backend = ContainerBackend(disks, SETTINGS, run_dir)
    async with (
        holder(base_layer, run_dir, disks) as (process, name),
        frozen(ControlGroup(name, find_hierarchies())) as stopped,
    ):
        process.send_signal(signal.SIGKILL)
        await process.wait()
        assert stopped != []
        assert len(host_processes("sleep\x009501")) == 1, "what is frozen cannot die"
        captured = await backend.recover(name, layer)
        assert captured is not None
        await swept(backend, name, run_dir, disks)
    assert (layer / "diff/srv/kept").read_text() == "kept\n"


async def test_files_outlive_a_restart_of_the_host(base_layer: Path, run_dir: Path, tmp_path: Path) -> None:
    """All that is left then is the disk image."""
    disks, layer = tmp_path / "disks", tmp_path / "layer"
    layer.mkdir()
    backend = ContainerBackend(disks, SETTINGS, run_dir)
    async with holder(base_layer, run_dir, disks) as (process, name):
        process.send_signal(signal.SIGKILL)
        await process.wait()
        saved = tmp_path / "saved.img"
        await backend.recover(name, layer)
        shutil.rmtree(layer / "diff")
        subprocess.run(["sync", "-f", str(run_dir / name / "disk")], check=True)
        shutil.copy(disks / f"{name}.img", saved)
        await swept(backend, name, run_dir, disks)
        saved.rename(disks / f"{name}.img")
        captured = await backend.recover(name, layer)
        assert captured is not None
        assert (layer / "diff/srv/kept").read_text() == "kept\n"
        await swept(backend, name, run_dir, disks)


async def test_a_machine_of_which_nothing_is_left_gives_nothing(backend: ContainerBackend, tmp_path: Path) -> None:
    assert await backend.recover("0123456789ab", tmp_path) is None
    assert await backend.recover("../../etc", tmp_path) is None


async def test_a_disk_image_beyond_mending_is_told(backend: ContainerBackend, tmp_path: Path) -> None:
    image = tmp_path / "machines" / "0123456789ab.img"
    image.parent.mkdir()
    image.write_bytes(b"no file system" * 1000)
    with pytest.raises(MachineError, match="its disk image is damaged: "):
        await backend.recover("0123456789ab", tmp_path)
    assert f"the disk image {image}" in await backend.sweep()


async def test_of_a_computer_that_is_stopped_no_secret_is_captured_whatever_is_left_inside(
    backend: ContainerBackend, base_layer: Path, tmp_path: Path
) -> None:
    """As where its clean-up could not run, since it was at its limit of processes."""
    async with backend.open(SMALL, [base_layer], hostname="box") as machine:
        await sh(machine, "mkdir -p /run/ingot/env; echo canary | tee /root/.env /run/ingot/env/web >/srv/other")
        await machine.checkpoint(tmp_path)
    assert (tmp_path / "diff/srv/other").exists()
    assert not [path for path in (tmp_path / "diff").rglob("*") if path.name in (".env", "web")]


async def test_nobody_else_of_the_host_passes_into_a_machines_directory(open_machine: Opener, run_dir: Path) -> None:
    async with open_machine() as machine:
        await sh(machine, "echo open >/srv/open")
        status = (run_dir / machine.id).stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (0, 100_000, 0o710)
        _, text = await sh(machine, "cat /srv/open", user="orgo")
        assert text == "open\n"
        other = await asyncio.create_subprocess_exec(
            *(
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
                "cat",
                f"{run_dir / machine.id}/root/srv/open",
            ),
            stderr=asyncio.subprocess.PIPE,
        )
        assert b"Permission denied" in (await other.communicate())[1]
