"""What a computer wrote outlives a machine that is lost, a host without room and a server that ends at a bad moment."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from house import ACCOUNT, House, house

from ingot.errors import ConflictError, HostError, MachineLostError
from ingot.launcher.own_layers import NewLayer
from ingot.launcher.recovery import take_up
from ingot.machine.contract import POWERED_OFF, REBOOTED
from ingot.machine.scripted import Scripted
from ingot.records.computer import Computer, ComputerStatus
from ingot.records.layer import Golden
from ingot.records.ref import Ref

NOTE = "/srv/note"
SCRIPT = {
    "write": Scripted(writes={NOTE: b"kept"}),
    "die": Scripted(error=MachineLostError("the machine is gone")),
}
NO_ROOM = HostError("a layer cannot be written: no room", hint="free space")
PENDING = (
    "what it wrote since its last start cannot be taken from its machine's disk: a layer cannot be written: no room"
)


async def written(home: House) -> Computer:
    """A computer that runs and wrote something."""
    computer = await home.until((await home.launch()).id, ComputerStatus.RUNNING)
    await home.computers.bash(ACCOUNT, computer.id, "write", 5)
    return computer


async def crashed(home: House) -> Computer:
    """One that wrote something when its server was killed."""
    computer = await written(home)
    home.backend.running[0].abandon()
    await home.computers.aclose()
    await home.own.remove([f"{computer.id}/1"], needed=())
    home.backend.remains = {"m-1": {NOTE: b"kept"}}
    computer = replace(computer, machine="m-1", wanted=True, layers=())
    await home.records.save(computer)
    return computer


async def until_gone(home: House, run: Computer) -> None:
    async with asyncio.timeout(60):
        while run.id in [one.id for one in await home.computers.list(ACCOUNT)]:
            await asyncio.sleep(0.01)


async def has_its_note(home: House, computer: Computer) -> bool:
    await home.until(computer.id, ComputerStatus.RUNNING)
    [machine] = [one for one in home.backend.running if one.files["/etc/hostname"] == f"{computer.hostname}\n".encode()]
    return machine.files.get(NOTE) == b"kept"


@pytest.mark.parametrize("change", ["bash", "stop"])
async def test_a_machine_that_is_lost_leaves_its_files(tmp_path: Path, change: str) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        if change == "stop":
            home.backend.capture_error = MachineLostError("the machine is gone")
            stopping = asyncio.create_task(home.computers.stop(ACCOUNT, computer.id))
            await asyncio.wait([stopping])
            home.backend.capture_error = None
        else:
            with pytest.raises(ConflictError, match="machine is gone"):
                await home.computers.bash(ACCOUNT, computer.id, "die", 5)
        lost = await home.until(computer.id, ComputerStatus.ERROR)
        assert "the machine is gone" in str(lost.error)
        assert (await home.computers.start(ACCOUNT, computer.id)).error is None
        assert await has_its_note(home, computer)
        assert home.backend.remains == {}


async def test_a_machine_that_ends_by_itself_is_noticed(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        off, gone, run = await written(home), await written(home), await home.launch(test_run=True)
        for machine, code in zip(home.backend.running, (POWERED_OFF, None, POWERED_OFF), strict=True):
            machine.lost = MachineLostError("it is no more", code=code)
        stopped, lost = (
            await home.until(off.id, ComputerStatus.STOPPED),
            await home.until(gone.id, ComputerStatus.ERROR),
        )
        assert (stopped.error, stopped.wanted) == (None, False)
        assert (lost.error, lost.wanted) == ("it is no more", False)
        for computer in (off, gone):
            await home.computers.start(ACCOUNT, computer.id)
            assert await has_its_note(home, computer)
        await until_gone(home, run)


async def test_a_computer_that_is_rebooted_from_inside_starts_again_with_its_files(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer, run = await written(home), await home.launch(test_run=True)
        for machine in home.backend.running:
            machine.lost = MachineLostError("it was rebooted", code=REBOOTED)
        async with asyncio.timeout(20):
            while (await home.computers.get(ACCOUNT, computer.id)).layers == ():
                await asyncio.sleep(0.01)
        again = await home.until(computer.id, ComputerStatus.RUNNING)
        assert (again.error, again.wanted, len(again.layers)) == (None, True, 1)
        assert await has_its_note(home, computer)
        await until_gone(home, run)
        assert home.backend.remains == {}


async def test_a_computer_that_is_rebooted_again_and_again_comes_to_rest(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        async with asyncio.timeout(60):
            while (now := await home.computers.get(ACCOUNT, computer.id)).status is not ComputerStatus.ERROR:
                for machine in home.backend.running:
                    machine.lost = MachineLostError("it was rebooted", code=REBOOTED)
                await asyncio.sleep(0.01)
        assert now.error == "it was rebooted from inside 5 times in a row, each time within 60 s"
        assert not now.wanted
        assert (await home.computers.start(ACCOUNT, computer.id)).error is None
        assert await has_its_note(home, computer)


async def test_a_clone_of_a_computer_that_begins_to_restart_leaves_its_machine_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, asked, restarts = asyncio.Event(), asyncio.Event(), asyncio.Event()
    async with house(tmp_path, {**SCRIPT, "on_shutdown": Scripted(until=release)}) as home:
        computer = await written(home)
        golden = home.computers._supplies.golden

        async def ask_slowly(ref: Ref, key: str) -> Golden:
            asked.set()
            await restarts.wait()
            return await golden(ref, key)

        with monkeypatch.context() as slow:
            slow.setattr(home.computers._supplies, "golden", ask_slowly)
            cloning = asyncio.create_task(home.computers.clone(ACCOUNT, computer.id))
            await asked.wait()
        restarting = asyncio.create_task(home.computers.restart(ACCOUNT, computer.id))
        await home.until(computer.id, ComputerStatus.RESTARTING)
        restarts.set()
        with pytest.raises(ConflictError, match="the computer is restarting"):
            await cloning
        release.set()
        assert (await restarting).error is None
        assert await has_its_note(home, computer)


async def test_files_are_not_taken_from_a_machine_that_runs(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        tracked = home.computers._fleet.find(computer.account, computer.id)
        before = tracked.computer
        await take_up(tracked, home.backend, home.own)
        assert tracked.computer == before
        assert await has_its_note(home, computer)


async def test_a_stop_that_meets_a_reboot_is_a_stop(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        [machine] = home.backend.running
        machine.lost = MachineLostError("it was rebooted", code=REBOOTED)
        await home.computers.stop(ACCOUNT, computer.id)
        stopped = await home.until(computer.id, ComputerStatus.STOPPED)
        assert (stopped.error, stopped.wanted) == (None, False)


async def test_a_server_that_ends_without_room_leaves_the_disk_to_the_next(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        home.backend.capture_error = NO_ROOM
        await home.computers.aclose()
        assert home.backend.running == []
        home.backend.capture_error = None
        await home.next_server()
        assert await has_its_note(home, computer)
        assert home.backend.remains == {}


async def test_what_cannot_be_taken_now_waits_on_its_disk(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await crashed(home)
        home.backend.capture_error = NO_ROOM
        await home.next_server()
        waiting = await home.until(computer.id, ComputerStatus.ERROR)
        assert str(waiting.error).startswith(PENDING)
        assert "mend that and start it; until then the disk is kept" in str(waiting.error)
        for change in (home.computers.start, home.computers.clone):
            with pytest.raises(ConflictError, match=PENDING) as refused:
                await change(ACCOUNT, computer.id)
            assert refused.value.code == "files_pending"
        assert list(home.backend.remains) == ["m-1"]
        home.backend.capture_error = None
        clone = await home.computers.clone(ACCOUNT, computer.id)
        taken = await home.computers.get(ACCOUNT, computer.id)
        assert (taken.status, taken.error, taken.machine) == (ComputerStatus.STOPPED, None, None)
        await home.computers.start(ACCOUNT, computer.id)
        assert await has_its_note(home, computer)
        assert await has_its_note(home, clone)
        assert home.backend.remains == {}


async def test_the_next_server_takes_it_by_itself(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await crashed(home)
        for error in (NO_ROOM, NO_ROOM, None):
            home.backend.capture_error = error
            await home.next_server()
        assert await has_its_note(home, computer)


async def test_one_that_waits_can_be_deleted(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await crashed(home)
        home.backend.capture_error = NO_ROOM
        await home.next_server()
        await home.computers.delete(ACCOUNT, computer.id)
        assert home.backend.remains == {}
        assert home.kept() == []


async def test_a_clone_that_the_servers_end_stops_takes_nothing_from_its_source(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        await home.computers.stop(ACCOUNT, computer.id)
        fetching, fetched = asyncio.Event(), asyncio.Event()

        async def slowly(_: str) -> None:
            fetching.set()
            await fetched.wait()

        monkeypatch.setattr(home.layers, "ensure_local", slowly)
        cloning = asyncio.create_task(home.computers.clone(ACCOUNT, computer.id))
        await fetching.wait()
        await home.computers.aclose()
        fetched.set()
        with pytest.raises(ConflictError, match="the server ends"):
            await cloning
        assert home.kept() == [f"{computer.id}/1"]


async def test_a_clone_that_the_servers_end_meets_as_it_is_written_down_leaves_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer, add = await written(home), home.records.add

        async def add_late(clone: Computer) -> None:
            await add(clone)
            await home.computers.aclose()

        monkeypatch.setattr(home.records, "add", add_late)
        with pytest.raises(ConflictError, match="the server ends"):
            await home.computers.clone(ACCOUNT, computer.id)
        assert [one.id for one in await home.records.all()] == [computer.id]
        assert home.kept() == [f"{computer.id}/1"]


async def test_a_clone_of_one_that_is_restarted_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its layers are those of before, and what it runs on now has only what came after."""
    async with house(tmp_path, SCRIPT) as home:
        computer, making = await written(home), home.own.making

        @contextlib.asynccontextmanager
        async def made_slowly(clone_id: str) -> AsyncIterator[NewLayer]:
            async with making(clone_id) as new:
                if clone_id != computer.id:
                    await home.computers.restart(ACCOUNT, computer.id)
                yield new

        monkeypatch.setattr(home.own, "making", made_slowly)
        with pytest.raises(ConflictError, match="the computer cannot be copied"):
            await home.computers.clone(ACCOUNT, computer.id)
        assert await has_its_note(home, computer)
        assert home.kept() == [f"{computer.id}/1"]


async def test_a_clone_of_one_that_is_stopped_meanwhile_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = asyncio.Event()
    async with house(tmp_path, {**SCRIPT, "on_shutdown": Scripted(until=hook)}, greeting=2) as home:
        computer, get = await written(home), home.goldens.get

        async def stopped_meanwhile(key: str) -> object:
            await home.computers.stop(ACCOUNT, computer.id)
            return await get(key)

        monkeypatch.setattr(home.goldens, "get", stopped_meanwhile)
        with pytest.raises(ConflictError, match="the computer is stopping"):
            await home.computers.clone(ACCOUNT, computer.id)
        hook.set()
        assert len(await home.computers.list(ACCOUNT)) == 1


async def test_a_start_that_meets_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await written(home)
        await home.computers.aclose()

        async def full(_: str) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(home.layers, "ensure_local", full)
        await home.next_server()
        failed = await home.until(computer.id, ComputerStatus.ERROR)
        assert "disk is full" in str(failed.error)
        monkeypatch.undo()
        await home.computers.start(ACCOUNT, computer.id)
        assert await has_its_note(home, computer)


async def test_secrets_go_also_when_services_do_not_end(tmp_path: Path) -> None:
    async with house(tmp_path, {"kill -TERM": Scripted(error=HostError("no answer"))}) as home:
        computer = await home.launch()
        await home.computers.stop(ACCOUNT, computer.id)
        assert any("rm -rf /root/.env" in command.argv[-1] for command in home.backend.commands)


async def test_a_start_that_cannot_remove_what_the_last_run_left_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, {"rm -rf /root/.env": Scripted((b"rm: cannot fork",), 2)}) as home:
        computer = await written(home)
        await home.computers.stop(ACCOUNT, computer.id)
        again = await home.computers.start(ACCOUNT, computer.id)
        assert again.error == "removing what its last run left ended with status 2: rm: cannot fork"


async def test_a_start_that_is_refused_after_its_files_were_taken_leaves_it_stopped(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await crashed(home)
        home.backend.capture_error = NO_ROOM
        await home.next_server()
        home.backend.capture_error, home.vault = None, {}
        with pytest.raises(ConflictError, match="the template needs the secret"):
            await home.computers.start(ACCOUNT, computer.id)
        left = await home.computers.get(ACCOUNT, computer.id)
        assert (left.status, left.error) == (ComputerStatus.STOPPED, None)
        assert await home.records.all() == [left]


async def test_starts_at_once_of_one_whose_files_wait_start_it_once(tmp_path: Path) -> None:
    async with house(tmp_path, SCRIPT) as home:
        computer = await crashed(home)
        home.backend.capture_error = NO_ROOM
        await home.next_server()
        home.backend.capture_error = None

        async def start() -> None:
            with contextlib.suppress(ConflictError):  # it is starting already
                await home.computers.start(ACCOUNT, computer.id)

        await asyncio.gather(*(start() for _ in range(3)))
        assert await has_its_note(home, computer)
        assert len(home.backend.running) == 1
