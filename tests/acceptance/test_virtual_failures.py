"""Virtual machines whose network, host's disk, QEMU or server goes away: the failure says which, the log ends once,
nothing is left. What they have in common with containers is in `test_failures` and `test_crashes`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot.conformance.frames import Frame, check_frames, check_whole, read_frames
from tests.acceptance.documents import template
from tests.acceptance.server import Server, Watch, dump, path_of
from tests.acceptance.test_garbage import age, collect
from tests.machine.cached_base import cache_directory
from tests.seeded import copy_data, vm_data
from tests.small_disk import SmallDisk, small_disk

_PATIENCE = 120.0
_HOOKED = {"hooks": {"on_pre_snapshot": "echo hooked; sleep 10"}}


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallDisk]:
    with small_disk(tmp_path_factory.mktemp("disk")) as made:
        yield made


@pytest.fixture(scope="module")
def frail(disk: SmallDisk, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on that disk; what was booted for tests before is not booted again."""
    server = Server(tmp_path_factory.mktemp("frail"), {"machine": "qemu", "builds": "1"}, patience=240.0)
    try:
        copy_data(asyncio.run(vm_data()), disk.place / "data")
        server.data.symlink_to(disk.place / "data")
        kept = cache_directory() / "qemu-booted"
        if kept.is_dir():
            (server.data / "qemu").mkdir()
            subprocess.run(["cp", "-a", "--sparse=always", str(kept), str(server.data / "qemu/booted")], check=True)
        yield server.start()
    finally:
        server.close()
        disk.release()
        server.host.assert_clean()
        shutil.rmtree(disk.place / "data")


@pytest.fixture(autouse=True)
def released(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "disk" in request.fixturenames:
        request.getfixturevalue("disk").release()


def the_machine(server: Server) -> str:
    """The one virtual machine that runs, once its QEMU does."""
    deadline = time.monotonic() + _PATIENCE
    while not (running := server.host.virtual()):
        assert time.monotonic() < deadline, "no machine starts"
        time.sleep(0.02)
    [machine] = running
    return machine


def kill(server: Server, program: str) -> None:
    for process in server.host.processes(the_machine(server), program):
        os.kill(process, signal.SIGKILL)


def failure_of(server: Server, ref: str, watch: Watch) -> dict[str, Any]:
    """The failure that ends a build, the same in stream and status; nothing of its machine is left, also where it was
    asked for: a machine that is lost, or that the host has no room for, is of no use."""
    frames = watch.to_end()
    end = check_whole(frames)
    assert end["result"] == "failed", dump(frames)
    assert server.status(ref)["failure"]["code"] == end["error"]["code"]
    server.host.assert_clean()
    failure: dict[str, Any] = end["error"]
    return failure


@contextlib.contextmanager
def building(server: Server, document: dict[str, Any], keep: str = "", **sign: str) -> Iterator[tuple[str, Watch]]:
    """A build that has told a line, or reached a phase. `keep`: for how long a failed step's machine is held."""
    ref = server.publish(document)
    server.build(ref, **({"keep_on_failure": keep} if keep else {}))
    with server.watch(ref) as watch:
        watch.until(**sign)
        yield ref, watch


NEEDS_NETWORK = {
    "packages": (template(build={"apt": ["tree"]}), "apt-get install -y tree"),
    "a step": (template("echo kept", "echo begun; sleep 200"), "begun"),
}


@pytest.mark.parametrize("what", NEEDS_NETWORK)
def test_a_machine_whose_network_ends_does_not_go_on_without(frail: Server, what: str) -> None:
    document, sign = NEEDS_NETWORK[what]
    with building(frail, document, keep="600", line=sign) as (ref, watch):
        kill(frail, "slirp4netns")
        asked = time.monotonic()
        failure = failure_of(frail, ref, watch)
    assert time.monotonic() - asked < 150, "a bound against hanging, not a measurement"
    assert failure["code"] == "network"
    assert failure["message"] == (
        "the machine's network has ended: slirp4netns is gone; build again: the steps that were finished are kept"
    )


def test_a_registry_that_is_not_reached_is_a_failure_of_the_network(frail: Server) -> None:
    with building(frail, template("echo begun; sleep 2", build={"apt": ["sl"]}), phase="boot") as (ref, watch):
        network = Path("/run/ingot-vm", the_machine(frail), "namespaces/net")
        subprocess.run(["nsenter", f"--net={network}", "ip", "link", "set", "tap0", "down"], check=True)
        failure = failure_of(frail, ref, watch)
    assert (failure["code"], failure["step"], failure["exit_code"]) == ("network", "apt sl", 100), failure
    assert failure["message"].startswith("apt sl did not reach its registry: E: ")
    assert "build again" in failure["message"]


BULK = "head -c 300M /dev/urandom >/srv/bulk && sync"
NO_ROOM = {
    "boot": (template("true"), {}, 20),
    "install, what a step writes": (template(f"echo begun; sleep 1; {BULK}"), {"line": "begun"}, 60),
    "snapshot": (template("true", **_HOOKED), {"line": "hooked"}, 30),
}


@pytest.mark.parametrize("where", NO_ROOM)
def test_a_host_without_room_is_told_and_nothing_half_made_is_left(frail: Server, disk: SmallDisk, where: str) -> None:
    document, sign, left = NO_ROOM[where]
    if not sign:
        disk.leave(left)
        sign = {"phase": "publish"}
    with building(frail, document, keep="600", **sign) as (ref, watch):
        disk.leave(left)
        failure = failure_of(frail, ref, watch)
    assert failure["code"] == "out_of_disk", failure
    assert failure["message"].startswith("the server's disk is full")
    assert "free space on the disk of its data directory (`ingot gc`" in failure["message"]


def test_an_archive_without_room_is_told_once_there_is_room_for_the_end(frail: Server, disk: SmallDisk) -> None:
    document = template("true", hooks={"on_pre_snapshot": "head -c 150M /dev/urandom >/srv/bulk"})
    with building(frail, document, line="snapshot captured") as (ref, watch):
        disk.take_all()
        waiting = threading.Thread(target=_release_when_told, args=(frail, disk, ref), daemon=True)
        waiting.start()
        failure = failure_of(frail, ref, watch)
        waiting.join()
    assert failure["code"] == "out_of_disk", failure
    assert failure["step"] in ("record", "archive"), "whichever the disk met first"
    frail.build(ref)
    frames = frail.follow(ref)
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert [step["state"] for step in frail.attempt(ref, 2)["steps"]] == ["reused"] * 3


def _release_when_told(server: Server, disk: SmallDisk, ref: str) -> None:
    """Once the server says that it cannot end the build, or has ended it all the same."""
    deadline = time.monotonic() + _PATIENCE
    try:
        while f"the end of {ref} failed and is tried again" not in server.log:
            assert time.monotonic() < deadline, f"the end is not tried: {server.log[-2000:]}"
            if server.status(ref)["status"] != "building":
                break
            time.sleep(0.05)
    finally:
        disk.release()


def test_garbage_is_collected_on_a_disk_that_is_full(frail: Server, disk: SmallDisk) -> None:
    gone, _ = frail.make(template("head -c 20M /dev/urandom >/srv/gone"))
    frail.make(template("head -c 20M /dev/urandom >/srv/loose", "exit 1"))
    kept, _ = frail.make(template("echo kept"))
    frail.ask("DELETE", path_of(gone), 200)
    age(frail)
    disk.leave(0)
    removed = [entry["what"].split()[0] for entry in collect(frail)["removed"]]
    assert removed.count("golden") == 1, removed
    assert removed.count("layer") >= 3, removed
    assert frail.status(kept)["status"] == "ready"


def test_a_snapshot_whose_qemu_is_killed_ends_as_machine_lost(frail: Server) -> None:
    with building(frail, template("echo lost", **_HOOKED), line="hooked") as (ref, watch):
        kill(frail, "qemu-system")
        failure = failure_of(frail, ref, watch)
    assert (failure["code"], failure["step"]) == ("machine_lost", "on_pre_snapshot and scrub"), failure
    assert failure["message"].endswith("; build again: the steps that were finished are kept")


KILLED = {
    "snapshot": (template("echo kept", **_HOOKED), {"line": "hooked"}),
    "archive": (template("echo archived"), {"phase": "archive"}),
}


@pytest.mark.parametrize("where", KILLED)
def test_a_build_survives_its_server(frail: Server, where: str) -> None:
    document, sign = KILLED[where]
    with building(frail, document, **sign) as (ref, watch):
        frail.kill()
        while watch.read():
            pass
    ends_ready_after_a_restart(frail, ref, watch.frames)


def ends_ready_after_a_restart(server: Server, ref: str, seen: list[Frame]) -> None:
    dead = server.host.living() | server.host.machines
    server.start()
    server.host.assert_gone(dead)
    frames = seen if seen[-1].is_end else seen + read_frames(server.events(ref, last_id=seen[-1].id))
    check_frames(frames)
    assert check_whole(frames)["result"] == "ready", dump(frames)
    assert server.follow(ref) == frames, "the replay is what the client saw before and after"
    server.host.assert_clean()
    assert {path.suffix for path in (server.data / "qemu/booted").iterdir()} == {""}


@pytest.mark.timeout(900)
def test_a_first_boot_is_made_anew_when_qemu_or_the_server_was_killed_in_it(frail: Server) -> None:
    odd = {"cpu": 1, "ram_gb": 1, "disk_gb": 7}  # hardware that no other test has, so that the base is not booted yet
    booted = {path.name for path in (frail.data / "qemu/booted").iterdir()}
    document = template("echo booted", hardware=odd)
    with building(frail, document, phase="boot") as (ref, watch):
        kill(frail, "qemu-system")
        failure = failure_of(frail, ref, watch)
    assert (failure["code"], failure["step"]) == ("machine_lost", "boot"), failure
    assert "build again" in failure["message"]
    frail.build(ref)
    with frail.watch(ref) as watch:
        watch.until(phase="boot")
        the_machine(frail)
        frail.kill()
        while watch.read():
            pass
    assert {path.name for path in (frail.data / "qemu/booted").iterdir()} == booted
    ends_ready_after_a_restart(frail, ref, watch.frames)


def test_the_machine_of_a_failed_step_can_be_looked_into(frail: Server) -> None:
    steps = (
        "echo first >/srv/first",
        "echo half >/srv/half; export MODE; sleep 1000 >/dev/null 2>&1 & "
        "until pgrep -fx 'sleep 1000'; do :; done; exit 7",
    )
    ref, frames = frail.make(template(*steps, env={"MODE": "loud"}), keep_on_failure="600")
    assert frames[-1].data["result"] == "failed", dump(frames)
    assert frames[-2].line.endswith(f": look into it with `ingot debug {ref}`"), dump(frames)
    machine = the_machine(frail)
    assert frail.ask("GET", f"{path_of(ref)}/build/machine", 200)["phase"] == "install"
    asked = "cat /srv/first /srv/half; id -un; pwd; echo $MODE $HOME; pgrep -fxc 'sleep 1000'"
    assert frail.cli("debug", ref, "--", asked) == (0, "first\nhalf\nroot\n/\nloud /root\n1\n")
    assert frail.cli("debug", ref, "--", "exit 9") == (9, "")
    assert frail.make(template("echo meanwhile"))[1][-1].data["result"] == "ready", "the slot is free"
    assert frail.host.virtual() == {machine}
    assert frail.cli("debug", "--end", ref) == (0, f"ended the machine of {ref}\n")
    frail.host.assert_clean()
    status, told = frail.cli("debug", ref, "--", "true")
    assert (status, f"no machine of {ref} is held" in told) == (1, True), told


def test_a_held_machine_ends_with_its_server_and_says_when_it_is_lost(frail: Server) -> None:
    ref, frames = frail.make(template("exit 5"), keep_on_failure="600")
    assert frames[-1].data["result"] == "failed", dump(frames)
    kill(frail, "qemu-system")
    status, told = frail.cli("debug", ref, "--", "true")
    assert (status, f"end it with `ingot debug --end {ref}`" in told) == (1, True), told
    frail.build(ref, keep_on_failure="600")
    assert frail.follow(ref)[-1].data["result"] == "failed"
    the_machine(frail)
    frail.kill()
    frail.start()
    frail.host.assert_clean()
    assert frail.ask("GET", f"{path_of(ref)}/build/machine", 404)["code"] == "nothing_held"
