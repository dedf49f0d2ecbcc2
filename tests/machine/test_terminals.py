"""Terminals of real machines: nothing of them stays on the host, however they end, and captured states still fit."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from ingot.errors import MachineLostError
from ingot.machine.container import ContainerBackend
from ingot.machine.contract import Keep
from ingot.machine.qemu import QemuBackend
from tests.contract.typist import Typist
from tests.machine.cached_base import SETTINGS
from tests.machine.conftest import Opener, sh
from tests.machine.test_container_processes import host_processes, inside
from tests.machine.test_container_sweep import traces
from tests.machine.test_qemu_machines import SMALL, vm_base, vms

__all__ = ["vm_base", "vms"]
pytestmark = [pytest.mark.machine, pytest.mark.timeout(600)]

HOLDER = """
import asyncio, sys
from pathlib import Path
from ingot.machine.container import ContainerBackend
from ingot.records.machine import MachineSpec

async def main(base, run_dir, disks):
    async with ContainerBackend(disks, run_dir=run_dir).open(MachineSpec(memory_mb=256, disk_mb=64), [base]) as machine:
        async with machine.terminal(80, 24) as terminal:
            await terminal.write(b"trap '' HUP; setsid sleep 9401 & sh -c 'trap : HUP; sleep 9402'\\n")
            shown = b""
            while b"9402" not in shown:
                chunk = await terminal.read()
                assert chunk, shown
                shown += chunk
            print(machine.id, flush=True)
            await asyncio.sleep(600)

asyncio.run(main(*map(Path, sys.argv[1:])))
"""


def descriptors() -> set[str]:
    """What this process has open; what is closed while it is looked at is not."""
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{name}"))
    return found


def zombies() -> list[str]:
    """Children of this process that ended and were not waited for."""
    found = []
    for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        with contextlib.suppress(OSError):
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                found.append(pid)
    return found


def first_of(machine: str) -> int:
    """A container's first process, on the host."""
    for pid in inside(machine, "exec 3<&0 </dev/null"):  # and the children that it has forked
        with contextlib.suppress(OSError):
            if re.search(r"(?m)^NSpid:.*\t1$", Path(f"/proc/{pid}/status").read_text()):
                return pid
    raise AssertionError(f"{machine} has no first process")


async def test_after_kill_9_of_the_server_nothing_of_a_terminal_is_left(
    base_layer: Path, run_dir: Path, tmp_path: Path
) -> None:
    disks = tmp_path / "disks"
    holder = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", HOLDER, str(base_layer), str(run_dir), str(disks)), stdout=asyncio.subprocess.PIPE
    )
    assert holder.stdout is not None
    name = (await asyncio.wait_for(holder.stdout.readline(), 60)).decode().strip()
    async with asyncio.timeout(60):
        while not (inside(name, "sleep\x009401") and inside(name, "sleep\x009402")):
            await asyncio.sleep(0.01)
    holder.send_signal(signal.SIGKILL)
    await holder.wait()
    async with asyncio.timeout(60):
        while inside(name, "sleep\x00940") or inside(name, "/bin/bash\x00--login"):
            await asyncio.sleep(0.01)
    await ContainerBackend(disks, SETTINGS, run_dir).sweep()
    async with asyncio.timeout(60):
        while traces(name, run_dir, disks):
            await asyncio.sleep(0.01)


async def test_terminals_of_a_container_leave_no_descriptor_group_or_zombie(open_machine: Opener) -> None:
    async with open_machine() as machine:
        await sh(machine, "true")
        before = descriptors()
        for number in range(3):
            async with machine.terminal(80, 24) as terminal:
                typist = Typist(terminal)
                await typist.until("# ")
                assert terminal.__class__.__name__ == "ContainerTerminal"
                left = f"until [ $(pgrep -fxc 'sleep 9501') = {number} ]; do :; done"  # it is outside by then
                await typist.type(
                    f"tty; setsid sleep 9501 & {left}; exit\n" if number else "tty; setsid sleep 9502 &\n"
                )
                await typist.until(r"/dev/pts/\d")
                if number:
                    await typist.end()
        assert {entry for entry in descriptors() - before if "ptmx" in entry or "pts" in entry} == set()
        assert host_processes("sleep\x009502") == []
        async with asyncio.timeout(20):  # what a shell that ended by itself left goes on, without what started it
            while len(host_processes("sleep\x009501")) != 2:
                await asyncio.sleep(0.05)
            while zombies():  # what ended just now is about to be waited for
                await asyncio.sleep(0.05)
    assert host_processes("sleep\x009501") == []


async def test_a_machine_that_is_lost_gives_no_terminal(open_machine: Opener) -> None:
    async with open_machine() as machine:
        await sh(machine, "true")
        async with machine.terminal(80, 24) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            os.kill(first_of(machine.id), signal.SIGKILL)
            assert await typist.end() == 137
        with pytest.raises(MachineLostError, match="its first process is gone"):
            async with machine.terminal(80, 24):
                pass


async def test_a_state_captured_behind_a_terminal_goes_on_and_has_terminals(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "golden"
    layer.mkdir()
    async with vms.open(SMALL, [vm_base]) as machine, machine.terminal(80, 24) as terminal:
        typist = Typist(terminal)
        await typist.until("# ")
        await typist.type("echo kept >/dev/shm/marker; echo wri''tten\n")
        await typist.until("written")
        await machine.checkpoint(layer, Keep.STATE)
        assert await typist.end() == 137
        sockets = {path.name for path in vms._run_dir.glob("*/*")}
        assert not [name for name in sockets if name.startswith("terminal")]
    async with vms.open(SMALL, [vm_base, layer], hostname="one") as resumed:
        assert resumed.resumed
        async with resumed.terminal(90, 30) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            await typist.type("cat /dev/shm/marker; stty size; hostname\n")
            await typist.until("kept\r\n30 90\r\none\r\n")
        async with resumed.terminal(80, 24) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            await typist.type("setsid sleep 9601 & kill -9 $PPID\n")  # what holds the terminal inside
            assert await typist.end() == 137
        left = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^9601$'; "
        left += "ls /sys/fs/cgroup/system.slice/ingot.service"
        processes, _, groups = (await sh(resumed, left))[1].partition("\n")
        assert (processes, "terminal" in groups) == ("0", False)
        async with resumed.terminal(80, 24) as terminal:
            await Typist(terminal).until("# ")
