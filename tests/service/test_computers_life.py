"""Computers from goldens: started, used, ended; what they are refused for; and that nothing of them is left."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from house import ACCOUNT, RUN, house

from ingot.errors import (
    ConflictError,
    DeadlineError,
    HostError,
    IngotError,
    MachineError,
    MachineLostError,
    NotFoundError,
)
from ingot.launcher.hardware import HostHardware, choose_spec
from ingot.launcher.shell import OUTPUT_LIMIT
from ingot.machine.scripted import Scripted
from ingot.records.computer import ComputerStatus, LaunchWish
from ingot.records.layer import Golden
from ingot.records.machine import MachineSpec


async def test_a_computer_starts_with_its_secrets_and_hooks_and_runs_commands(tmp_path: Path) -> None:
    async with house(tmp_path, {"say hello": Scripted((b"hel", b"lo\n"), 3)}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert (computer.status, computer.error) == (ComputerStatus.RUNNING, None)
        files = home.backend.running[0].files
        assert files["/root/.env"] == b"API_KEY='it'\"'\"'s a secret'\nEXTRA=more\n"
        assert "canary" not in repr(home.backend.running[0].files)
        assert "/etc/ingot/hooks/on_resume" in home.backend.commands[0].argv
        result = await home.computers.bash(ACCOUNT, computer.id, "say hello", 5)
        assert (result.output, result.exit_code) == ("hello\n", 3)
        command = home.backend.commands[-1]
        assert command.env == {"HOME": "/root", "MODE": "test", "TOKEN": "it's a secret"}
        assert "secret" not in " ".join(command.argv)
        await home.computers.delete(ACCOUNT, computer.id)
        assert home.backend.running == []
        assert "/etc/ingot/hooks/on_shutdown" in home.backend.commands[-1].argv
        with pytest.raises(NotFoundError, match="there is no computer"):
            await home.computers.get(ACCOUNT, computer.id)


async def test_python_goes_in_by_stdin(tmp_path: Path) -> None:
    async with house(tmp_path, {"python3": Scripted((b"4\n",))}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        result = await home.computers.python(ACCOUNT, computer.instance_id, "print(2 + 2)", 10)
        assert result.output == "4\n"
        assert home.backend.commands[-1].stdin == b"print(2 + 2)"


async def test_a_missing_required_secret_is_named(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        home.vault = {"extra": "more"}
        with pytest.raises(ConflictError) as caught:
            await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert caught.value.code == "missing_secret"
        assert str(caught.value) == "the template needs the secret api-key; set it with `ingot secrets set api-key`"
        home.vault = {"api-key": "only this"}
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert computer.status is ComputerStatus.RUNNING


async def test_more_hardware_than_the_host_has_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        wish = LaunchWish(cpu=4096)
        with pytest.raises(ConflictError, match=r"you ask for 4096 CPUs, this host has \d+; ask for less") as caught:
            await home.computers.launch(ACCOUNT, home.item, home.golden.key, wish)
        assert caught.value.code == "capacity"
        await home.computers.launch(ACCOUNT, home.item, home.golden.key, LaunchWish(cpu=1, disk_gb=2))
        assert home.backend.opened[-1][0] == MachineSpec(1, 1024, 2048)


def test_what_the_document_names_is_refused_and_a_default_is_cut() -> None:
    golden = Golden("g", "d", "scripted", MachineSpec(1, 4096, 8192), (), {"hardware": {"cpu": 8}}, {}, 1)
    with pytest.raises(ConflictError, match="the template asks for 8 CPUs, this host has 2"):
        choose_spec(golden, LaunchWish(), HostHardware(2, 64_000, 100_000))
    plain = replace(golden, document={})
    assert choose_spec(plain, LaunchWish(), HostHardware(2, 2048, 100_000)) == MachineSpec(1, 2048, 8192)


async def test_a_golden_that_is_gone_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        with pytest.raises(ConflictError, match=r"the golden of default/hello@1\.0\.0 is gone; run `ingot build"):
            await home.computers.launch(ACCOUNT, home.item, "f" * 64, RUN)
        await home.goldens.publish(replace(home.golden, key="e" * 64, backend="qemu"))
        with pytest.raises(ConflictError, match="is for qemu machines, this host makes scripted ones"):
            await home.computers.launch(ACCOUNT, home.item, "e" * 64, RUN)


async def test_another_account_sees_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert await home.computers.list("other") == []
        with pytest.raises(NotFoundError):
            await home.computers.bash("other", computer.id, "true", 5)
        with pytest.raises(NotFoundError):
            await home.computers.delete("other", computer.id)
        assert len(await home.computers.list(ACCOUNT)) == 1


async def test_an_idle_test_run_ends_by_itself_but_not_under_a_command(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with house(tmp_path, {"long": Scripted((b"done",), until=release)}, idle=3) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        work = asyncio.create_task(home.computers.bash(ACCOUNT, computer.id, "long", 30))
        idle = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        async with asyncio.timeout(60):
            while idle.id in [one.id for one in await home.computers.list(ACCOUNT)]:
                await asyncio.sleep(0.02)
        assert [one.id for one in await home.computers.list(ACCOUNT)] == [computer.id]
        release.set()
        assert (await work).output == "done"
        async with asyncio.timeout(60):
            while home.backend.running:
                await asyncio.sleep(0.02)


async def test_a_deleted_computer_ends_its_command(tmp_path: Path) -> None:
    async with house(tmp_path, {"hang": Scripted(until=asyncio.Event())}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        work = asyncio.create_task(home.computers.bash(ACCOUNT, computer.id, "hang", 500))
        async with asyncio.timeout(60):
            while not any("hang" in " ".join(command.argv) for command in home.backend.commands):
                await asyncio.sleep(0.01)
        await home.computers.delete(ACCOUNT, computer.id)
        with pytest.raises(ConflictError, match="the computer ended while the command ran"):
            await work
        assert home.backend.running == []


FAULTS = (MachineError("its agent answers nonsense"), DeadlineError("`true` did not end within 20 s", seconds=20))


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_a_machine_cannot_do_is_told_and_its_computer_goes_on(tmp_path: Path, fault: IngotError) -> None:
    async with house(tmp_path, {"odd": Scripted(error=fault)}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        with pytest.raises(ConflictError, match=fault.message) as told:
            await home.computers.bash(ACCOUNT, computer.id, "odd", 5)
        assert told.value.code == fault.code
        assert (await home.computers.bash(ACCOUNT, computer.id, "well", 5)).exit_code == 0


async def test_a_command_past_its_time_ends_with_124(tmp_path: Path) -> None:
    async with house(tmp_path, {"hang": Scripted((b"begun\n",), until=asyncio.Event())}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        result = await home.computers.bash(ACCOUNT, computer.id, "hang", 0.1)
    assert result.exit_code == 124
    assert result.output == "begun\n\n[killed: it did not end within 0.1 s]\n"


async def test_output_is_bounded_and_keeps_both_ends(tmp_path: Path) -> None:
    chunks = (b"first\n", *([b"x" * 65536] * 64), b"last\n")
    async with house(tmp_path, {"much": Scripted(chunks)}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        output = (await home.computers.bash(ACCOUNT, computer.id, "much", 5)).output
    assert len(output) <= OUTPUT_LIMIT
    assert output.startswith("first\n")
    assert output.endswith("last\n")
    assert "bytes left out]" in output


async def test_a_hook_that_fails_is_told_and_the_computer_runs(tmp_path: Path) -> None:
    async with house(tmp_path, {"on_resume": Scripted((b"no such thing\n",), 1)}) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert computer.status is ComputerStatus.RUNNING
        assert computer.error == "hook on_resume ended with status 1: no such thing"


async def test_a_slow_start_is_shown_and_can_be_ended(tmp_path: Path) -> None:
    async with house(tmp_path, {"on_resume": Scripted(until=asyncio.Event())}, greeting=2) as home:
        computer = await home.launch(test_run=True)
        await home.until(computer.id, ComputerStatus.STARTING)
        with pytest.raises(ConflictError, match="the computer is starting; commands need one that is running"):
            await home.computers.bash(ACCOUNT, computer.id, "true", 5)
        await home.computers.delete(ACCOUNT, computer.id)
        assert home.backend.running == []


async def test_a_machine_that_cannot_start_or_is_lost_leaves_an_error_to_read(tmp_path: Path) -> None:
    script = {"on_resume": Scripted(error=HostError("the host has no runc"))}
    async with house(tmp_path, script) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert (computer.status, computer.error) == (ComputerStatus.ERROR, "the host has no runc")
        home.backend.script = {"die": Scripted(error=MachineLostError("QEMU is no more"))}
        lost = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        with pytest.raises(ConflictError, match="the computer's machine is gone: QEMU is no more; start another one"):
            await home.computers.bash(ACCOUNT, lost.id, "die", 5)
        async with asyncio.timeout(60):
            while home.backend.running:
                await asyncio.sleep(0.01)
        assert (await home.computers.get(ACCOUNT, lost.id)).status is ComputerStatus.ERROR


async def test_layers_and_golden_are_held_while_a_computer_lives(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert home.layers.held() == {"a" * 64}
        assert home.computers.golden_keys() == {home.golden.key}
        assert not await home.layers.delete("a" * 64)
        await home.computers.delete(ACCOUNT, computer.id)
        assert home.layers.held() == frozenset()
        assert home.computers.golden_keys() == frozenset()


async def test_closing_ends_every_computer(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        for _ in range(5):
            await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        assert len(home.backend.running) == 5
        await home.computers.aclose()
        assert home.backend.running == []
