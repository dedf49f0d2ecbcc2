"""Machines with a name of their own, copies of running ones, and captures that fail."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ingot.errors import HostError
from ingot.machine.container import ContainerBackend, machine
from ingot.machine.container.identity import machine_id, renamed_hosts
from tests.machine.conftest import SMALL, Opener, sh
from tests.machine.test_container_processes import host_processes

pytestmark = pytest.mark.machine

COUNTER = "n=0; while :; do n=$((n + 1)); echo $n >> /srv/log; done > /dev/null 2>&1 &"
SLEEPS = "until grep -qz ^sleep /proc/$!/cmdline; do :; done"


async def test_the_name_is_the_kernels_and_resolves(backend: ContainerBackend, base_layer: Path) -> None:
    async with backend.open(SMALL, [base_layer], hostname="web-1a2b3c4d") as named:
        _, text = await sh(named, "hostname; getent hosts web-1a2b3c4d | cut -d' ' -f1; cat /etc/machine-id")
    assert text.splitlines() == ["web-1a2b3c4d", "127.0.0.1", machine_id("web-1a2b3c4d")]


async def test_a_second_start_under_the_same_name_writes_nothing(
    backend: ContainerBackend, base_layer: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with backend.open(SMALL, [base_layer], hostname="web") as named:
        assert (await named.checkpoint(first)).files == 3, "the name, the hosts file, the machine id"
    async with backend.open(SMALL, [base_layer, first], hostname="web") as named:
        assert (await named.checkpoint(second)).files == 0


async def test_what_a_user_put_in_the_place_of_the_name_does_not_keep_it_from_starting(
    backend: ContainerBackend, base_layer: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    async with backend.open(SMALL, [base_layer], hostname="web") as named:
        await sh(
            named, "cd /etc; rm hostname hosts machine-id; mkdir hostname; ln -s /etc/shadow hosts; mkfifo machine-id"
        )
        await named.checkpoint(layer)
    async with backend.open(SMALL, [base_layer, layer], hostname="web") as named:
        _, text = await sh(
            named, "hostname; ls -ld /etc/hostname | cut -c1; cat /etc/machine-id; grep -c web /etc/shadow"
        )
    assert text.splitlines() == ["web", "d", machine_id("web"), "0"]


def test_a_hosts_file_keeps_what_its_user_wrote() -> None:
    text = "127.0.0.1\tlocalhost ingot\n# ingot\n10.0.0.7 db ingot-db\n"
    assert renamed_hosts(text, "ingot", "web") == "127.0.0.1\tlocalhost web\n# ingot\n10.0.0.7 db ingot-db\n"
    assert renamed_hosts("127.0.0.1 localhost\n", "localhost", "web") == "127.0.0.1 localhost\n127.0.1.1\tweb\n"
    assert renamed_hosts("127.0.0.1 localhost web\n", "old", "web") == "127.0.0.1 localhost web\n"


async def test_commands_that_are_started_during_a_copy_wait_for_its_end(open_machine: Opener, tmp_path: Path) -> None:
    async with open_machine() as running:
        await sh(running, f"{COUNTER} until [ -s /srv/log ]; do :; done")
        async with asyncio.TaskGroup() as tasks:
            copies = []
            for number in range(4):
                (tmp_path / str(number)).mkdir()
                copies.append(tasks.create_task(running.copy(tmp_path / str(number))))
            echoes = [tasks.create_task(sh(running, f"echo {number}")) for number in range(8)]
        assert [task.result()[1] for task in echoes] == [f"{number}\n" for number in range(8)]
        for number in range(4):
            counted = (tmp_path / str(number) / "diff/srv/log").read_text().splitlines()
            assert counted == [str(count) for count in range(1, len(counted) + 1)], "no line is torn or missing"
        assert all(task.result().files >= 1 for task in copies)


async def test_a_capture_that_fails_can_be_tried_again(
    open_machine: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = tmp_path / "first", tmp_path / "second", tmp_path / "third"
    for layer in (first, second, third):
        layer.mkdir()

    def no_room(*_: object) -> None:
        raise HostError("a layer cannot be written: no room", hint="free space below the data directory")

    async with open_machine() as running:
        await sh(running, f"echo kept > /srv/kept; sleep 9401 > /dev/null 2>&1 & {SLEEPS}")
        capture = machine.capture_tree
        monkeypatch.setattr(machine, "capture_tree", no_room)
        with pytest.raises(HostError, match="no room; free space"):
            await running.copy(first)
        assert len(host_processes("sleep\x009401")) == 1, "it goes on"
        with pytest.raises(HostError, match="no room; free space"):
            await running.checkpoint(second)
        monkeypatch.setattr(machine, "capture_tree", capture)
        assert (await sh(running, "cat /srv/kept"))[1] == "kept\n"
        await running.checkpoint(third)
    assert (third / "diff/srv/kept").read_text() == "kept\n"


async def test_a_machine_that_is_ended_while_it_is_copied_leaves_nothing(
    open_machine: Opener, tmp_path: Path, run_dir: Path
) -> None:
    (tmp_path / "copy").mkdir()
    async with open_machine() as running:
        await sh(running, "head -c 200M /dev/zero | tr '\\0' x > /srv/big; sleep 9402 > /dev/null 2>&1 &", timeout=200)
        copying = asyncio.create_task(running.copy(tmp_path / "copy"))
        while not (tmp_path / "copy/diff").exists():
            assert not copying.done(), "it ended before it was seen"
            await asyncio.sleep(0.001)
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)
    assert host_processes("sleep\x009402") == []
    assert not (run_dir / running.id).exists()
