"""Computers that last, on a real server: off and on, cloned, over a restart and a crash of the server, and gone."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.acceptance.conftest import running
from tests.acceptance.documents import template
from tests.acceptance.server import Server

SECRET = "canary-5ecde1a0"
_RUNS = "until supervisorctl -c /etc/ingot/supervisord.conf status counter | grep -q RUNNING; do sleep 0.1; done"
_SLEEPERS = "pgrep -ax sleep | grep -c 9701 || true"
_IDENTITY = "hostname; cat /etc/hostname /etc/machine-id; getent hosts $(hostname) > /dev/null && echo resolves"


def document() -> dict[str, Any]:
    counter = (
        "n=0; trap 'echo ended in order >> /srv/ended; exit' TERM; "
        "while :; do n=$((n+1)); echo $n > /srv/n.new; mv /srv/n.new /srv/n; sleep 0.05; done"
    )
    service = {
        "name": "counter",
        "user": "root",
        "run": counter,
        "env": {"T": {"secret": "token"}},
    }
    hooks = {
        "on_first_boot": "echo first >> /srv/boots",
        "on_every_boot": "echo every >> /srv/boots",
        "on_shutdown": "echo shutdown >> /srv/boots",
    }
    return template(
        "echo golden > /srv/golden", secrets=["token"], hooks=hooks, apps=[{"name": "c", "services": [service]}]
    )


@pytest.fixture(scope="module")
def survivor(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(seed, tmp_path_factory.mktemp("survivor")) as server:
        server.ask("PUT", "/secrets/token", 200, json={"value": SECRET})
        yield server


@pytest.fixture(scope="module")
def ref(survivor: Server) -> str:
    made, frames = survivor.make(document())
    assert frames[-1].data["result"] == "ready", frames[-1].data
    return made


@pytest.fixture
def computer(survivor: Server, ref: str) -> Iterator[str]:
    """A computer with a file of its own; nothing of it is left behind the test."""
    made = survivor.launch(ref, name="Box 1")
    survivor.bash(made["id"], "echo mine > /srv/mine; rm /srv/golden; until [ -s /srv/n ]; do sleep 0.01; done")
    yield made["id"]
    kept = [Path(place, name) for place, _, names in os.walk(survivor.data / "computers") for name in names]
    assert [path for path in kept if holds_the_secret(path)] == [], "a layer holds a secret"
    for shown in survivor.ask("GET", "/computers", 200)["computers"]:
        assert survivor.ask("DELETE", f"/computers/{shown['id']}", 200) == {"deleted": True}
    survivor.host.assert_clean()
    assert list((survivor.data / "computers").iterdir()) == []


def holds_the_secret(path: Path) -> bool:
    """No for what is no file, or goes before it is read."""
    with contextlib.suppress(FileNotFoundError):
        return path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes()
    return False


def files_are_there(server: Server, computer: str) -> None:
    assert server.bash(computer, "cat /srv/mine; test ! -e /srv/golden && echo gone") == "mine\ngone\n"
    server.bash(computer, f"timeout 60 bash -c '{_RUNS}'")
    assert server.bash(computer, ". /root/.env; echo ${#TOKEN}") == f"{len(SECRET)}\n"


def identity(server: Server, computer: str) -> tuple[str, str]:
    """(hostname, machine id), the same wherever they stand."""
    name, file, machine_id, resolves = server.bash(computer, _IDENTITY).splitlines()
    assert (file, resolves) == (name, "resolves")
    assert re.fullmatch("[0-9a-f]{32}", machine_id)
    return name, machine_id


def test_off_and_on_again(survivor: Server, computer: str) -> None:
    before = identity(survivor, computer)
    assert before[0] == f"box-1-{survivor.until(computer, 'running')['instance_id']}"
    survivor.change(computer, "stop", "stopped")
    survivor.host.assert_clean()
    refused = survivor.ask("POST", f"/computers/{computer}/bash", 409, json={"command": "id"})
    assert refused["error"] == "the computer is stopped; commands need one that is running"
    kept = survivor.data / "computers"
    assert kept.stat().st_mode & 0o777 == 0o700

    survivor.change(computer, "start")
    files_are_there(survivor, computer)
    assert identity(survivor, computer) == before
    assert survivor.bash(computer, "cat /srv/ended") == "ended in order\n"
    assert survivor.change(computer, "restart")["error"] is None
    files_are_there(survivor, computer)
    said = survivor.bash(computer, "cat /srv/boots").split()
    assert said == ["first", "every", "shutdown", "every", "shutdown", "every"]


def test_a_clone_is_another_computer_and_its_source_goes_on(survivor: Server, computer: str) -> None:
    survivor.bash(computer, "setsid sleep 9701 > /dev/null 2>&1 &")
    before = int(survivor.bash(computer, "cat /srv/n"))
    made = survivor.ask("POST", f"/computers/{computer}/clone", 201, json={"name": "Box 2"})
    clone = survivor.until(made["id"], "running")["id"]
    assert survivor.bash(computer, _SLEEPERS) == "1\n", "nothing in the source ended"
    survivor.bash(computer, f"timeout 60 bash -c 'until [ $(cat /srv/n) -gt {before} ]; do sleep 0.01; done'")
    files_are_there(survivor, clone)
    assert survivor.bash(clone, f"{_SLEEPERS}; cat /srv/boots") == "0\nfirst\nevery\nevery\n"
    source, other = identity(survivor, computer), identity(survivor, clone)
    assert other[0] == f"box-2-{made['instance_id']}"
    assert source[0] != other[0]
    assert source[1] != other[1]

    survivor.change(computer, "stop", "stopped")
    cold = survivor.until(survivor.ask("POST", f"/computers/{computer}/clone", 201)["id"], "running")
    assert cold["name"] == "Box 1-clone"
    survivor.ask("DELETE", f"/computers/{computer}", 200)
    survivor.change(cold["id"], "restart")
    for one in (clone, cold["id"]):
        files_are_there(survivor, one)


def test_computers_outlive_a_restart_of_the_server(survivor: Server, ref: str, computer: str) -> None:
    off = survivor.launch(ref)["id"]
    survivor.change(off, "stop", "stopped")
    before = identity(survivor, computer)
    survivor.end_quietly()
    survivor.host.assert_clean()
    survivor.start()
    assert survivor.until(computer, "running")["error"] is None
    files_are_there(survivor, computer)
    assert identity(survivor, computer) == before
    assert survivor.until(off, "stopped")["error"] is None


def test_computers_come_back_after_a_crash_with_their_files(survivor: Server, computer: str) -> None:
    survivor.change(computer, "restart")
    survivor.bash(computer, "echo since > /srv/since; echo changed >> /srv/mine; sed -i '$d' /srv/mine")
    before = identity(survivor, computer)
    for round_ in range(2):
        survivor.kill()
        survivor.start()
        assert survivor.until(computer, "running")["error"] is None
        files_are_there(survivor, computer)
        assert survivor.bash(computer, "cat /srv/since") == "since\n", round_
    assert identity(survivor, computer) == before
    assert survivor.bash(computer, "cat /srv/boots").split()[-2:] == ["every", "every"], "no shutdown, it was killed"


def test_a_crash_in_the_middle_of_a_stop_loses_nothing(survivor: Server, computer: str) -> None:
    survivor.bash(computer, "head -c 200M /dev/urandom > /srv/bulk; sha256sum /srv/bulk > /srv/sum")
    assert survivor.ask("POST", f"/computers/{computer}/stop", 200)["status"] in ("stopping", "stopped")
    survivor.kill()
    survivor.start()
    survivor.until(computer, "stopped")
    survivor.host.assert_clean()
    survivor.change(computer, "start")
    files_are_there(survivor, computer)
    assert survivor.bash(computer, "sha256sum -c /srv/sum") == "/srv/bulk: OK\n"


@pytest.mark.parametrize(("change", "after"), [("restart", 0.1), ("restart", 0.7), ("clone", 0.05), ("stop", 0.4)])
def test_a_crash_at_any_moment_of_a_change_loses_no_file(
    survivor: Server, computer: str, change: str, after: float
) -> None:
    """The change is asked for by a thread whose answer never comes; what it leaves half-done is as good as not done.
    The moment counts from when the server has taken up a stop: one that it never heard of leaves the computer on."""
    survivor.bash(computer, "head -c 30M /dev/urandom > /srv/bulk; sha256sum /srv/bulk > /srv/sum")
    asking = threading.Thread(target=_ask_in_vain, args=(survivor, f"/api/computers/{computer}/{change}"))
    asking.start()
    deadline = time.monotonic() + survivor.patience
    while change == "stop" and survivor.ask("GET", f"/computers/{computer}", 200)["status"] == "running":
        assert time.monotonic() < deadline, "the stop does not begin"
        time.sleep(0.01)
    time.sleep(after)
    survivor.kill()
    asking.join()
    survivor.start()
    if change == "stop":
        survivor.until(computer, "stopped")
        survivor.change(computer, "start")
    assert survivor.until(computer, "running")["error"] is None
    assert survivor.bash(computer, "sha256sum -c /srv/sum") == "/srv/bulk: OK\n"
    files_are_there(survivor, computer)
    for clone in survivor.ask("GET", "/computers", 200)["computers"]:
        assert survivor.until(clone["id"], "running")["error"] is None


@pytest.mark.timeout(900)
def test_many_stops_leave_few_layers_and_a_crash_while_they_are_merged_loses_nothing(
    survivor: Server, computer: str
) -> None:
    """Files deleted, replaced and linked across layers; the server is killed as soon as it merges."""
    survivor.bash(computer, "mkdir /srv/many; cd /srv/many; seq 20000 | xargs -n 500 touch")
    for turn in range(16):
        survivor.bash(computer, f"cd /srv; rm -rf many/{turn}? d* last; mkdir d{turn}; echo {turn} > d{turn}/n")
        survivor.bash(
            computer, f"ln /srv/d{turn}/n /srv/last; rm -rf /etc/skel; mkdir /etc/skel; touch /etc/skel/{turn}"
        )
        survivor.bash(computer, f"timeout 60 bash -c '{_RUNS}'")
        survivor.change(computer, "restart")
    look = "cd /srv; ls many | sha256sum; cat d*/n; [ d15/n -ef last ] && echo linked; ls -A /etc/skel"
    before = survivor.bash(computer, look)
    assert before.splitlines()[1:] == ["15", "linked", "15"]
    clone = survivor.until(survivor.ask("POST", f"/computers/{computer}/clone", 201)["id"], "running")["id"]
    survivor.change(computer, "stop", "stopped")
    own = survivor.data / "computers" / computer
    assert len(list(own.iterdir())) == 17
    asking = threading.Thread(target=_ask_in_vain, args=(survivor, f"/api/computers/{computer}/start"))
    asking.start()
    deadline = time.monotonic() + survivor.patience
    while not (own / "18.new").exists() and not (own / "18").exists():  # done between two looks
        assert time.monotonic() < deadline, "nothing is merged"
        time.sleep(0.001)
    survivor.kill()
    asking.join()
    survivor.start()
    for one in (computer, clone):
        assert survivor.until(one, "running")["error"] is None
        files_are_there(survivor, one)
        assert survivor.bash(one, look) == before
    survivor.ask("DELETE", f"/computers/{clone}", 200)
    left = sorted(place.name for place in own.iterdir())
    assert left[:2] == ["1", "18"], "the heavy first one is left alone"
    assert left[2:] in ([], ["19"]), "or what the computer wrote once it was merged"
    assert survivor.bash(computer, "stat -c %h /srv/last") == "2\n"


def _ask_in_vain(server: Server, path: str) -> None:
    headers = {"Authorization": server.client.headers["Authorization"]}
    with contextlib.suppress(httpx2.TransportError):
        httpx2.post(f"{server.url}{path}", headers=headers, timeout=30, trust_env=False)


def test_a_golden_under_a_stopped_computer_is_kept(survivor: Server, ref: str, computer: str) -> None:
    survivor.change(computer, "stop", "stopped")
    shown = survivor.ask("POST", "/admin/gc", 200, params={"dry_run": "1"})
    assert survivor.status(ref)["golden_dir"] in " ".join(entry["what"] for entry in shown["kept"])
    survivor.change(computer, "start")


def test_the_command_line_does_all_of_it(survivor: Server, ref: str, computer: str) -> None:
    def cli(*arguments: str) -> str:
        status, said = survivor.cli(*arguments)
        assert status == 0, said
        return said

    assert cli("exec", "Box 1", "--", "cat", "/srv/mine") == "mine\n"
    assert cli("stop", "Box 1") == "stopped Box 1\n"
    assert "stopped" in next(line for line in cli("ps").splitlines() if "Box 1" in line)
    assert cli("start", "Box 1") == "started Box 1\n"
    assert "(twin) is a clone of Box 1" in cli("clone", "Box 1", "--name", "twin")
    assert cli("exec", "twin", "--", "cat /srv/mine") == "mine\n"
    assert cli("restart", "twin") == "restarted twin\n"
    made = cli("run", "--detach", "--name", "plain", ref).splitlines()
    assert survivor.until(made[0], "running")["name"] == "plain"
    assert cli("rm", "plain", "twin") == "removed plain\nremoved twin\n"
    assert [one["name"] for one in survivor.ask("GET", "/computers", 200)["computers"]] == ["Box 1"]
