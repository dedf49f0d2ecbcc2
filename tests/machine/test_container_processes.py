"""Commands in a container machine: what they get, how they end, and that nothing of them outlives its time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import select
import signal
import threading
import time
from pathlib import Path

import pytest

from ingot.errors import MachineError, MachineLostError
from ingot.machine.container import ContainerBackend, teardown
from ingot.machine.container.ids import Home
from ingot.machine.container.network import Carrier
from ingot.records.machine import Command, GuestFile
from tests.machine.conftest import Opener, Output, sh

pytestmark = pytest.mark.machine


def host_processes(marker: str) -> list[int]:
    """Host processes whose command line holds `marker`."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdecimal() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
    return [pid for pid in found if pid != os.getpid()]


def inside(machine: str, marker: str) -> list[int]:
    """Of the host's processes with such a command line those in `machine`'s control groups: a marker that is not this
    test's alone would find those of other servers."""
    found = []
    for pid in host_processes(marker):
        with contextlib.suppress(OSError):
            if machine in Path(f"/proc/{pid}/cgroup").read_text():
                found.append(pid)
    return found


def is_running(process: int, program: str) -> bool:
    """Whether the process is of that program; one that ended since it was found is not."""
    with contextlib.suppress(OSError):
        return program in Path(f"/proc/{process}/comm").read_text()
    return False


async def appeared(marker: str) -> int:
    """The host process whose command line holds `marker`, once there is one."""
    async with asyncio.timeout(60):
        while not (pids := host_processes(marker)):
            await asyncio.sleep(0.01)
    return pids[0]


async def test_root_inside_is_an_ordinary_user_outside(open_machine: Opener) -> None:
    async with open_machine() as machine:
        async with asyncio.TaskGroup() as tasks:
            sleeping = tasks.create_task(machine.exec(Command(("sleep", "7731"), 120), Output()))
            assert Path(f"/proc/{await appeared('sleep' + chr(0) + '7731')}").stat().st_uid == 100_000
            sleeping.cancel()
        _, text = await sh(machine, "id -u; cat /proc/self/uid_map; hostname")
    assert text.split() == ["0", "0", "100000", "65536", "ingot"]


async def test_standard_input_is_empty_unless_bytes_are_given(open_machine: Opener) -> None:
    async with open_machine() as machine:
        assert (await sh(machine, "read -r line; echo got $? $line"))[1] == "got 1\n"
        output = Output()
        await machine.exec(Command(("cat",), 10, stdin=b"given " * 50_000), output)
    assert output.text == "given " * 50_000


async def test_a_command_runs_as_the_user_it_names_with_that_users_groups_and_home(open_machine: Opener) -> None:
    async with open_machine() as machine:
        _, text = await sh(machine, "id -un; id -gn; echo $HOME; echo x >/dev/stderr; sudo id -u", user="orgo")
        assert text.split() == ["orgo", "orgo", "/home/orgo", "x", "0"]
        with pytest.raises(MachineError, match="there is no user 'nobody-knows' in the machine"):
            await sh(machine, "true", user="nobody-knows")


async def test_environment_and_working_directory_reach_the_command_and_no_command_line(open_machine: Opener) -> None:
    async with open_machine() as machine:
        output = Output()
        script = "pwd; echo $CANARY; until [ -e /srv/go ]; do sleep 0.1; done"
        command = Command(("sh", "-c", script), 120, env={"CANARY": "canary-51f2"}, cwd="/srv")
        running = asyncio.create_task(machine.exec(command, output))
        async with asyncio.timeout(60):
            while "canary" not in output.text:
                await asyncio.sleep(0.01)
        assert host_processes("canary-51f2") == []
        await sh(machine, "touch /srv/go")
        await running
        assert (await machine.exec(Command(("pwd",), 10, cwd="/not/there"), output)).exit_code == 126
    assert output.text.startswith("/srv\ncanary-51f2\n")
    assert "can't cd to /not/there" in output.text


async def test_a_program_that_is_not_there_is_status_127_with_the_shells_words(open_machine: Opener) -> None:
    async with open_machine() as machine:
        output = Output()
        result = await machine.exec(Command(("no-such-program",), 10), output)
    assert result.exit_code == 127
    assert "no-such-program: not found" in output.text


async def test_a_timeout_kills_the_whole_tree_and_daemons_that_left_it(open_machine: Opener) -> None:
    script = "sleep 8801 & setsid sleep 8802 & (setsid sh -c 'sleep 8803 & sleep 8804' &) ; echo begun; sleep 8805"
    async with open_machine() as machine:
        result, text = await sh(machine, script, timeout=10)
        assert (result.timed_out, result.exit_code, text) == (True, 137, "begun\n")
        assert [host_processes(f"sleep\x00880{number}") for number in range(1, 6)] == [[]] * 5
        assert (await sh(machine, "echo still here"))[1] == "still here\n"


async def test_a_command_that_ignores_signals_is_killed_at_its_timeout_too(open_machine: Opener) -> None:
    async with open_machine() as machine:
        result, _ = await sh(machine, "trap '' TERM INT HUP; while :; do :; done", timeout=1)
    assert result.timed_out


async def test_a_daemon_neither_holds_its_command_up_nor_dies_before_the_checkpoint(
    open_machine: Opener, tmp_path: Path
) -> None:
    async with open_machine() as machine:
        result, text = await sh(machine, "sleep 8901 & echo started", timeout=20)
        assert (result.exit_code, result.timed_out, text) == (0, False, "started\n")
        await appeared("sleep\x008901")
        await machine.checkpoint(tmp_path)
        assert host_processes("sleep\x008901") == []
        await sh(machine, "sleep 8902 &")
        await appeared("sleep\x008902")
    assert host_processes("sleep\x008902") == []


async def test_output_is_complete_in_order_and_waits_for_a_slow_taker(open_machine: Opener) -> None:
    seen = bytearray()

    async def slow(chunk: bytes) -> None:
        seen.extend(chunk)
        await asyncio.sleep(0)

    async with open_machine() as machine:
        await machine.exec(Command(("seq", "1", "400000"), 60), slow)
    assert seen.decode() == "".join(f"{number}\n" for number in range(1, 400_001))


async def test_a_taker_that_fails_ends_the_command_and_is_what_is_raised(open_machine: Opener) -> None:
    async def failing(chunk: bytes) -> None:
        raise ValueError("log is full")

    async with open_machine() as machine:
        with pytest.raises(ValueError, match="log is full"):
            await machine.exec(Command(("sh", "-c", "echo one; sleep 9001"), 60), failing)
        assert host_processes("sleep\x009001") == []


async def test_two_commands_may_run_beside_each_other(open_machine: Opener) -> None:
    async with open_machine() as machine:
        waiting = asyncio.create_task(sh(machine, "until [ -e /srv/go ]; do sleep 0.02; done; echo went"))
        await sh(machine, "touch /srv/go")
        assert (await waiting)[1] == "went\n"


async def test_orphans_are_reaped_by_the_first_process(open_machine: Opener) -> None:
    orphans = "for i in 1 2 3 4 5; do (touch /srv/$i &) ; done; until [ $(ls /srv | wc -l) = 5 ]; do sleep 0.1; done"
    script = f"{orphans}; while pgrep -x touch >/dev/null; do sleep 0.1; done; ps -eo stat,comm | grep -c '^Z'"
    async with open_machine() as machine:
        assert (await sh(machine, script))[1] == "0\n"


async def test_killing_everything_inside_does_not_end_the_machine(open_machine: Opener) -> None:
    async with open_machine() as machine:
        await sh(machine, "kill -9 -1")
        await sh(machine, "kill -TERM 1; kill -9 1")
        assert (await sh(machine, "echo alive"))[1] == "alive\n"


async def test_a_machine_whose_first_process_was_killed_is_told_as_lost(open_machine: Opener) -> None:
    async with open_machine() as machine:
        await sh(machine, "sleep 9101 &")
        pid = await appeared("sleep\x009101")  # an orphan by now: its parent is the first process
        first = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        watched = os.pidfd_open(first)
        os.kill(first, signal.SIGKILL)
        await asyncio.to_thread(select.select, [watched], [], [], 60)
        os.close(watched)
        with pytest.raises(MachineLostError, match="the machine has ended"):
            await sh(machine, "true")


async def test_a_server_with_a_thousand_connections_runs_commands(open_machine: Opener) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as opened:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        for _ in range(1100):
            opened.enter_context(open("/dev/null", "rb"))
        async with open_machine() as machine:
            assert (await sh(machine, "echo one; echo two"))[1] == "one\ntwo\n"
            machine.check()


async def test_cancelling_while_a_machine_opens_leaves_nothing(
    backend: ContainerBackend, open_machine: Opener, run_dir: Path, base_layer: Path
) -> None:
    for delay in (0.0, 0.02, 0.05, 0.1):

        async def opened() -> None:
            async with open_machine() as machine:
                await machine.put([GuestFile("/srv/x", b"")])
                await asyncio.sleep(30)

        task = asyncio.create_task(opened())
        await asyncio.sleep(delay)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert list(run_dir.iterdir()) == []


async def test_cancelling_while_a_machine_is_claimed_leaves_nothing(
    open_machine: Opener, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim, claiming = teardown.claim, threading.Event()

    def slowly(home: Home, label: str) -> int:
        claiming.set()
        time.sleep(0.2)
        return claim(home, label)

    monkeypatch.setattr(teardown, "claim", slowly)

    async def opened() -> None:
        async with open_machine():
            """It is cancelled before."""

    task = asyncio.create_task(opened())
    assert await asyncio.to_thread(claiming.wait, 60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list(run_dir.iterdir()) == []


async def test_a_network_that_ends_with_its_command_is_told() -> None:
    async def ends() -> int:
        return 0

    ending = asyncio.create_task(ends())
    await ending
    with pytest.raises(MachineLostError, match="network has ended") as caught:
        await Carrier(ending, -1, Path("/none")).unless_ended(ends())
    assert caught.value.code == "network"


async def test_a_machine_whose_network_ends_does_not_go_on_without(open_machine: Opener) -> None:
    async with open_machine() as machine:
        running = asyncio.create_task(sh(machine, "exec sleep 7741", timeout=200))
        await appeared("sleep" + chr(0) + "7741")
        [carrier] = [pid for pid in host_processes(machine.id) if is_running(pid, "slirp4netns")]
        os.kill(carrier, signal.SIGKILL)
        for command in (running, sh(machine, "true")):
            with pytest.raises(MachineLostError, match="network has ended: slirp4netns is gone") as caught:
                await command
            assert caught.value.code == "network"
        assert host_processes("sleep" + chr(0) + "7741") == []
