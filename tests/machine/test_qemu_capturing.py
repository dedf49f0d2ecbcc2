"""Captures of virtual machines that go wrong: nothing half-written is published, and the machine is as it was."""

from __future__ import annotations

import asyncio
import os
import shlex
from pathlib import Path

import pytest

from ingot.errors import DeadlineError, IngotError, MachineError
from ingot.machine.contract import Machine
from ingot.machine.qemu import QemuBackend
from ingot.machine.qemu import machine as machine_module
from ingot.machine.qemu.base_disk import EXCERPT
from ingot.machine.qemu.machine import LAYER_DISK
from ingot.records.machine import GuestFile
from tests.machine.conftest import sh
from tests.machine.test_qemu_machines import SMALL, vm_base, vms

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]
__all__ = ["vm_base", "vms"]


async def replace_program(machine: Machine, name: str, text: str) -> None:
    """Has scripts that name a program get another one."""
    place = f"/usr/local/bin/{name}"
    result, said = await sh(machine, f"printf '%s\\n' '#!/bin/sh' {shlex.quote(text)} >{place}; chmod 755 {place}")
    assert result.exit_code == 0, said


async def test_a_layer_holds_what_was_written_to_the_disk_or_there_is_none(
    vms: QemuBackend, vm_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        await replace_program(machine, "sync", "sleep 1000")
        with monkeypatch.context() as short:
            short.setattr(machine_module, "_CHECKPOINT", 3.0)
            with pytest.raises(DeadlineError, match="did not write its files to its disk within 3 s"):
                await machine.checkpoint(tmp_path)
        await replace_program(machine, "sync", "exit 7")
        with pytest.raises(MachineError, match="did not write its files to its disk: status 1"):
            await machine.checkpoint(tmp_path)
        await sh(machine, "rm /usr/local/bin/sync")
        await replace_program(machine, "tar", "head -c 9000000 /dev/zero")
        with monkeypatch.context() as small:
            small.setattr(machine_module, "_EXCERPT", 2**20)
            with pytest.raises(MachineError, match="tells of its packages is longer than 1 MiB"):
                await machine.checkpoint(tmp_path)
        assert not (tmp_path / LAYER_DISK).exists()
        await replace_program(machine, "tar", 'echo "file changed as we read it" >&2; /bin/tar "$@"; exit 1')
        await sh(machine, "echo >>/var/lib/dpkg/status")
        await machine.checkpoint(tmp_path)
        assert (tmp_path / EXCERPT / "var/lib/dpkg/status").read_bytes().startswith(b"Package: ")
        assert (tmp_path / LAYER_DISK).exists()


@pytest.mark.parametrize("failing", ["_HIDE", "stop"])
async def test_a_copy_that_fails_leaves_the_machine_as_it_was(
    vms: QemuBackend, vm_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    async def refuse() -> None:
        raise MachineError("it fails")

    async with vms.open(SMALL, [vm_base]) as machine:
        await machine.put([GuestFile("/root/.env", b"A=1\n", 0o600)])
        if failing == "_HIDE":
            monkeypatch.setattr(machine_module, "_HIDE", f"{machine_module._HIDE}; echo it fails; exit 3")
        else:
            monkeypatch.setattr(machine._emulator, "stop", refuse)  # type: ignore[attr-defined]
        with pytest.raises(IngotError, match="it fails"):
            await machine.copy(tmp_path)
        monkeypatch.undo()
        assert (await sh(machine, "cat /root/.env; ls /run/ingot-env 2>&1"))[1].splitlines()[0] == "A=1"
        again = tmp_path / "again"
        again.mkdir()
        await machine.copy(again)
        assert (await sh(machine, "cat /root/.env"))[1] == "A=1\n"


async def test_a_console_that_is_written_to_without_end_costs_the_host_nothing(vms: QemuBackend, vm_base: Path) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        await sh(machine, "timeout 3 cat /dev/zero >/dev/ttyS0; echo the last line >/dev/ttyS0", timeout=60)
        emulator = machine._emulator  # type: ignore[attr-defined]
        async with asyncio.timeout(60):
            while "the last line" not in emulator.last_words():
                await asyncio.sleep(0.1)
        assert len(emulator._said) <= 8192
        files = machine._home.files  # type: ignore[attr-defined]
        assert {path.name for path in files.iterdir()} == {"owner.json", "disk.qcow2", "memory.bin"}


async def test_a_boot_that_fails_tells_what_the_console_said_last(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        await sh(machine, "dd if=/dev/zero of=/dev/vda bs=1M count=1 conv=fsync,notrunc; sync")
        await machine._cut(tmp_path)  # type: ignore[attr-defined]
    with pytest.raises(IngotError, match=r"(?s)ended while it came up.*said last:.*the disk cannot be mounted"):
        async with vms.open(SMALL, [vm_base, tmp_path]):
            pass
    assert os.listdir(tmp_path) == [LAYER_DISK]
