"""Commands of virtual machines: their ports come back whatever ends them, and what guests print is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ingot.errors import MachineError
from ingot.machine.contract import Machine
from ingot.machine.qemu import QemuBackend
from ingot.machine.qemu.hardware import PORTS
from ingot.records.machine import Command
from tests.machine.conftest import Output, sh
from tests.machine.test_qemu_machines import SMALL, vm_base, vms

pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]
__all__ = ["vm_base", "vms"]


def begin(machine: Machine, script: str, sink: Any = None) -> asyncio.Task[Any]:
    return asyncio.create_task(machine.exec(Command(("sh", "-c", script), 300), sink or Output()))


async def begun(machine: Machine, name: str, count: int) -> None:
    """Waits until so many processes of that name run."""
    quickly = machine.run_quickly  # type: ignore[attr-defined]
    async with asyncio.timeout(60):
        while int(await quickly(["/bin/sh", "-c", f"pgrep -fc '^{name}' || true"])) != count:
            await asyncio.sleep(0.1)


async def test_ports_are_free_again_however_commands_end(vms: QemuBackend, vm_base: Path) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        running = [begin(machine, "exec sleep 9801") for _ in range(PORTS)]
        await begun(machine, "sleep 9801", PORTS)
        result, said = await sh(machine, "true", timeout=1)
        assert (result.exit_code, result.timed_out) == (137, True)
        assert said == "not started: the machine runs 8 commands already, and none of them ended in time\n"
        for task in running:
            task.cancel()
        await asyncio.wait(running)
        await begun(machine, "sleep 9801", 0)
        await all_ports_work(machine)

        async def refuse(_: bytes) -> None:
            raise MachineError("too much")

        with pytest.raises(MachineError, match="too much"):
            await begin(machine, "echo; exec sleep 9802", refuse)
        await begun(machine, "sleep 9802", 0)
        unread = Command(("true",), 60, stdin=bytes(20_000_000))
        assert (await machine.exec(unread, Output())).exit_code == 0
        await all_ports_work(machine)


async def test_a_port_whose_command_cannot_be_killed_comes_back_with_its_end(
    vms: QemuBackend, vm_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> str:
        raise MachineError("it does not work")

    async with vms.open(SMALL, [vm_base]) as machine:
        running = begin(machine, "until [ -e /srv/go ]; do sleep 0.2; done")
        await begun(machine, "sh -c until", 1)
        commands = machine._commands  # type: ignore[attr-defined]
        with monkeypatch.context() as broken:
            broken.setattr(commands, "run_quickly", fail)
            running.cancel()
            await asyncio.wait([running])
        assert commands._ports._free.qsize() == PORTS - 1
        await all_ports_work(machine)
        await sh(machine, "touch /srv/go")
        async with asyncio.timeout(60):
            while commands._ports._free.qsize() < PORTS:
                await asyncio.sleep(0.05)


async def test_a_command_for_which_there_is_no_process_left_is_told_so_at_once(vms: QemuBackend, vm_base: Path) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        of_the_waiter = "/sys/fs/cgroup$(cut -d: -f3 /proc/$(pgrep -fo machine/arrive)/cgroup)"
        await sh(machine, f"cp {of_the_waiter}/pids.current {of_the_waiter}/pids.max")
        result, said = await sh(machine, "true")
        assert (result.exit_code, said) == (126, "not started: fork: Resource temporarily unavailable\n")


async def all_ports_work(machine: Machine) -> None:
    answers = await asyncio.gather(*(sh(machine, f"sleep 1; echo {number}") for number in range(PORTS)))
    assert [said for _, said in answers] == [f"{number}\n" for number in range(PORTS)]
