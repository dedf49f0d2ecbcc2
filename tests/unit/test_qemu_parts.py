"""The pure parts of virtual machines: command line, output marks, initramfs, sparse copies, chosen states."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
from pathlib import Path

import pytest

from ingot.errors import MachineError, MachineLostError
from ingot.machine.qemu import QemuBackend, findings
from ingot.machine.qemu.emulator import connect_screen
from ingot.machine.qemu.files import check_path, unpack_excerpt
from ingot.machine.qemu.hardware import Hardware, Places, hardware_of, make_argv
from ingot.machine.qemu.initramfs import pack_cpio
from ingot.machine.qemu.output import End, Mark
from ingot.machine.qemu.room import explained
from ingot.machine.qemu.state import DEVICES, MEMORY, belongs, copy_sparsely, find_state, update_copy, write_record
from ingot.machine.qemu.terminal import connect_terminal
from ingot.records.machine import MachineSpec

HARDWARE = Hardware("tcg", 1, 512, 1024, "7.2.22")


def places(shares_memory: bool = True) -> Places:
    base, home = Path("/layers/base"), Path("/data/vm")
    return Places(
        kernel=base / "vmlinuz",
        initramfs=base / "initrd",
        disks=[base / "disk.raw", Path("/layers/one/disk.qcow2")],
        disk=home / "disk.qcow2",
        memory=home / "memory.bin",
        shares_memory=shares_memory,
        sockets=Path("/run/vm"),
    )


def option(argv: list[str], name: str) -> str:
    return argv[argv.index(name) + 1]


def test_the_same_hardware_and_places_give_the_same_line() -> None:
    assert make_argv(HARDWARE, places(), resumes=False) == make_argv(HARDWARE, places(), resumes=False)


def test_a_machine_that_resumes_differs_by_waiting_for_its_state_alone() -> None:
    argv = make_argv(HARDWARE, places(), resumes=True)
    assert argv == [*make_argv(HARDWARE, places(), resumes=False), "-incoming", "defer"]


def test_machine_and_processor_are_pinned_so_that_states_move_between_hosts() -> None:
    argv = make_argv(HARDWARE, places(), resumes=False)
    assert option(argv, "-machine").startswith("pc-q35-7.2,")
    assert option(argv, "-cpu").split(",")[0] not in ("host", "max")


def test_every_machine_has_a_screen_that_asks_for_a_password_on_a_socket_of_its_own() -> None:
    for resumes in (False, True):
        argv = make_argv(HARDWARE, places(), resumes=resumes)
        assert option(argv, "-vnc") == "unix:/run/vm/vnc,password=on,share=force-shared"
        assert argv.count("-vnc") == 1


def test_only_a_machine_whose_state_may_be_captured_writes_to_its_memory_file() -> None:
    assert ",share=on" in option(make_argv(HARDWARE, places(), resumes=True), "-object")
    assert ",share=off" in option(make_argv(HARDWARE, places(shares_memory=False), resumes=True), "-object")


def test_the_disk_stands_on_its_layers_which_are_read_only() -> None:
    node = json.loads(option(make_argv(HARDWARE, places(), resumes=False), "-blockdev"))
    above, base = node["backing"], node["backing"]["backing"]
    assert (above["file"]["filename"], base["file"]["filename"]) == ("/layers/one/disk.qcow2", "/layers/base/disk.raw")
    assert (above["read-only"], base["read-only"], "read-only" in node) == (True, True, False)


def test_the_disk_has_room_for_the_base_and_for_what_may_be_written() -> None:
    hardware = hardware_of(MachineSpec(cpu=0.5, memory_mb=1024, disk_mb=100), "tcg", "7.2.22", 500 * 2**20 + 1)
    assert (hardware.cpus, hardware.disk_mb) == (1, 601)


async def test_a_screen_that_is_full_is_waited_for_and_is_no_sign_of_a_lost_machine(tmp_path: Path) -> None:
    place = tmp_path / "vnc"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        with pytest.raises(MachineLostError, match="screen cannot be reached: Connection refused"):
            await connect_screen(place)
        listener.listen(0)
        _, first = await connect_screen(place)
        with pytest.raises(MachineError, match=r"took no viewer within 0\.1 s; try again") as refused:
            await connect_screen(place, deadline=0.1)
        assert refused.value.code == "screen_busy"
        waiting = asyncio.create_task(connect_screen(place))
        await asyncio.sleep(0.1)
        taken = [listener.accept()[0]]
        _, second = await waiting
        taken.append(listener.accept()[0])
        for end in (first, second, *taken):
            end.close()
        await asyncio.gather(first.wait_closed(), second.wait_closed())


NONCE = "0123456789abcdef"
WHOLE = b"\0" + NONCE.encode() + b"\none\0two\n\0" + NONCE.encode() + b" 3 1 100 4096 50\n"


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_output_and_end_are_told_apart_however_they_come(size: int) -> None:
    mark, output = Mark(NONCE), b""
    content = b"of the command before" + WHOLE
    for start in range(0, len(content), size):
        output += mark.feed(content[start : start + size])
    assert output == b"one\0two\n"
    assert mark.end == End(status=3, memory_kills=1, disk_full=True)


def test_output_is_passed_on_without_waiting_for_what_follows() -> None:
    mark = Mark(NONCE)
    mark.feed(b"\0" + NONCE.encode() + b"\n")
    assert mark.feed(b"a prompt: ") == b"a prompt: "
    assert mark.feed(b"a line\n") == b"a line\n"


def test_an_end_that_goes_on_and_on_is_output() -> None:
    mark, sent, output = Mark(NONCE), b"\0" + NONCE.encode() + b" " + b"x" * 1000, b""
    mark.feed(b"\0" + NONCE.encode() + b"\n")
    for place in range(0, len(sent), 100):
        output += mark.feed(sent[place : place + 100])
    assert output == sent
    mark.feed(WHOLE[WHOLE.rindex(b"\0") :])
    assert mark.end is not None


def test_an_end_that_makes_no_sense_is_told() -> None:
    mark = Mark(NONCE)
    mark.feed(b"\0" + NONCE.encode() + b"\n")
    with pytest.raises(MachineLostError, match="told a command's end as"):
        mark.feed(b"\0" + NONCE.encode() + b" nonsense\n")


def test_the_archive_for_the_kernel_is_one_that_cpio_reads() -> None:
    content = pack_cpio(["bin", "dev"], {"init": b"#!/bin/sh\n", "bin/busybox": b"x" * 5})
    listed = subprocess.run(["cpio", "-itv", "--quiet"], input=content, capture_output=True, check=True)
    lines = listed.stdout.decode().splitlines()
    assert [line.split()[-1] for line in lines] == ["bin", "dev", "dev/console", "init", "bin/busybox"]
    assert lines[3].startswith("-rwxr-xr-x")


def test_zeros_become_holes_and_nothing_else_is_lost(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    page = os.urandom(4096)
    with source.open("wb") as file:
        file.truncate(64 << 20)
        for place in (0, 5 << 20, (5 << 20) + 8192, (64 << 20) - 4096):
            file.seek(place)
            file.write(page)
        file.seek(20 << 20)
        file.write(bytes(4 << 20))
    written = copy_sparsely(source, target)
    assert written == 4 * 4096
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < 256 * 1024


def test_a_copy_is_brought_up_to_date_by_its_changed_pages_alone(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(3 << 20))
    os.truncate(source, 16 << 20)
    copy_sparsely(source, target)
    with source.open("r+b") as file:
        for place in (4096, 2 << 20, 9 << 20):
            file.seek(place)
            file.write(b"changed")
    assert update_copy(source, target) == 3 * 4096
    assert target.read_bytes() == source.read_bytes()


def test_a_state_is_found_for_its_own_hardware_only(tmp_path: Path) -> None:
    for name in (MEMORY, DEVICES):
        (tmp_path / name).write_bytes(b"x")
    assert find_state(tmp_path, HARDWARE) is None
    write_record(tmp_path, HARDWARE, belongs=True)
    found = find_state(tmp_path, HARDWARE)
    assert found is not None
    assert found.memory == tmp_path / MEMORY
    assert belongs(tmp_path)
    assert find_state(tmp_path, Hardware("tcg", 2, 512, 1024, "7.2.22")) is None
    assert find_state(tmp_path, Hardware("kvm", 1, 512, 1024, "7.2.22")) is None
    assert find_state(tmp_path, Hardware("tcg", 1, 512, 1024, "10.0.2")) is None


@pytest.mark.parametrize("path", ["relative", "/", "/a/../b", "/a/"])
def test_what_is_no_path_of_a_file_is_refused(path: str) -> None:
    with pytest.raises(MachineError, match="it is not an absolute path of a file"):
        check_path(path)


def test_places_of_the_kernel_are_refused() -> None:
    with pytest.raises(MachineError, match="/proc belongs to the kernel"):
        check_path("/proc/sys/kernel/hostname")


def test_what_a_machine_says_of_itself_leads_nowhere(tmp_path: Path) -> None:
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "link").symlink_to("/etc")
    (evil / "file").write_text("kept")
    archive = subprocess.run(["tar", "-C", str(evil), "-cf", "-", "link", "file"], capture_output=True, check=True)
    unpack_excerpt(archive.stdout, tmp_path / "diff")
    assert [entry.name for entry in (tmp_path / "diff").iterdir()] == ["file"]
    assert stat.S_ISREG((tmp_path / "diff/file").lstat().st_mode)


def test_an_archive_that_is_none_is_told(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="did not tell what it holds"):
        unpack_excerpt(b"x" * 2048, tmp_path / "diff")


def test_what_a_host_lacks_for_a_state_is_told_and_sizes_are_not() -> None:
    here = Hardware("tcg", 4, 4096, 9000, "10.0.2")
    assert here.differences(HARDWARE.to_json()) == ["QEMU 7.2.22 (here: 10.0.2)"]
    assert Hardware("kvm", 1, 512, 1024, "7.2.22").differences(HARDWARE.to_json()) == [
        "acceleration by tcg (here: kvm)"
    ]
    assert HARDWARE.differences(HARDWARE.to_json()) == []


def test_a_machine_that_is_lost_on_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MachineLostError) as roomy, explained(tmp_path):
        raise MachineLostError("the machine ended")
    assert (roomy.value.code, str(roomy.value)) == ("machine_lost", "the machine ended")
    monkeypatch.setattr("ingot.machine.qemu.room.is_full", lambda _: True)
    with pytest.raises(MachineLostError) as full, explained(tmp_path), explained(tmp_path):
        raise MachineLostError("the machine ended")
    assert full.value.code == "out_of_disk"
    assert str(full.value).startswith("the server's disk is full: the machine ended; free space")
    with pytest.raises(MachineLostError) as other, explained(tmp_path):
        raise MachineLostError("the machine's network has ended", code="network")
    assert other.value.code == "network"


async def test_an_unpacked_layer_is_on_the_disk_before_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, into = tmp_path / "layer", tmp_path / "into"
    (layer / "diff/usr").mkdir(parents=True)
    into.mkdir()
    for name in ("disk.raw", "vmlinuz", "diff/usr/status"):
        (layer / name).write_bytes(os.urandom(5000))
    backend = QemuBackend(tmp_path)
    await backend.pack(layer, tmp_path / "packed")
    synced: dict[str, int] = {}
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced[os.readlink(f"/proc/self/fd/{descriptor}")] = os.fstat(descriptor).st_size
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    await backend.unpack(tmp_path / "packed", into)
    files = [path for path in into.rglob("*") if path.is_file()]
    assert {str(path): synced.get(str(path)) for path in files} == {str(path): 5000 for path in files}
    assert {str(into), str(into / "diff"), str(into / "diff/usr")} <= synced.keys()
    assert list(synced)[-1] == str(into)


async def test_a_read_of_a_terminal_that_was_given_up_within_a_frame_loses_nothing(tmp_path: Path) -> None:
    place = str(tmp_path / "port")
    served: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    async with await asyncio.start_unix_server(lambda *pair: served.put_nowait(pair), place):
        terminal = await connect_terminal(place, 80, 24)
        _, port = await served.get()
        port.write(b"o\x00\x05")
        await port.drain()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(terminal.read(), 0.2)
        port.write(b"hello" + b"x\x00\x017")
        await port.drain()
        assert [await terminal.read(), await terminal.read(), await terminal.wait()] == [b"hello", b"", 7]
        terminal.hang_up()
        port.close()


@pytest.mark.parametrize(("works", "trials"), [(True, 1), (False, 2)])
async def test_that_kvm_works_is_remembered_and_that_it_does_not_only_for_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool, trials: int
) -> None:
    tried = []

    async def trial() -> findings.KvmTrial:
        tried.append(works)
        return findings.KvmTrial(works, "as it was")

    monkeypatch.setattr(findings, "_try", trial)
    monkeypatch.setattr(findings, "default_run_dir", lambda: tmp_path)
    assert await findings.try_kvm() == await findings.try_kvm() == findings.KvmTrial(works, "as it was")
    assert len(tried) == 1
    [kept] = tmp_path.iterdir()
    long_ago = kept.stat().st_mtime - 3700
    os.utime(kept, (long_ago, long_ago))
    assert await findings.try_kvm() == findings.KvmTrial(works, "as it was")
    assert len(tried) == trials
