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
