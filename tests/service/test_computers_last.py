"""Computers that last: stopped, started, restarted, cloned, kept over restarts and crashes of the server, deleted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from house import ACCOUNT, House, house

from ingot.errors import ConflictError, HostError, MachineLostError, NotFoundError
from ingot.machine.scripted import Scripted
from ingot.records.computer import Computer, ComputerStatus

WRITE = {"write": Scripted(writes={"/srv/note": b"kept"}), "later": Scripted(writes={"/srv/note": b"changed"})}


async def sh(home: House, computer: Computer, line: str) -> None:
    await home.computers.bash(ACCOUNT, computer.id, line, 5)


def lines(home: House) -> list[str]:
    """What was run in machines, by its last word."""
    return [command.argv[-1] for command in home.backend.commands]


async def test_a_stopped_computer_has_its_files_name_and_id_when_it_starts_again(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        computer = await home.launch(name="Box")
        await sh(home, computer, "write")
        names = {path: home.backend.running[0].files[path] for path in ("/etc/hostname", "/etc/machine-id")}
        stopped = await home.computers.stop(ACCOUNT, computer.id)
        assert (stopped.status, stopped.machine, stopped.wanted) == (ComputerStatus.STOPPED, None, False)
        assert home.backend.running == []
        assert home.kept() == [f"{computer.id}/1"]
        with pytest.raises(ConflictError, match="the computer is stopped; commands need one that is running"):
            await sh(home, computer, "true")
        started = await home.computers.start(ACCOUNT, computer.instance_id)
        assert (started.status, started.id, started.error) == (ComputerStatus.RUNNING, computer.id, None)
        files = home.backend.running[0].files
        assert files["/srv/note"] == b"kept"
        assert {path: files[path] for path in names} == names
        assert names["/etc/hostname"] == f"box-{computer.instance_id}\n".encode()


async def test_stop_and_start_are_nothing_where_they_lead_already(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.launch()
        commands = len(home.backend.commands)
        assert (await home.computers.start(ACCOUNT, computer.id)).status is ComputerStatus.RUNNING
        assert len(home.backend.commands) == commands
        for _ in range(2):
            assert (await home.computers.stop(ACCOUNT, computer.id)).status is ComputerStatus.STOPPED
        assert home.kept() == [f"{computer.id}/1"]


async def test_off_is_hook_then_services_then_no_secrets(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.launch()
        home.backend.commands.clear()
        await home.computers.stop(ACCOUNT, computer.id)
        hook, services, secrets = lines(home)
        assert hook == "/etc/ingot/hooks/on_shutdown"
        assert "kill -TERM" in services
        assert secrets.startswith("rm -rf /root/.env; mountpoint -q /run || { rm -rf /run/ingot; find /run ")
        home.backend.commands.clear()
        await home.computers.start(ACCOUNT, computer.id)
        assert lines(home) == [secrets, "/etc/ingot/hooks/on_resume"], "what an earlier run left in /run is gone"


async def test_while_it_changes_other_changes_are_refused(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with house(tmp_path, {"on_resume": Scripted(until=release)}, greeting=2) as home:
        computer = await home.until((await home.launch()).id, ComputerStatus.STARTING)
        for change in (home.computers.start, home.computers.stop, home.computers.clone):
            with pytest.raises(ConflictError, match="the computer is starting; try again when it is not") as caught:
                await change(ACCOUNT, computer.id)
            assert caught.value.code == "in_transition"
        release.set()
        await home.until(computer.id, ComputerStatus.RUNNING)


async def test_a_computer_that_only_starts_when_its_server_ends_is_started_by_the_next(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with house(tmp_path, {"on_resume": Scripted(until=release)}, greeting=0.1) as home:
        computer = await home.until((await home.launch()).id, ComputerStatus.STARTING)
        await home.computers.aclose()
        release.set()
        await home.next_server()
        assert (await home.until(computer.id, ComputerStatus.RUNNING)).error is None


async def test_a_slow_stop_is_answered_as_stopping_and_goes_on(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with house(tmp_path, {"on_shutdown": Scripted(until=release)}, greeting=2) as home:
        computer = await home.until((await home.launch()).id, ComputerStatus.RUNNING)
        assert (await home.computers.stop(ACCOUNT, computer.id)).status is ComputerStatus.STOPPING
        with pytest.raises(ConflictError, match="the computer is stopping"):
            await home.computers.stop(ACCOUNT, computer.id)
        with pytest.raises(ConflictError, match="the computer is stopping"):
            await home.computers.restart(ACCOUNT, computer.id)
        release.set()
        await home.until(computer.id, ComputerStatus.STOPPED)


async def test_a_restart_is_a_stop_and_a_start(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        computer = await home.launch()
        await sh(home, computer, "write")
        restarted = await home.computers.restart(ACCOUNT, computer.id)
        assert (restarted.status, restarted.layers) == (ComputerStatus.RUNNING, (f"{computer.id}/1",))
        assert home.backend.running[0].files["/srv/note"] == b"kept"
        await home.computers.stop(ACCOUNT, computer.id)
        assert (await home.computers.restart(ACCOUNT, computer.id)).status is ComputerStatus.RUNNING


async def test_a_clone_of_a_running_one_has_its_files_and_another_name(tmp_path: Path) -> None:
    release = asyncio.Event()
    async with house(tmp_path, {**WRITE, "work": Scripted((b"done",), until=release)}) as home:
        source = await home.launch(name="box")
        await sh(home, source, "write")
        work = asyncio.create_task(home.computers.bash(ACCOUNT, source.id, "work", 30))
        clone = await home.computers.clone(ACCOUNT, source.id)
        await sh(home, source, "later")
        assert (clone.status, clone.name, clone.error) == (ComputerStatus.RUNNING, "box-clone", None)
        first, second = home.backend.running
        assert (first.files["/srv/note"], second.files["/srv/note"]) == (b"changed", b"kept")
        assert first.files["/etc/hostname"] != second.files["/etc/hostname"]
        assert first.files["/etc/machine-id"] != second.files["/etc/machine-id"]
        release.set()
        assert (await work).output == "done"
        await home.computers.stop(ACCOUNT, source.id)
        again = await home.computers.start(ACCOUNT, source.id)
        assert again.layers == (f"{source.id}/1",)
        assert home.backend.running[1].files["/srv/note"] == b"changed"


async def test_layers_stay_as_long_as_a_clone_stands_on_them(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        source = await home.launch()
        await sh(home, source, "write")
        await home.computers.stop(ACCOUNT, source.id)
        clone = await home.computers.clone(ACCOUNT, source.id, name="twin")
        assert clone.layers == (f"{source.id}/1",)
        assert home.backend.running[0].files["/srv/note"] == b"kept"
        await home.computers.delete(ACCOUNT, source.id)
        assert home.kept() == [f"{source.id}/1"]
        await home.computers.restart(ACCOUNT, clone.id)
        assert home.backend.running[0].files["/srv/note"] == b"kept"
        await home.computers.delete(ACCOUNT, clone.id)
        assert list((tmp_path / "computers").iterdir()) == []
        assert await home.records.all() == []


async def test_a_copy_that_fails_leaves_no_clone(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        source = await home.launch()
        home.backend.capture_error = HostError("a layer cannot be written", hint="free space")
        with pytest.raises(ConflictError, match="the computer cannot be copied: a layer cannot be written; free space"):
            await home.computers.clone(ACCOUNT, source.id)
        assert [one.id for one in await home.computers.list(ACCOUNT)] == [source.id]
        assert home.kept() == []
        await sh(home, source, "write")


async def test_a_computer_whose_files_cannot_be_kept_runs_on_and_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        computer = await home.launch()
        await sh(home, computer, "write")
        home.backend.capture_error = HostError("a layer cannot be written: no room", hint="free space")
        for change in (home.computers.stop, home.computers.restart):
            with pytest.raises(
                ConflictError, match="it cannot be stopped: a layer cannot be written: no room"
            ) as caught:
                await change(ACCOUNT, computer.id)
            assert caught.value.code == "stop_failed"
            shown = await home.computers.get(ACCOUNT, computer.id)
            assert (shown.status, shown.wanted) == (ComputerStatus.RUNNING, True)
            assert shown.error == "it cannot be stopped: a layer cannot be written: no room; free space"
        assert lines(home)[-1] == "/etc/ingot/hooks/on_resume", "what was switched off is on again"
        home.backend.capture_error = None
        stopped = await home.computers.stop(ACCOUNT, computer.id)
        assert (stopped.status, stopped.error) == (ComputerStatus.STOPPED, None)
        assert home.kept() == [f"{computer.id}/1"]
        assert (tmp_path / "computers" / computer.id / "1/diff/srv/note").read_bytes() == b"kept"


async def test_an_idle_computer_stops_and_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingot.launcher.supplies._MINUTE", 2)
    async with house(tmp_path, {"on_resume": WRITE["write"]}) as home:
        computer = await home.launch(auto_stop_minutes=1)
        stopped = await home.until(computer.id, ComputerStatus.STOPPED)
        assert (stopped.wanted, stopped.layers) == (False, (f"{computer.id}/1",))
        assert home.backend.running == []


async def test_a_test_run_cannot_be_stopped_but_cloned_into_one_that_lasts(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        run = await home.launch(test_run=True)
        await sh(home, run, "write")
        for change in (home.computers.stop, home.computers.restart):
            with pytest.raises(ConflictError, match=r"a test run cannot be (stopped|restarted); end it with DELETE"):
                await change(ACCOUNT, run.id)
        clone = await home.computers.clone(ACCOUNT, run.id)
        assert not clone.test_run
        await home.computers.delete(ACCOUNT, run.id)
        assert [one.id for one in await home.records.all()] == [clone.id]


async def test_computers_outlive_their_server(tmp_path: Path) -> None:
    async with house(tmp_path, WRITE) as home:
        ran, stopped, run = await home.launch(), await home.launch(), await home.launch(test_run=True)
        await sh(home, ran, "write")
        await home.computers.stop(ACCOUNT, stopped.id)
        await home.computers.aclose()
        assert home.backend.running == []
        await home.next_server()
        assert [one.id for one in await home.computers.list(ACCOUNT)] == [ran.id, stopped.id]
        again = await home.until(ran.id, ComputerStatus.RUNNING)
        assert (again.error, again.name, again.hostname) == (None, ran.name, ran.hostname)
        assert home.backend.running[0].files["/srv/note"] == b"kept"
        assert (await home.computers.get(ACCOUNT, stopped.id)).status is ComputerStatus.STOPPED
        assert home.computers.golden_keys() == {home.golden.key}
        with pytest.raises(NotFoundError):
            await home.computers.get(ACCOUNT, run.id)


async def test_a_server_that_ends_in_the_middle_of_a_change_loses_nothing(tmp_path: Path) -> None:
    release = asyncio.Event()
    script = {**WRITE, "on_shutdown": Scripted(until=release)}
    async with house(tmp_path, script, greeting=2) as home:
        stopping, restarting, running = [await home.launch() for _ in range(3)]
        for computer in (stopping, restarting, running):
            await home.until(computer.id, ComputerStatus.RUNNING)
            await sh(home, computer, "write")
        await asyncio.gather(home.computers.stop(ACCOUNT, stopping.id), home.computers.restart(ACCOUNT, restarting.id))
        closing = asyncio.create_task(home.computers.aclose())
        await asyncio.sleep(0)
        release.set()
        await closing
        home.backend.script = {"on_resume": Scripted(until=asyncio.Event())}
        await home.next_server()
        starting = [await home.until(one.id, ComputerStatus.STARTING) for one in (restarting, running)]
        assert (await home.computers.get(ACCOUNT, stopping.id)).status is ComputerStatus.STOPPED
        await home.computers.aclose()
        home.backend.script = {}
        await home.next_server()
        for computer in starting:
            again = await home.until(computer.id, ComputerStatus.RUNNING)
            assert again.layers[0] == f"{computer.id}/1"
        assert [machine.files["/srv/note"] for machine in home.backend.running] == [b"kept", b"kept"]


async def test_after_a_crash_a_computer_comes_back_with_what_its_machine_wrote(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.launch()
        await home.computers.aclose()
        crashed = replace(computer, layers=(f"{computer.id}/1",), machine="m-1", wanted=True)
        await home.records.save(crashed)
        home.backend.remains = {"m-1": {"/srv/note": b"written before the crash"}}
        (tmp_path / "computers" / computer.id / "2.new").mkdir()
        await home.next_server()
        again = await home.until(computer.id, ComputerStatus.RUNNING)
        assert (again.error, again.layers) == (None, (f"{computer.id}/1", f"{computer.id}/2"))
        assert home.backend.running[0].files["/srv/note"] == b"written before the crash"
        assert home.kept() == [f"{computer.id}/1", f"{computer.id}/2"]


async def test_after_a_crash_without_its_files_it_says_so(tmp_path: Path) -> None:
    async with house(tmp_path, {"on_resume": Scripted((b"no",), 1)}) as home:
        fresh, older = await home.launch(), await home.launch()
        await home.computers.aclose()
        await home.own.remove([f"{fresh.id}/1"], needed=())
        await home.records.save(replace(fresh, machine="m-1"))
        await home.records.save(replace(older, layers=(f"{older.id}/1",), machine="m-2"))
        await home.next_server()
        lost = "nothing of its machine is left: its files are those of its {}"
        hook = "; hook on_resume ended with status 1: no"
        assert (await home.until(fresh.id, ComputerStatus.RUNNING)).error == lost.format("template") + hook
        assert (await home.until(older.id, ComputerStatus.RUNNING)).error == lost.format("last stop") + hook
        stopped = await home.computers.stop(ACCOUNT, older.id)
        assert stopped.error is None


@pytest.mark.parametrize("remains", [{}, {"m-1": {"/srv/later": b"x"}}])
async def test_a_stop_that_was_all_but_written_down_is_one(
    tmp_path: Path, remains: dict[str, dict[str, bytes]]
) -> None:
    async with house(tmp_path, WRITE) as home:
        computer = await home.launch()
        await sh(home, computer, "write")
        await home.computers.stop(ACCOUNT, computer.id)
        await home.computers.aclose()
        await home.records.save(replace(computer, status=ComputerStatus.STOPPING, machine="m-1", wanted=False))
        home.backend.remains = dict(remains)
        await home.next_server()
        (left,) = await home.computers.list(ACCOUNT)
        assert (left.status, left.error) == (ComputerStatus.STOPPED, None)
        assert left.layers == (f"{computer.id}/1", f"{computer.id}/2")[: 1 + len(remains)]
        assert home.kept() == list(left.layers)


async def test_a_crash_while_it_was_stopped_or_deleted_finishes_that(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        stopping, deleting = await home.launch(), await home.launch()
        await home.computers.aclose()
        await home.own.remove([f"{stopping.id}/1"], needed=())
        away = {"machine": "m-1", "wanted": False, "layers": ()}
        await home.records.save(replace(stopping, status=ComputerStatus.STOPPING, **away))
        away = {"machine": "m-2", "wanted": False, "layers": (f"{deleting.id}/1",)}
        await home.records.save(replace(deleting, status=ComputerStatus.DELETING, **away))
        home.backend.remains = {"m-1": {"/srv/note": b"kept"}, "m-2": {}}
        await home.next_server()
        (left,) = await home.computers.list(ACCOUNT)
        assert (left.id, left.status) == (stopping.id, ComputerStatus.STOPPED)
        assert home.kept() == [f"{stopping.id}/1"]
        assert [one.id for one in await home.records.all()] == [stopping.id]


async def test_a_start_that_lacks_something_says_what_and_changes_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.launch()
        await home.computers.stop(ACCOUNT, computer.id)
        home.vault = {}
        with pytest.raises(ConflictError, match="the template needs the secret api-key") as caught:
            await home.computers.start(ACCOUNT, computer.id)
        assert caught.value.code == "missing_secret"
        assert (await home.computers.get(ACCOUNT, computer.id)).status is ComputerStatus.STOPPED
        home.vault = {"api-key": "x"}
        await home.computers.start(ACCOUNT, computer.id)
        await home.computers.aclose()
        home.vault = {}
        await home.next_server()
        failed = await home.until(computer.id, ComputerStatus.ERROR)
        assert failed.error == "the template needs the secret api-key; set it with `ingot secrets set api-key`"
        home.vault = {"api-key": "x"}
        assert (await home.computers.start(ACCOUNT, computer.id)).status is ComputerStatus.RUNNING
        assert home.layers.held() == {"a" * 64}


async def test_a_lost_machines_files_are_kept_and_it_starts_again(tmp_path: Path) -> None:
    async with house(tmp_path, {**WRITE, "die": Scripted(error=MachineLostError("the machine is gone"))}) as home:
        computer = await home.launch()
        await sh(home, computer, "write")
        with pytest.raises(ConflictError, match="the computer's machine is gone"):
            await sh(home, computer, "die")
        lost = await home.until(computer.id, ComputerStatus.ERROR)
        assert (lost.error, lost.layers) == ("the machine is gone", (f"{computer.id}/1",))
        again = await home.computers.start(ACCOUNT, computer.id)
        assert (again.status, again.error) == (ComputerStatus.RUNNING, None)
        assert home.backend.running[0].files["/srv/note"] == b"kept"


async def test_a_workspace_must_be_there_or_nothing_is_made(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        workspace = await home.workspaces.create(ACCOUNT, "shop")
        computer = await home.launch(workspace=workspace.id)
        assert computer.workspace == workspace.id
        with pytest.raises(NotFoundError, match="there is no workspace nowhere"):
            await home.launch(workspace="nowhere")
        with pytest.raises(NotFoundError, match="there is no workspace nowhere"):
            await home.computers.clone(ACCOUNT, computer.id, workspace="nowhere")
        assert [one.id for one in await home.computers.list(ACCOUNT)] == [computer.id]
        assert len(home.backend.opened) == 1
        assert home.kept() == []
        assert (await home.computers.clone(ACCOUNT, computer.id)).workspace == workspace.id
        with pytest.raises(ConflictError, match="the workspace has 2 computers: hello, hello-clone"):
            await home.workspaces.delete(ACCOUNT, workspace.id)


@pytest.mark.parametrize("hook", ["on_resume", "on_shutdown"])
async def test_one_that_starts_or_stops_can_be_deleted_at_once(tmp_path: Path, hook: str) -> None:
    async with house(tmp_path, {hook: Scripted(until=asyncio.Event())}, greeting=2) as home:
        computer = await home.launch()
        if hook == "on_shutdown":
            await home.until(computer.id, ComputerStatus.RUNNING)
            assert (await home.computers.stop(ACCOUNT, computer.id)).status is ComputerStatus.STOPPING
        await asyncio.gather(*(home.computers.delete(ACCOUNT, computer.id) for _ in range(3)))
        assert home.backend.running == []
        assert await home.records.all() == []
        assert home.kept() == []
        assert home.layers.held() == frozenset()
        with pytest.raises(NotFoundError):
            await home.computers.get(ACCOUNT, computer.id)
