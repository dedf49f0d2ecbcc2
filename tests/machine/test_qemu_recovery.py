"""Files of virtual machines that ended before they were kept: killed, switched off, or in the middle of a stop."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from ingot.machine.contract import Machine
from ingot.machine.qemu import QemuBackend
from ingot.machine.qemu.base_disk import DISK
from ingot.machine.qemu.home import find_disks
from ingot.machine.qemu.machine import LAYER_DISK
from ingot.records.machine import GuestFile
from tests.machine.conftest import sh
from tests.machine.test_qemu_machines import SMALL, processes_of, vm_base, vms
from tests.machine.test_qemu_merging import opened, tool

pytestmark = [pytest.mark.machine, pytest.mark.timeout(900)]
__all__ = ["vm_base", "vms"]


async def written(machine: Machine, script: str) -> None:
    result, said = await sh(machine, script, timeout=120)
    assert result.exit_code == 0, said


async def read(vms: QemuBackend, stack: list[Path], script: str) -> str:
    async with vms.open(SMALL, stack, hostname="again") as machine:
        return (await sh(machine, script, timeout=120))[1]


async def ended(vms: QemuBackend) -> None:
    async with asyncio.timeout(180):
        while processes_of(vms):
            await asyncio.sleep(0.1)


def new(place: Path) -> Path:
    place.mkdir()
    return place


@pytest.mark.parametrize("end", ["poweroff", "kill -9"])
async def test_files_of_a_machine_that_ended_by_itself_are_had(
    vms: QemuBackend, vm_base: Path, tmp_path: Path, end: str
) -> None:
    async with vms.open(SMALL, [vm_base], hostname="one") as machine:
        await machine.put([GuestFile("/root/.env", b"A=1\n", 0o600)])
        await written(machine, "echo synced >/srv/one; sync; echo later >/srv/two")
        if end == "poweroff":
            await written(machine, "(sleep 2; systemctl poweroff) >/dev/null 2>&1 &")  # it answers before it goes
        else:
            os.kill(processes_of(vms)[0], signal.SIGKILL)
        await ended(vms)
        machine.abandon()
    disk = vms._machines / machine.id / "disk.qcow2"
    recovered = await vms.recover(machine.id, new(tmp_path / "layer"))
    assert recovered is not None
    assert recovered.size_bytes > 0
    assert disk.samefile(tmp_path / "layer" / LAYER_DISK), "it takes no room of its own"
    assert await vms.recover(machine.id, new(tmp_path / "once-more"), kept=True) == recovered
    await vms.discard(machine.id)
    assert not disk.parent.exists()
    said = await read(vms, [vm_base, tmp_path / "layer"], "cat /srv/one /srv/two 2>&1; ls /run/ingot-env 2>&1")
    assert said.startswith("synced\nlater\n" if end == "poweroff" else "synced\n"), said


async def test_a_stop_that_is_interrupted_or_fails_loses_nothing(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    """One computer: a stop that fails behind the switch, a copy, a stop that is kept, and an end behind that."""
    async with vms.open(SMALL, [vm_base], hostname="one") as machine:
        files = vms._machines / machine.id
        await written(machine, "head -c 3M /dev/urandom >/srv/big; sha256sum /srv/big >/srv/sum; echo 1 >/srv/n; sync")
        await machine.checkpoint(new(tmp_path / "thrown-away"))
        interrupted = new(vms._machines / f"{machine.id}-at-its-stop")
        take_picture(files, interrupted)
        shutil.rmtree(tmp_path / "thrown-away")
        await written(machine, "echo 2 >>/srv/n; sync")
        await machine.copy(new(tmp_path / "copy"))
        await machine.checkpoint(new(tmp_path / "kept"))
        await written(machine, "echo 3 >>/srv/n; sync")
        assert [disk.name for disk in find_disks(files, kept=False)] == [], "it has an owner"
        machine.abandon()
    assert [disk.name for disk in find_disks(files, kept=False)] == ["disk.qcow2", "disk1.qcow2", "disk2.qcow2"]
    await vms.recover(machine.id, new(tmp_path / "all"))
    await vms.recover(machine.id, new(tmp_path / "rest"), kept=True)
    await vms.discard(machine.id)
    assert await vms.recover(interrupted.name, new(tmp_path / "interrupted")) is not None
    await vms.discard(interrupted.name)
    for stack, lines in (
        (["interrupted"], "1\n"),
        (["copy"], "1\n2\n"),
        (["kept", "rest"], "1\n2\n3\n"),
    ):
        said = await read(vms, [vm_base, *(tmp_path / name for name in stack)], "cat /srv/n; sha256sum -c /srv/sum")
        assert said == f"{lines}/srv/big: OK\n", stack
    disks = {name: tmp_path / name / LAYER_DISK for name in ("kept", "rest", "all")}
    base = vm_base / DISK
    tool("qemu-img", "compare", opened([base, disks["kept"], disks["rest"]]), opened([base, disks["all"]]))


def take_picture(files: Path, target: Path) -> None:
    """A machine's disks and owner as a crash would leave them now."""
    for path in (*files.glob("disk*.qcow2"), files / "owner.json"):
        subprocess.run(["cp", "--sparse=always", str(path), str(target)], check=True)


async def test_only_disks_since_the_last_layer_are_wanted_where_that_was_kept(tmp_path: Path) -> None:
    (tmp_path / "owner.json").write_text('{"sockets": "/none", "label": ""}')
    for number in ("", *map(str, range(1, 12))):
        (tmp_path / f"disk{number}.qcow2").write_bytes(b"QFI\xfb")
    os.link(tmp_path / "disk9.qcow2", new(tmp_path / "layer") / LAYER_DISK)
    (tmp_path / "disk12.qcow2").touch()
    found = [disk.name for disk in find_disks(tmp_path, kept=False)]
    assert found == ["disk.qcow2", *(f"disk{number}.qcow2" for number in range(1, 12))]
    assert [disk.name for disk in find_disks(tmp_path, kept=True)] == ["disk10.qcow2", "disk11.qcow2"]
