"""Every example builds to ready, says what it should, and works in a machine made from it. Needs the package
registries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.conformance.frames import Frame
from tests.acceptance.conftest import running
from tests.acceptance.server import Server, dump, lines_of

EXAMPLES = Path(__file__).parents[2] / "examples"
CLIENT_FRAMES, CLIENT_BYTES = 10_000, 4 * 2**20
"""What a known client takes at most."""

PROOFS = {
    "hello": ("hello", "Hello from a golden snapshot, stranger!\n"),
    "static-site": ("curl -fs http://127.0.0.1:8000/ | grep -c '<h1>Baked once'", "1\n"),
    "claude-code": ("command -v claude >/dev/null && claude --version | grep -c Claude", "1\n"),
    "heartbeat-worker": (
        "until grep -q heartbeat /var/lib/worker/heartbeat.log; do sleep 0.1; done; echo beats",
        "beats\n",
    ),
    "python-api": ("curl -fs http://127.0.0.1:8000/", '{"message":"Hello","path":"/"}'),
}


@pytest.fixture(scope="module")
def built(toolchain_seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server with the toolchains that was asked for all examples; name → ref."""
    with running(toolchain_seed, tmp_path_factory.mktemp("examples")) as server:
        refs = {path.stem: server.publish(path.read_text()) for path in sorted(EXAMPLES.glob("*.yaml"))}
        for ref in refs.values():
            server.build(ref)
        yield server, refs


def test_there_is_a_proof_for_each_example() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.yaml")} == set(PROOFS)


@pytest.mark.parametrize("name", PROOFS)
def test_an_example_builds_and_works(built: tuple[Server, dict[str, str]], name: str) -> None:
    server, refs = built
    frames = server.follow(refs[name])
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert len(frames) < CLIENT_FRAMES
    assert sum(len(frame.raw) for frame in frames) < CLIENT_BYTES
    assert server.attempt(refs[name])["manifest"]["layers"]
    _check_lines(name, frames)
    command, expected = PROOFS[name]
    with server.computer(refs[name]) as computer:
        assert server.bash(computer, command) == expected


def test_the_command_line_runs_a_command_in_hello(built: tuple[Server, dict[str, str]]) -> None:
    server, refs = built
    server.follow(refs["hello"])
    status, told = server.cli("run", refs["hello"], "--", "hello", "you")
    assert status == 0
    assert "Hello from a golden snapshot, you!" in told
    status, told = server.cli("build", "--follow", "--progress", "plain", str(EXAMPLES / "hello.yaml"))
    assert status == 0
    assert "its golden snapshot is there already" in told
    status, told = server.cli("logs", "--follow", "--progress", "plain", refs["hello"])
    assert status == 0
    assert "golden snapshot ready in" in told


def test_a_command_in_a_machine_finds_its_services_up(built: tuple[Server, dict[str, str]]) -> None:
    server, refs = built
    server.follow(refs["static-site"])
    status, told = server.cli("run", refs["static-site"], "--", "curl", "-s", "http://127.0.0.1:8000/")
    assert (status, "<h1>Baked once, served at once</h1>" in told) == (0, True), told


def _check_lines(name: str, frames: list[Frame]) -> None:
    if name == "claude-code":
        assert "npm install -g @anthropic-ai/claude-code" in lines_of(frames, "install", "npm")
        assert lines_of(frames, "install", "workspace"), "an app's lines carry its name"
    if name == "python-api":
        assert "pip install starlette uvicorn" in lines_of(frames, "install", "pip")
    if name == "static-site":
        assert "apt-get install -y nginx-light" in lines_of(frames, "install", "apt")
