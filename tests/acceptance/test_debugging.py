"""A build that fails with --keep-on-failure leaves its machine as the step left it, for as long as it was asked for and
no longer: nothing is on the host behind `ingot debug --end`, a new build, or kill -9 of the server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingot.conformance.frames import Frame
from tests.acceptance.conftest import running
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, path_of


@pytest.fixture(scope="module")
def keeper(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """With one build at a time: a slot that is not given back would be missed."""
    with running(seed, tmp_path_factory.mktemp("keeper"), builds="1") as server:
        yield server


def fail(server: Server, document: dict[str, Any]) -> tuple[str, list[Frame]]:
    ref, frames = server.make(document, keep_on_failure="600")
    assert frames[-1].data["result"] == "failed", dump(frames)
    warnings = [frame.line for frame in frames if frame.data["level"] == "warn"]
    assert len(warnings) == 1
    assert warnings[0].startswith("the machine of the failed step is kept until ")
    assert warnings[0].endswith(f": look into it with `ingot debug {ref}`")
    assert frames[-2].line == warnings[0]
    return ref, frames


def test_the_state_of_the_failed_step_can_be_looked_at(keeper: Server) -> None:
    steps = ("echo first > /srv/first", "echo half > /srv/half; export MODE; sleep 1000 & exit 7")
    ref, _ = fail(keeper, template(*steps, env={"MODE": "loud"}))
    assert len(keeper.host.living()) == 1
    held = keeper.ask("GET", f"{path_of(ref)}/build/machine", 200)
    assert (held["attempt"], held["phase"]) == (1, "install")
    assert held["step"].startswith("run echo half > /srv/half")
    assert keeper.ask("GET", "/computers", 200) == {"computers": []}

    assert keeper.cli("debug", ref, "--", "cat", "/srv/first") == (0, "first\n")
    assert keeper.cli("debug", ref, "--", "cat /srv/half; id -un; pwd; echo $MODE $HOME") == (
        0,
        "half\nroot\n/\nloud /root\n",
    )
    assert keeper.cli("debug", ref, "--", "exit 9") == (9, "")
    assert keeper.make(template("true"))[1][-1].data["result"] == "ready", "the slot is free"

    assert keeper.cli("debug", "--end", ref) == (0, f"ended the machine of {ref}\n")
    assert keeper.host.living() == set()
    keeper.host.assert_clean()
    status, told = keeper.cli("debug", ref, "--", "true")
    assert status == 1
    assert f"no machine of {ref} is held" in told


def test_a_new_build_of_the_ref_ends_it(keeper: Server) -> None:
    ref, _ = fail(keeper, template("echo once > /srv/once", "exit 3"))
    keeper.build(ref)
    assert keeper.follow(ref)[-1].data["result"] == "failed"
    keeper.host.assert_clean()
    keeper.ask("GET", f"{path_of(ref)}/build/machine", 404)


def test_lines_are_run_where_the_last_one_ended_and_a_cancel_ends_it(keeper: Server) -> None:
    ref, _ = fail(keeper, template("mkdir -p /srv/deep; echo found > /srv/deep/file; exit 4"))
    status, told = keeper.cli("debug", ref, stdin=b"cd /srv/deep\ncat file; touch made\nls\n")
    assert status == 0
    assert told.startswith("found\nfile\nmade\n"), told
    assert f"{ref} run mkdir -p /srv/deep; echo found" in told
    assert ":/srv/deep# " in told
    keeper.cancel(ref)
    assert keeper.host.living() == set()
    keeper.host.assert_clean()
    assert keeper.ask("DELETE", f"{path_of(ref)}/build", 404) == {"status": "idle"}


def test_a_service_that_is_not_healthy_leaves_its_machine_with_it(keeper: Server) -> None:
    health = {"type": "http", "url": "http://127.0.0.1:9/", "every": "1s", "timeout": "1s", "retries": 2}
    services = [{"name": "quiet", "run": "echo I am quiet; exec sleep 1000"}]
    ref, _ = fail(keeper, template("true", apps=[{"name": "shy", "services": services, "health": health}]))
    status, told = keeper.cli("debug", ref, "--", "pgrep -af 'sleep 1000'")
    assert (status, "sleep 1000" in told) == (0, True), told
    assert keeper.cli("debug", "--end", ref)[0] == 0
    keeper.host.assert_clean()


def test_nothing_of_it_is_left_after_the_server_was_killed_or_ended(keeper: Server) -> None:
    ref, _ = fail(keeper, template("exit 5"))
    keeper.kill()
    keeper.start()
    keeper.host.assert_clean()
    assert keeper.ask("GET", f"{path_of(ref)}/build/machine", 404)["code"] == "nothing_held"
    assert keeper.ask("GET", "/computers", 200) == {"computers": []}
    ref, _ = fail(keeper, template("exit 6"))
    keeper.end_quietly()
    keeper.host.assert_clean()
    keeper.start()
