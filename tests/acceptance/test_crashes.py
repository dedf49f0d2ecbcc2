"""kill -9 in every phase: the next start goes on under the same attempt, a client that resumes with its last id misses
nothing and sees nothing twice, and nothing of the dead server's machines is left."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot.conformance.frames import Frame, check_frames, check_whole, read_frames
from tests.acceptance.conftest import running
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, lines_of

RESTARTED = "the server restarted during this build: going on from the last finished step"
_BULK = "head -c 300M /dev/urandom > /srv/bulk"
_SERVICE = {
    "name": "slow",
    "services": [{"name": "one", "run": "echo up; sleep 2; touch /tmp/up; exec sleep 600", "user": "root"}],
    "health": {"type": "command", "command": "test -e /tmp/up", "every": "1s"},
}

PLACES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "publish": (template("echo one"), {"phase": "publish"}),
    "compile": (template("echo one"), {"phase": "compile"}),
    "boot": (template("echo one"), {"phase": "boot"}),
    "install, between steps": (template("echo one > /srv/one", _BULK), {"line": _BULK}),
    "install, in a step": (
        template("echo one > /srv/one", "setsid sleep 700 & echo begun; sleep 8", "cat /srv/one"),
        {"line": "begun"},
    ),
    "install, while services start": (template("true", apps=[_SERVICE]), {"line": "up"}),
    "snapshot": (template("true", hooks={"on_pre_snapshot": "echo hooked; sleep 2"}), {"line": "hooked"}),
    "record": (template(_BULK + "; : record"), {"phase": "record"}),
    "archive": (template(_BULK + "; : archive"), {"phase": "archive"}),
    "ready": (template("echo one; : ready"), {"phase": "ready"}),
}


@pytest.fixture(scope="module")
def survivor(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(seed, tmp_path_factory.mktemp("survivor"), builds="1") as server:
        yield server


@pytest.mark.parametrize("place", PLACES)
def test_a_build_survives_its_server(survivor: Server, place: str) -> None:
    server, (document, sign) = survivor, PLACES[place]
    ref = server.publish(document)
    server.build(ref)
    with server.watch(ref) as watch:
        watch.until(**sign)
        server.kill()
        while watch.read():
            pass
    seen = watch.frames
    check_frames(seen)

    dead = server.host.living() | server.host.machines
    server.start()
    server.host.assert_gone(dead)
    if seen[-1].is_end:
        server.host.assert_clean()
    frames = _rest(server, ref, seen)
    end = check_whole(frames)
    assert end["result"] == "ready", dump(frames)
    assert server.follow(ref) == frames, "the replay is what the client saw before and after"
    shown = server.status(ref)
    assert (shown["status"], shown["attempt"]) == ("ready", 1)
    server.host.assert_clean()
    finished = {step["title"] for step in server.attempt(ref)["steps"] if step["state"] == "reused"}
    if place == "install, in a step":
        assert finished == {"run echo one > /srv/one"}, "what was finished is not made again"
        assert RESTARTED in lines_of(frames, "install")
    with server.computer(ref) as computer:
        assert server.bash(computer, "echo it works") == "it works\n"
    server.host.assert_clean()


def _rest(server: Server, ref: str, seen: list[Frame]) -> list[Frame]:
    if seen[-1].is_end:
        answer = server.client.get(server.events_url(ref), headers={"Last-Event-ID": seen[-1].id})
        assert answer.status_code == 204
        return seen
    frames = seen + read_frames(server.events(ref, last_id=seen[-1].id))
    check_frames(frames)
    return frames


def test_what_waits_in_the_queue_survives(survivor: Server) -> None:
    first, second = [survivor.publish(template(f"echo {word}; sleep 2")) for word in ("first", "second")]
    survivor.build(first)
    survivor.build(second)
    with survivor.watch(first) as watch:
        watch.until(line="first")
        waiting = read_frames(survivor.events(second, follow="0"))
        survivor.kill()
    survivor.start()
    frames = waiting + read_frames(survivor.events(second, last_id=waiting[-1].id))
    check_frames(frames)
    assert check_whole(frames)["result"] == "ready", dump(frames)
    assert survivor.follow(first)[-1].data["result"] == "ready"
    survivor.host.assert_clean()


def test_a_cancel_that_was_answered_holds_after_a_crash(survivor: Server) -> None:
    ref = survivor.publish(template("echo begun; sleep 60"))
    survivor.build(ref)
    with survivor.watch(ref) as watch:
        watch.until(line="begun")
        survivor.cancel(ref)
        survivor.kill()
    survivor.start()
    assert survivor.follow(ref)[-1].data["result"] == "cancelled"
    survivor.host.assert_clean()


def test_machines_of_a_dead_server_are_swept(survivor: Server) -> None:
    ref, _ = survivor.make(template("echo to be run"))
    made = survivor.ask("POST", "/templates/run", 200, json={"ref": ref})
    survivor.until(made["id"], "running")
    survivor.bash(made["id"], "setsid sleep 900 >/dev/null 2>&1 &")
    assert survivor.host.living()
    survivor.kill()
    survivor.start()
    survivor.host.assert_clean()
    assert survivor.ask("GET", "/computers", 200)["computers"] == []


def test_sigterm_ends_the_server_soon_and_the_build_goes_on_later(survivor: Server) -> None:
    ref = survivor.publish(
        template(
            "echo one > /srv/one", f"echo begun; until [ $(date +%s) -ge {int(time.time()) + 20} ]; do sleep 0.1; done"
        )
    )
    survivor.build(ref)
    with survivor.watch(ref) as watch:
        watch.until(line="begun")
        asked = time.monotonic()
        status = survivor.end(signal.SIGTERM, within=10)
        while watch.read():
            pass
    assert time.monotonic() - asked < 10
    assert status == 0
    assert not watch.lost, "the stream was ended in order"
    assert watch.rest == b""
    assert not watch.frames[-1].is_end
    assert watch.received.endswith(b"retry: 5000\n")
    survivor.host.assert_clean()

    survivor.start()
    frames = _rest(survivor, ref, watch.frames)
    assert check_whole(frames)["result"] == "ready", dump(frames)
    assert survivor.follow(ref) == frames


def test_an_attempt_that_outlives_too_many_servers_ends(survivor: Server) -> None:
    ref = survivor.publish(template("echo begun; sleep 60"))
    survivor.build(ref)
    for before in range(5):
        with survivor.watch(ref) as watch:
            while sum(frame.line == "begun" for frame in watch.frames) <= before:  # once more under this server
                assert watch.read()
            survivor.kill()
        survivor.start()
    end = survivor.follow(ref)[-1].data
    assert (end["result"], end["error"]["code"]) == ("failed", "machine_lost")
    assert "5 times" in end["error"]["message"]
    survivor.host.assert_clean()
