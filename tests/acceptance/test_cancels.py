"""A cancel in every phase: the end within five seconds, and the machine with all it had gone before the end is told."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot.conformance.frames import check_whole
from tests.acceptance.conftest import running
from tests.acceptance.documents import fresh_name, template
from tests.acceptance.server import Server, dump, path_of

ENFORCED_WITHIN = 5.0
_BULK = "head -c 400M /dev/urandom > /srv/bulk"
_NOWHERE = "http://192.0.2.1/x"

PLACES: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "compile, while a source is fetched": (
        template("true", files=[{"to": "/srv/x", "from": _NOWHERE}]),
        {"line": f"curl {_NOWHERE}"},
    ),
    "compile": (template("sleep 60"), {"phase": "compile"}),
    "boot": (template("sleep 60"), {"phase": "boot"}),
    "install, as it begins": (template("sleep 60"), {"phase": "install"}),
    "install, in a long step": (
        template("trap '' TERM INT; setsid sleep 600 & echo deep in it; sleep 600"),
        {"line": "deep in it"},
    ),
    "install, while services start": (
        template(
            apps=[
                {
                    "name": "slow",
                    "services": [{"name": "one", "run": "echo up; exec sleep 600"}],
                    "health": {"type": "http", "url": "http://127.0.0.1:9/"},
                }
            ]
        ),
        {"line": "up"},
    ),
    "snapshot": (template("true", hooks={"on_pre_snapshot": "echo hooked; sleep 30"}), {"line": "hooked"}),
    "record": (template(_BULK), {"phase": "record"}),
    "archive": (template(_BULK), {"phase": "archive"}),
}


def fresh(place: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The document under a name, and of a content, that no other has."""
    document, sign = copy.deepcopy(PLACES[place])
    name = document["template"]["name"] = fresh_name()
    if document["build"].get("run") == [_BULK]:
        document["build"]["run"] = [f"{_BULK}; : {name}"]
    return document, sign


@pytest.mark.parametrize("place", PLACES)
def test_a_cancel_ends_the_build(server: Server, place: str) -> None:
    for _ in range(5 if place in ("record", "archive") else 1):
        document, sign = fresh(place)
        ref = server.publish(document)
        server.build(ref)
        with server.watch(ref) as watch:
            watch.until(**sign)
            answer = server.client.delete(f"/api{path_of(ref)}/build")
            asked = time.monotonic()
            frames = watch.to_end()
        if answer.status_code != 404:  # else it was over already
            break
    assert (answer.status_code, answer.json()) == (202, {"status": "cancelling"})
    assert time.monotonic() - asked < ENFORCED_WITHIN
    machines = [line for line in server.host.remains() if "half-made" not in line and "loop" not in line]
    assert machines == []
    assert not watch.lost
    end = check_whole(frames)
    shown = server.status(ref)
    assert (end["result"], end["phase"], end["error"]["code"]) == ("cancelled", "cancel", "cancelled"), dump(frames)
    assert end["line"] == "build cancelled: cancelled on request"
    assert (shown["status"], shown["golden_dir"], shown["failure"]["code"]) == ("failed", None, "cancelled")
    assert server.client.delete(f"{server.events_url(ref).removesuffix('/events')}").json() == {"status": "idle"}


def test_a_cancelled_build_can_be_built_again(server: Server) -> None:
    ref = server.publish(template("echo kept > /srv/kept", "test -e /go || sleep 4"))
    server.build(ref)
    with server.watch(ref) as watch:
        watch.until(line="test -e /go")
        server.cancel(ref)
        watch.to_end()
    server.build(ref)
    frames = server.follow(ref)
    assert (frames[-1].attempt, frames[-1].data["result"]) == (2, "ready"), dump(frames)
    assert [step["state"] for step in server.attempt(ref, 2)["steps"]] == ["reused", "done"]


@pytest.fixture(scope="module")
def narrow(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that builds one thing at a time."""
    with running(seed, tmp_path_factory.mktemp("narrow"), builds="1") as server:
        yield server


def test_a_cancel_in_the_queue_ends_the_build(narrow: Server) -> None:
    blocker, waiting = narrow.publish(template("sleep 60")), narrow.publish(template("true"))
    narrow.build(blocker)
    with narrow.watch(blocker) as watch:
        watch.until(phase="compile")
    narrow.build(waiting)
    assert narrow.status(waiting)["queue_position"] == 1
    narrow.cancel(waiting)
    asked = time.monotonic()
    end = narrow.follow(waiting)[-1].data
    assert time.monotonic() - asked < ENFORCED_WITHIN
    assert (end["result"], end["phase"]) == ("cancelled", "cancel")
    narrow.cancel(blocker)
    assert narrow.follow(blocker)[-1].data["result"] == "cancelled"
    assert narrow.make(template("echo next"))[1][-1].data["result"] == "ready", "the place is free again"
    narrow.host.assert_clean()


def test_the_command_line_tells_a_cancel(server: Server) -> None:
    ref = server.publish(template("sleep 60"))
    server.build(ref)
    status, told = server.cli("cancel", ref)
    assert status == 0, told
    server.follow(ref)
    status, told = server.cli("logs", ref, "--progress", "plain")
    assert "build cancelled" in told
