"""Builds that cannot end well, or that misbehave: one terminal frame each that says what went wrong, the same words
from every endpoint, and a clean host."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingot.conformance.frames import Frame, read_frames
from tests.acceptance.conftest import NewServer, running
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, lines_of


@dataclass(frozen=True)
class Case:
    """A document and how it must end. `step` is how the failing step's title begins, `told` a piece of the message."""

    document: dict[str, Any]
    code: str
    phase: str = "install"
    result: str = "failed"
    step: str = "run "
    exit_code: int | None = None
    told: str = ""


def _unhealthy() -> dict[str, Any]:
    health = {"type": "http", "url": "http://127.0.0.1:9/", "every": "1s", "timeout": "1s", "retries": 2}
    services = [{"name": "quiet", "run": "echo I am quiet; exec sleep 1000"}]
    return template("true", apps=[{"name": "shy", "services": services, "health": health}])


def _source(url: str) -> dict[str, Any]:
    return template("true", files=[{"to": "/srv/x", "from": url}])


CASES = {
    "a step that fails": Case(template("echo before; exit 3"), "step_failed", exit_code=3, told="exit code 3"),
    "a command not found": Case(template("no-such-command"), "step_failed", exit_code=127, told="exit code 127"),
    "a build past its deadline": Case(
        template("sleep 600", build={"timeout": "3s"}), "timed_out", "timeout", "timed_out", told="within 3 s", step=""
    ),
    "a full disk": Case(
        template("dd if=/dev/zero of=/big bs=1M count=3000"), "out_of_disk", exit_code=1, told="hardware.disk_gb"
    ),
    "no memory left": Case(
        template("python3 -c 'x = b\"x\" * (3 << 30)'"), "out_of_memory", exit_code=137, told="hardware.ram_gb"
    ),
    "a question on stdin": Case(template("echo name?; read name"), "step_failed", exit_code=1),
    "a source nobody serves": Case(
        _source("http://127.0.0.1:1/x"),
        "network",
        "compile",
        step="fetching http://127.0.0.1:1/x",
        exit_code=7,
        told="fetched",
    ),
    "a source on the host's own network": Case(
        _source("http://169.254.169.254/latest"), "network", "compile", step="fetching ", exit_code=7, told="fetched"
    ),
    "a source of a kind to come": Case(
        _source("git+https://example.org/x.git"), "step_failed", "compile", step="compile", told="not supported yet"
    ),
    "an app that does not install": Case(
        template(apps=[{"name": "one", "install": "echo to stderr >&2; exit 9"}]),
        "step_failed",
        step="app one: ",
        exit_code=9,
    ),
    "a hook that fails": Case(
        template("true", hooks={"on_pre_snapshot": "exit 4"}), "step_failed", "snapshot", step="on_pre_", exit_code=4
    ),
    "a package that does not exist": Case(
        template(build={"apt": ["no-such-package-at-all"]}), "step_failed", step="apt ", exit_code=100
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_failed_build_ends_in_one_frame_that_says_why(server: Server, name: str) -> None:
    case = CASES[name]
    ref, frames = server.make(case.document)
    shown = server.status(ref)  # right behind the end of the stream
    end = frames[-1].data
    assert (end["result"], end["phase"]) == (case.result, case.phase), dump(frames)
    error = end["error"]
    assert (error["code"], error.get("exit_code")) == (case.code, case.exit_code), dump(frames)
    assert (error["step"] or "").startswith(case.step)
    assert case.told in error["message"]
    assert end["line"].endswith(error["message"])

    assert (shown["status"], shown["golden_dir"], shown["error"]) == ("failed", None, error["message"])
    failure = shown["failure"]
    assert failure.pop("last_lines") is not None
    assert failure == {"exit_code": None} | error
    assert shown["attempt"] == end["attempt"] == 1
    server.host.assert_clean()


def test_what_the_failing_step_printed_is_in_the_failure(server: Server) -> None:
    ref, _ = server.make(template("for i in $(seq 30); do echo told $i; done; exit 1"))
    assert server.status(ref)["failure"]["last_lines"][-1] == "told 30"


@pytest.fixture(scope="module")
def impatient(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that gives a step five seconds."""
    with running(seed, tmp_path_factory.mktemp("impatient"), step_timeout="5") as server:
        yield server


def test_an_unhealthy_service_fails_the_build(impatient: Server) -> None:
    ref, frames = impatient.make(_unhealthy())
    end = frames[-1].data
    assert (end["result"], end["phase"], end["error"]["code"]) == ("failed", "install", "ready_check_failed")
    assert end["error"]["step"] == "services and health checks"
    assert "is not ready" in end["error"]["message"]
    assert "I am quiet" in lines_of(frames, "install", "shy"), "what the service printed is in the log"
    assert impatient.status(ref)["failure"]["code"] == "ready_check_failed"
    impatient.host.assert_clean()


def test_a_step_past_its_deadline_times_out(impatient: Server) -> None:
    server = impatient
    ref, frames = server.make(template("echo begun; sleep 600 & wait"))
    end = frames[-1].data
    assert (end["result"], end["phase"], end["error"]["code"]) == ("timed_out", "timeout", "timed_out"), dump(frames)
    assert end["error"]["message"].endswith("did not end within 5 s")
    assert end["error"]["step"] == "run echo begun; sleep 600 & wait"
    assert server.status(ref)["failure"]["code"] == "timed_out"
    assert server.cli("build", "--follow", "--progress", "quiet", str(_written(server, template("sleep 60"))))[0] == 5
    server.host.assert_clean()


def test_a_step_that_prints_200_megabytes_is_capped_and_ends_well(server: Server) -> None:
    begun = time.monotonic()
    ref = server.publish(template("yes | head -c 200M; echo the last line"))
    server.build(ref)
    stream = server.events(ref)
    assert time.monotonic() - begun < 300, "a bound against hanging, not a measurement"
    assert len(stream) < 70 * 2**20
    ids = re.findall(rb"^id: 1-(\d+)$", stream, re.MULTILINE)
    assert ids == [b"%d" % number for number in range(len(ids))]
    frames = read_frames(stream[-stream[::-1].index(b"\n\n", 1_000_000) :])
    assert frames[-1].data["result"] == "ready", dump(frames)
    left_out = [frame for frame in frames if frame.data["level"] == "warn"]
    assert len(left_out) == 1, dump(left_out)
    assert "the last line" in lines_of(frames, "install", "run")
    assert read_frames(stream[: stream.index(b"\n\n", 1_000_000) + 2])[0].seq == 0


def test_a_long_line_without_an_end_is_cut(server: Server) -> None:
    _, frames = server.make(template("head -c 100000 /dev/zero | tr '\\0' x"))
    lines = [line for line in lines_of(frames, "install", "run") if line.startswith("xxx")]
    assert [len(line) for line in lines] == [16_384] * 6 + [100_000 - 6 * 16_384]


def test_daemons_that_a_step_left_behind_are_gone(server: Server) -> None:
    daemons = "setsid sleep 1000 & (setsid nohup sleep 1001 >/dev/null 2>&1 &) ; echo forked"
    _, frames = server.make(template(daemons, "! pgrep -x sleep"))
    assert frames[-1].data["result"] == "ready", dump(frames)
    server.host.assert_clean()


def test_a_fork_bomb_stays_within_its_machine(new_server: NewServer) -> None:
    server = new_server(machine_processes="200", step_timeout="20")
    _, frames = server.make(template("bomb() { bomb | bomb & }; bomb; sleep 2; exit 7"))
    assert frames[-1].data["result"] in ("failed", "timed_out"), dump(frames)
    server.host.assert_clean()
    assert server.make(template("echo fine"))[1][-1].data["result"] == "ready"


def test_after_a_failure_the_finished_steps_are_reused(server: Server) -> None:
    document = template("echo one > /srv/one", "echo two > /srv/two", "exit 1")
    ref, _ = server.make(document)
    document["build"]["run"][2] = "cat /srv/one /srv/two"
    server.publish(document, force="true")
    server.build(ref)
    frames = server.follow(ref)
    assert frames[-1].data["result"] == "ready", dump(frames)
    steps = server.attempt(ref, 2)["steps"]
    assert [step["state"] for step in steps] == ["reused", "reused", "done"]
    assert frames[-1].attempt == 2


def _written(server: Server, document: dict[str, Any]) -> str:
    path = server.home / "document.json"
    path.write_text(json.dumps(document))
    return str(path)


def test_no_frame_of_a_good_build_says_that_it_failed(server: Server) -> None:
    _, frames = server.make(template("echo oops >&2", "ls /nowhere || true"))
    assert frames[-1].data["result"] == "ready"
    builder: list[Frame] = [frame for frame in frames if frame.source in (None, "builder")]
    assert not any(b'"failed"' in frame.raw or b"build failed" in frame.raw for frame in builder)
