"""A server whose machines are virtual, emulated in software: builds, goldens that go on running, secrets, crashes."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.conformance.frames import Frame
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, path_of
from tests.acceptance.test_examples import EXAMPLES, PROOFS
from tests.acceptance.test_terminals import closing, open_terminal, until
from tests.machine.cached_base import cache_directory
from tests.rfb import VNC_AUTHENTICATION, Viewer, open_viewer
from tests.seeded import copy_data, vm_data

PHASES = ("publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready")
CANARY = "canary-7f3a91c2d8"
PATIENCE = 240.0
"""Seconds that a start may take: one that boots, emulated, on a host that is busy."""
_READ = 400.0


@pytest.fixture(scope="module")
def vm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """What was booted for tests before is not booted again."""
    home = tmp_path_factory.mktemp("vm-server")
    server = Server(home, {"machine": "qemu", "builds": "2"}, patience=PATIENCE)
    server.client.timeout = _READ
    copy_data(asyncio.run(vm_data()), server.data)
    kept = cache_directory() / "qemu-booted"
    kept.mkdir(exist_ok=True)
    copy_sparsely(kept, server.data / "qemu/booted")
    try:
        yield server.start()
    finally:
        server.close()
        for boot in (server.data / "qemu/booted").iterdir():
            if not (kept / boot.name).exists() and not boot.suffix:
                copying = kept.with_suffix(".making")  # half of one would be taken for whole by every later run
                shutil.rmtree(copying, ignore_errors=True)
                copy_sparsely(boot, copying)
                copying.rename(kept / boot.name)
        assert not list((server.data / "qemu/machines").glob("*")), "a machine's files were left behind"
        assert not qemus_of(server), "a QEMU was left behind"
        shutil.rmtree(server.data)


def copy_sparsely(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    subprocess.run(["cp", "-a", "--sparse=always", str(source), str(target)], check=True)


def qemus_of(server: Server) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if line.startswith(b"qemu-system") and str(server.data).encode() in line:
            found.append(int(entry.name))
    return found


def phases_of(frames: list[Frame]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(frame.data["phase"] for frame in frames))


@pytest.mark.parametrize("name", ["hello", "static-site", "heartbeat-worker"])
def test_an_example_builds_in_all_phases_and_works(vm_server: Server, name: str) -> None:
    ref, frames = vm_server.make((EXAMPLES / f"{name}.yaml").read_text())
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert phases_of(frames) == PHASES
    assert any("emulates virtual machines in software" in frame.line for frame in frames)
    command, expected = PROOFS[name]
    with vm_server.computer(ref) as computer:
        assert vm_server.bash(computer, command) == expected


def test_what_builds_is_seen_and_what_came_of_it_has_terminals(vm_server: Server) -> None:
    ref = vm_server.publish(template("sleep 20; echo made > /srv/made"))
    vm_server.build(ref)
    with vm_server.watch(ref) as watch:
        end = time.monotonic() + _READ
        while (answer := vm_server.client.get(f"/api{path_of(ref)}/build/screenshot")).status_code == 404:
            assert time.monotonic() < end, answer.text
            time.sleep(0.1)
        assert answer.status_code == 200, answer.text
        assert answer.content.startswith(b"\x89PNG\r\n\x1a\n")
        assert watch.to_end()[-1].data["result"] == "ready"
    with vm_server.computer(ref) as computer, open_terminal(vm_server, computer, "?cols=99&rows=33") as websocket:
        websocket.send(b"stty size; tty; cat /srv/made\r")
        until(websocket, r"33 99\r\n/dev/pts/\d+\r\nmade\r\n")
        websocket.send(b"exit 4\r")
        assert closing(websocket) == (1000, "exited 4")


def test_a_service_of_the_build_is_the_same_process_in_every_launch(vm_server: Server) -> None:
    ref = vm_server.publish((EXAMPLES / "static-site.yaml").read_text())
    vm_server.build(ref)
    vm_server.follow(ref)
    with vm_server.computer(ref) as one, vm_server.computer(ref) as two:
        first, second = [
            vm_server.bash(computer, "pgrep -o nginx; cat /etc/machine-id").split() for computer in (one, two)
        ]
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_a_computer_that_switches_itself_off_is_stopped_and_keeps_its_files(vm_server: Server) -> None:
    ref, _ = vm_server.make((EXAMPLES / "hello.yaml").read_text())
    computer = vm_server.launch(ref)["id"]
    try:
        vm_server.bash(computer, "echo kept >/srv/mark; (sleep 4; poweroff) >/dev/null 2>&1 &")
        end = time.monotonic() + _READ
        while (shown := vm_server.ask("GET", f"/computers/{computer}", 200))["status"] != "stopped":
            assert (shown["status"] in ("running", "stopping"), time.monotonic() < end) == (True, True), shown
            time.sleep(0.1)
        assert shown["error"] is None
        vm_server.change(computer, "start")
        assert vm_server.bash(computer, "cat /srv/mark") == "kept\n"
    finally:
        vm_server.ask("DELETE", f"/computers/{computer}", 200)


def test_a_computer_that_is_rebooted_inside_starts_again_with_files_and_services(vm_server: Server) -> None:
    ref, _ = vm_server.make((EXAMPLES / "static-site.yaml").read_text())
    computer = vm_server.launch(ref)["id"]
    try:
        vm_server.bash(computer, "echo kept >/srv/mark; (sleep 1; reboot) >/dev/null 2>&1 &")
        seen, end = [], time.monotonic() + PATIENCE
        while (shown := vm_server.ask("GET", f"/computers/{computer}", 200))["status"] != "running" or len(seen) < 2:
            assert time.monotonic() < end, (seen, shown)
            seen += [shown["status"]] if shown["status"] not in seen else []
            time.sleep(0.05)
        assert (shown["error"], "error" in seen) == (None, False), (seen, shown)
        said = vm_server.bash(computer, "cat /srv/mark; pgrep nginx >/dev/null && echo serving")
        assert said == "kept\nserving\n"
    finally:
        vm_server.ask("DELETE", f"/computers/{computer}", 200)


def test_a_step_that_switches_its_machine_off_or_reboots_it_is_told_so(vm_server: Server) -> None:
    for command in ("poweroff; sleep 60", "reboot; sleep 60", "reboot"):
        _, frames = vm_server.make(template(command, "echo after"))
        failure = frames[-1].data["error"]
        what = "switched off" if "poweroff" in command else "rebooted"
        expected = {f"the machine was {what} from inside"}
        if command == "reboot":
            expected.add("the machine was switched off or rebooted from inside")  # as it is captured
        assert failure["code"] == "machine_lost", dump(frames)
        assert failure["message"].removesuffix(": a step must leave its machine running") in expected, dump(frames)
        assert failure["step"] == f"run {command}", "and not the one after it"


def test_a_changed_last_step_goes_on_in_the_machine_as_the_step_before_left_it(vm_server: Server) -> None:
    _, frames = vm_server.make(template("echo kept >/dev/shm/mark", "echo one"))
    assert frames[-1].data["result"] == "ready", dump(frames)
    _, frames = vm_server.make(template("echo kept >/dev/shm/mark", "cat /dev/shm/mark"))
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert any("cached" in frame.line and "/dev/shm/mark" in frame.line for frame in frames), dump(frames)
    assert any(frame.line == "kept" and frame.data.get("source") == "run" for frame in frames), dump(frames)


def test_a_secret_of_a_step_is_in_no_disk_no_memory_and_no_manifest(vm_server: Server) -> None:
    vm_server.ask("PUT", "/secrets/canary", 200, json={"value": CANARY})
    steps = ('printf "%s" "$CANARY" | md5sum >/srv/digest', "echo after")
    document = template(*steps, secrets=["canary"], build={"secrets": ["canary"]})
    ref, frames = vm_server.make(document)
    assert frames[-1].data["result"] == "ready", dump(frames)
    with vm_server.computer(ref) as computer:
        assert vm_server.bash(computer, "cat /root/.env") == f"CANARY={CANARY}\n"
    searched = 0
    for path in sorted(vm_server.data.glob("layers/*/parts/*")) + sorted(vm_server.data.glob("objects/**/*.json")):
        if path.is_file():
            searched += 1
            assert not holds(path, CANARY.encode()), path
    assert searched > 10


def test_a_computers_screen_is_seen_by_who_has_key_and_password(vm_server: Server) -> None:
    ref, frames = vm_server.make(template("echo 'SHOWN BY THE BUILD' >/dev/tty1"))
    assert frames[-1].data["result"] == "ready", dump(frames)
    made = vm_server.ask("POST", "/templates/run", 200, json={"ref": ref})
    until_running(vm_server, made["id"])
    picture = vm_server.client.get(f"/api/computers/{made['id']}/screenshot")
    assert (picture.status_code, picture.headers["Content-Type"]) == (200, "image/png"), picture.text
    size = struct.unpack("!II", picture.content[16:24])
    asyncio.run(_watch_to_its_end(vm_server, made["id"], made["vnc_password"], size))
    assert made["vnc_password"] not in vm_server.log


def until_running(server: Server, computer: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.ask("GET", f"/computers/{computer}", 200)["status"] != "running":
        assert time.monotonic() < deadline, "the computer does not start"
        time.sleep(0.1)


async def _watch_to_its_end(server: Server, computer: str, password: str, size: tuple[int, int]) -> None:
    headers = {"Authorization": server.client.headers["Authorization"]}
    async with asyncio.timeout(180), open_viewer(server.url, computer, headers) as websocket:
        viewer = Viewer(websocket)
        assert await viewer.security_types() == [VNC_AUTHENTICATION]
        assert await viewer.enter(password) == size
        assert len(set((await viewer.picture(*size))[::4])) > 1
        ending = asyncio.create_task(asyncio.to_thread(server.ask, "DELETE", f"/computers/{computer}", 200))
        async for _ in websocket:
            pass
        await ending
    assert (websocket.close_code, websocket.close_reason) == (1000, "the screen is gone")


def holds(path: Path, wanted: bytes) -> bool:
    kept = b""
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            if wanted in kept + chunk:
                return True
            kept = chunk[-len(wanted) :]
    return False


def test_a_step_that_leaves_its_secret_on_the_disk_fails(vm_server: Server) -> None:
    vm_server.ask("PUT", "/secrets/leaked", 200, json={"value": "leaked-2b91f0aa31"})
    step = 'printf "%s" "$LEAKED" >/srv/left'
    document = template(step, secrets=["leaked"], build={"secrets": ["leaked"]})
    _, frames = vm_server.make(document)
    assert frames[-1].data["error"]["code"] == "step_failed", dump(frames)
    assert "left the value of the secret leaked" in frames[-1].line


def test_a_build_whose_qemu_is_killed_ends_as_machine_lost(vm_server: Server) -> None:
    ref = vm_server.publish(template("echo begun; sleep 60"))
    vm_server.build(ref)
    with vm_server.watch(ref) as watch:
        watch.until(line="begun")
        for process in qemus_of(vm_server):
            os.kill(process, signal.SIGKILL)
        frames = watch.to_end()
    assert frames[-1].data["error"]["code"] == "machine_lost", dump(frames)
    assert not qemus_of(vm_server)


def test_a_server_that_was_killed_goes_on_with_its_build_and_leaves_nothing(vm_server: Server) -> None:
    ref = vm_server.publish(template("echo first", "echo begun; sleep 8; echo over"))
    vm_server.build(ref)
    with vm_server.watch(ref) as watch:
        watch.until(line="begun")
    vm_server.kill()
    deadline = time.monotonic() + 60
    while qemus_of(vm_server):
        assert time.monotonic() < deadline, "QEMU outlived its server"
        time.sleep(0.05)
    vm_server.start()
    frames = vm_server.follow(ref)
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert re.search("cached", dump(frames))
    assert not [path for path in (vm_server.data / "qemu/machines").glob("*") if not qemus_of(vm_server)]
