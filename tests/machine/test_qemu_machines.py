"""Virtual machines: states that go on, identities, deadlines, and nothing left behind."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot.errors import MachineLostError
from ingot.machine.container.network import host_addresses
from ingot.machine.contract import Keep, Machine
from ingot.machine.qemu import QemuBackend
from ingot.machine.qemu.home import sweep
from ingot.machine.qemu.state import MEMORY, find_state
from ingot.records.machine import Command, MachineSpec
from tests.machine.cached_base import VM_SETTINGS, cache_directory, cached_vm_base, vm_backend
from tests.machine.conftest import Output, sh
from tests.small_disk import small_disk

pytestmark = pytest.mark.timeout(600)

SMALL = MachineSpec(cpu=1, memory_mb=512, disk_mb=512)
COUNTER = (
    "mkdir -p /dev/shm; echo kept >/dev/shm/marker; "
    "setsid sh -c 'i=0; while :; do i=$((i+1)); echo $i >/dev/shm/new; mv /dev/shm/new /dev/shm/count; sleep 0.05; "
    "done' >/dev/null 2>&1 & "
    "echo $! >/dev/shm/pid; until [ -e /dev/shm/count ]; do sleep 0.05; done"
)


@pytest.fixture(scope="session")
async def vm_base() -> Path:
    return await cached_vm_base()


@pytest.fixture
def vms() -> Iterator[QemuBackend]:
    backend = vm_backend()
    yield backend
    assert not list(backend._run_dir.glob("*")), "a test left a machine's sockets behind"
    assert not processes_of(backend), "a test left a QEMU behind"


@pytest.fixture
async def golden(vms: QemuBackend, vm_base: Path, tmp_path: Path) -> list[Path]:
    """Layers whose state has a running counter in it."""
    layer = tmp_path / "golden"
    layer.mkdir()
    async with vms.open(SMALL, [vm_base]) as machine:
        await sh(machine, COUNTER)
        await machine.checkpoint(layer, Keep.STATE)
    return [vm_base, layer]


def processes_of(backend: QemuBackend) -> list[int]:
    """The QEMU processes of a backend's machines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{backend._run_dir}/".encode() in line and line.startswith(b"qemu-system"):
                found.append(int(entry.name))
    return found


async def values(machine: Machine, *commands: str) -> list[str]:
    """What commands print, asked at once."""
    result, text = await sh(machine, "; echo ---; ".join(commands))
    assert result.exit_code == 0, text
    return [part.strip() for part in text.split("---\n")]


async def test_a_process_goes_on_in_every_machine_made_from_its_state(vms: QemuBackend, golden: list[Path]) -> None:
    async with vms.open(SMALL, golden, hostname="one") as one, vms.open(SMALL, golden, hostname="two") as two:
        assert one.resumed
        for machine in (one, two):
            marker, command, before, _, after = await values(
                machine,
                "cat /dev/shm/marker",
                "tr '\\0' ' ' </proc/$(cat /dev/shm/pid)/cmdline",
                "cat /dev/shm/count",
                'n=$(cat /dev/shm/count); until [ "$(cat /dev/shm/count)" != "$n" ]; do sleep 0.1; done',
                "cat /dev/shm/count",
            )
            assert marker == "kept"
            assert command.startswith("sh -c i=0; while")
            assert int(before) < int(after) < int(before) + 1000


async def test_two_machines_of_one_state_differ_in_every_identity(vms: QemuBackend, golden: list[Path]) -> None:
    asked = (
        "hostname",
        "cat /etc/hostname",
        "cat /etc/machine-id",
        "cat /sys/class/net/eth0/address",
        "head -c 16 /dev/urandom | od -An -tx1",
        "cat /proc/sys/kernel/random/uuid",
    )
    async with vms.open(SMALL, golden, hostname="one") as one, vms.open(SMALL, golden, hostname="two") as two:
        first, second = await values(one, *asked), await values(two, *asked)
    assert (first[0], first[1], second[0], second[1]) == ("one", "one", "two", "two")
    assert re.fullmatch("[0-9a-f]{32}", first[2])
    assert re.fullmatch("52:54:00:[0-9a-f:]{8}", first[3])
    assert all(mine != others for mine, others in zip(first, second, strict=True))


async def test_the_clock_is_right_before_anything_goes_on(vms: QemuBackend, golden: list[Path]) -> None:
    await asyncio.sleep(2)  # so that a clock that stood still would show
    async with vms.open(SMALL, golden, hostname="one") as machine:
        agent = machine._emulator.agent  # type: ignore[attr-defined]
        before = time.time_ns()
        inside = await agent.call("guest-get-time")
        after = time.time_ns()
    assert before - 100_000_000 <= inside <= after + 100_000_000


async def test_a_machine_of_another_size_boots_from_the_files(vms: QemuBackend, golden: list[Path]) -> None:
    larger = MachineSpec(cpu=2, memory_mb=768, disk_mb=1024)
    async with vms.open(larger, golden, hostname="large") as machine:
        assert not machine.resumed
        found, cpus, disk = await values(machine, "ls /dev/shm", "nproc", "df -m --output=avail / | tail -1")
    assert (found, cpus) == ("", "2")
    assert int(disk) > 900


async def test_a_state_kept_for_speed_is_not_part_of_the_layers_archive(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    layer, again, archive = tmp_path / "layer", tmp_path / "again", tmp_path / "layer.tar.zst"
    for directory in (layer, again):
        directory.mkdir()
    async with vms.open(SMALL, [vm_base]) as machine:
        await sh(machine, "echo kept >/srv/file")
        await machine.checkpoint(layer, Keep.CACHE)
        hardware = machine._hardware  # type: ignore[attr-defined]
    assert find_state(layer, hardware) is not None
    await vms.pack(layer, archive)
    await vms.unpack(archive, again)
    assert not (again / MEMORY).exists()
    async with vms.open(SMALL, [vm_base, again]) as machine:
        assert not machine.resumed
        assert await values(machine, "cat /srv/file") == ["kept"]


async def test_a_golden_goes_on_when_it_was_packed_and_unpacked(
    vms: QemuBackend, golden: list[Path], tmp_path: Path
) -> None:
    again, archive = tmp_path / "again", tmp_path / "layer.tar.zst"
    again.mkdir()
    await vms.pack(golden[-1], archive)
    await vms.unpack(archive, again)
    assert sparse_size(again / MEMORY) < SMALL.memory_mb * 2**20 / 2
    async with vms.open(SMALL, [golden[0], again], hostname="moved") as machine:
        assert machine.resumed
        assert await values(machine, "cat /dev/shm/marker") == ["kept"]


async def test_packages_are_told_from_the_layer_without_opening_its_disk(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    async with vms.open(SMALL, [vm_base]) as machine:
        await sh(
            machine, "mkdir -p /usr/local/lib/python3.11/dist-packages/six-1.0.dist-info; echo >>/var/lib/dpkg/status"
        )
        await machine.checkpoint(layer)
    assert (layer / "diff/usr/local/lib/python3.11/dist-packages/six-1.0.dist-info").is_dir()
    assert (layer / "diff/var/lib/dpkg/status").read_bytes().startswith(b"Package: ")


async def test_commands_get_what_they_are_given_and_nothing_else(vms: QemuBackend, vm_base: Path) -> None:
    async def run(*argv: str, **more: Any) -> tuple[int, str]:
        output = Output()
        result = await machine.exec(Command(argv, more.pop("timeout", 60.0), **more), output)
        return result.exit_code, output.text

    async with vms.open(SMALL, [vm_base]) as machine:
        typed = secrets.token_bytes(300_000)
        assert (await run("sha256sum", stdin=typed))[1].startswith(hashlib.sha256(typed).hexdigest())
        assert await run("true", stdin=typed) == (0, ""), "what is not read holds nothing up"
        assert await run("sh", "-c", "cat; readlink /proc/self/fd/0") == (0, "/dev/null\n")
        shown = await run("sh", "-c", 'pwd; id -un; echo "$A|$HOME|$USER"; ulimit -n', cwd="/srv", env={"A": "b c=d"})
        assert shown == (0, "/srv\nroot\nb c=d|/root|root\n65536\n")
        assert await run("sh", "-c", "echo $HOME $(id -un) $(id -Gn)", user="orgo") == (
            0,
            "/home/orgo orgo orgo\n",
        )
        assert await run("true", user="nobody1") == (126, "there is no user nobody1 in the machine\n")
        assert await run("no-such-program") == (127, "no-such-program: No such file or directory\n")
        assert (await run("true", cwd="/nowhere"))[0] == 126
        assert (await run("sh", "-c", "kill -9 $$"))[0] == 137
        assert await run("sh", "-c", "(sleep 9; echo late; sleep 600) & echo begun") == (0, "begun\n")
        answers = await asyncio.gather(*(run("sh", "-c", f"sleep 0.5; echo {number}") for number in range(12)))
        assert answers == [(0, f"{number}\n") for number in range(12)]
        assert (await run("sleep", "600", timeout=0.01))[0] == 137
        for delay in (0.0, 0.02, 0.1):
            starting = asyncio.create_task(run("sleep", "9702"))
            await asyncio.sleep(delay)
            starting.cancel()
            await asyncio.wait([starting])
        assert "9702" not in (await run("pgrep", "-x", "-a", "sleep"))[1]


async def test_out_of_memory_and_a_full_disk_are_told(vms: QemuBackend, vm_base: Path) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        hungry, _ = await sh(machine, "python3 -c 'x = bytearray(2 << 30)'", timeout=60)
        assert hungry.exit_code != 0
        killed, _ = await sh(machine, "tail /dev/zero", timeout=120)
        assert (killed.exit_code, killed.memory_killed) == (137, True)
        full, text = await sh(machine, "dd if=/dev/zero of=/srv/big bs=1M", timeout=120)
        assert (full.exit_code, full.disk_full) == (1, True), text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
async def test_what_the_host_did_not_take_is_in_no_layer_even_if_the_command_ended_well(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    async with vms.open(SMALL, [vm_base]):
        """The base is booted now."""
    place = tmp_path / "disk"
    place.mkdir()
    with small_disk(place) as disk:
        (place / "booted").symlink_to(cache_directory() / "qemu/booted")
        layer = place / "layer"
        layer.mkdir()
        async with QemuBackend(place, VM_SETTINGS, vms._run_dir).open(SMALL, [vm_base]) as machine:
            with (place / "machines" / machine.id / MEMORY).open("r+b") as memory:  # so that it needs no more room
                os.posix_fallocate(memory.fileno(), 0, SMALL.memory_mb * 2**20)
            disk.leave(2)
            written, text = await sh(machine, "head -c 30M /dev/urandom >/srv/written; sync; true", timeout=120)
            assert written.exit_code == 0, text
            disk.release()
            failed, _ = await sh(machine, "false")
            assert failed.host_full
            with pytest.raises(MachineLostError, match="the server's disk is full: it did not take all") as caught:
                await machine.checkpoint(layer, Keep.CACHE)
            assert caught.value.code == "out_of_disk"


async def test_a_machine_whose_qemu_is_killed_is_lost(vms: QemuBackend, vm_base: Path) -> None:
    async with vms.open(SMALL, [vm_base]) as machine:
        output = Output()
        running = asyncio.create_task(machine.exec(Command(("sh", "-c", "echo begun; sleep 600"), 120), output))
        async with asyncio.timeout(60):
            while not output.text:
                await asyncio.sleep(0.05)
        [process] = processes_of(vms)
        os.kill(process, signal.SIGKILL)
        told = r"the machine (ended while a command ran|is gone|did not answer)"
        with pytest.raises(MachineLostError, match=told):
            await running
        with pytest.raises(MachineLostError, match=r"the machine is gone|guest agent is gone"):
            await sh(machine, "true")


async def test_a_machine_reaches_the_registries_and_nothing_of_the_host(vms: QemuBackend, vm_base: Path) -> None:
    listener = await asyncio.start_server(lambda _, writer: writer.close(), "0.0.0.0", 0)
    port = listener.sockets[0].getsockname()[1]
    async with listener, vms.open(SMALL, [vm_base]) as machine:
        outside = [address for address in host_addresses() if ":" not in address and not address.startswith("127.")]
        for address in ("10.0.2.2", "127.0.0.1", "169.254.169.254", *outside):
            result, _ = await sh(machine, f"timeout 3 bash -c ': </dev/tcp/{address}/{port}'")
            assert result.exit_code != 0, address
        fetch = "curl -fsS --retry 5 --retry-all-errors --retry-delay 2 -o /dev/null"
        mirror = "$(sed -n 's/^deb \\(http[^ ]*\\).*/\\1/p' /etc/apt/sources.list | head -1)"
        result, text = await sh(machine, f'{fetch} "{mirror}/dists/bookworm/InRelease"', timeout=120)
        assert result.exit_code == 0, text


async def test_what_a_killed_server_left_is_removed(tmp_path: Path) -> None:
    left, owned = tmp_path / "left", tmp_path / "half"
    left.mkdir()
    owned.mkdir()
    (tmp_path / "sockets").mkdir()
    (left / "owner.json").write_text(f'{{"sockets": "{tmp_path / "sockets"}", "label": "build"}}')
    (left / "memory.bin").write_bytes(b"x")
    assert sweep(tmp_path) == ["the virtual machine left"]
    assert not left.exists()
    assert not (tmp_path / "sockets").exists()


def sparse_size(path: Path) -> int:
    return path.stat().st_blocks * 512
