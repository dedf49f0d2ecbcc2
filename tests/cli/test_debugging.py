"""`ingot debug` and `ingot build --keep-on-failure` as a user runs them."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ingot.cli.debugging import run_at
from ingot.client import BashAnswer
from tests.cli.conftest import Run
from tests.cli.fake_server import FakeServer, Request, error, fake_server

REF = "default/hello@1.0.0"
BUILD = "/api/templates/default/hello/1.0.0/build"
MACHINE = f"{BUILD}/machine"
HELD = {
    "ref": REF,
    "attempt": 1,
    "phase": "install",
    "step": "run make",
    "held_at": "2026-06-08T17:00:00Z",
    "expires_at": "2026-06-08T17:30:00Z",
}


class Shell(dict[tuple[str, str], tuple[int, Any]]):
    """Answers that run nothing: every command ends in /srv, prints its line and ends with status 3."""

    def __init__(self, fake: FakeServer) -> None:
        super().__init__({("GET", MACHINE): (200, HELD), ("DELETE", MACHINE): (200, {"deleted": True})})
        self._fake = fake

    def get(self, key: tuple[str, str], default: Any = None) -> Any:
        if key != ("POST", f"{MACHINE}/bash"):
            return super().get(key, default)
        command = str(json.loads(self._fake.requests[-1].body)["command"])
        marker = re.search(r"ingot-[0-9a-f]{16}:", command)
        output = "made\n" + (f"\n{marker[0]}/srv" if marker else "")
        return 200, {"success": False, "output": output, "exit_code": 3}


def commands(requests: list[Request]) -> list[str]:
    return [json.loads(request.body)["command"] for request in requests if request.path.endswith("/bash")]


@pytest.mark.parametrize(
    ("flag", "seconds"),
    [("--keep-on-failure", "1800"), ("--keep-on-failure=90s", "90"), ("--keep-on-failure=2h", "7200")],
)
async def test_a_build_asks_to_keep_the_machine(ingot: Run, flag: str, seconds: str) -> None:
    async with fake_server() as fake:
        ran = await ingot("build", flag, REF, url=fake.url)
        asked = fake.requests[-1]
    assert ran.status == 0, ran.err
    assert (asked.path, asked.query) == (BUILD, {"keep_on_failure": seconds})


@pytest.mark.parametrize(
    ("value", "told"),
    [("3h", "a machine is held for 1m to 2h"), ("59s", "held for 1m to 2h"), ("soon", "is no duration such as 90s")],
)
async def test_a_duration_that_no_server_takes_is_a_usage_error(ingot: Run, value: str, told: str) -> None:
    ran = await ingot("build", f"--keep-on-failure={value}", REF)
    assert ran.status == 2
    assert told in " ".join(ran.err.split())


async def test_a_command_ends_with_its_own_status(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers = Shell(fake)
        ran = await ingot("debug", REF, "--", "ls", "a b", url=fake.url)
        as_json = await ingot("debug", "--json", REF, "--", "ls | wc", url=fake.url)
        asked = commands(fake.requests)
    assert (ran.status, ran.out, ran.err) == (3, "made\n", "")
    assert (as_json.status, json.loads(as_json.out)["exit_code"]) == (3, 3)
    assert asked == ["ls 'a b'", "ls | wc"]


async def test_lines_run_one_after_the_other_where_the_last_one_ended(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers = Shell(fake)
        ran = await ingot("debug", REF, url=fake.url, stdin=b"cd /srv\n\nls it's\n")
        asked = commands(fake.requests)
    assert (ran.status, ran.out) == (0, "made\nmade\n")
    assert ran.err.splitlines()[0] == (
        f"run make failed here; the machine is kept until 2026-06-08T17:30:00Z, or `ingot debug --end {REF}`"
    )
    assert ran.err.splitlines()[1].startswith(f"{REF} run make:/# ")
    assert ran.err.endswith(f"{REF} run make:/srv# \n")
    assert len(asked) == 2
    assert asked[0].endswith("cd -- / || exit; eval 'cd /srv'")
    assert asked[1].endswith("""cd -- /srv || exit; eval 'ls it'"'"'s'""")


async def test_the_machine_is_ended(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers = Shell(fake)
        ran = await ingot("debug", "--end", REF, url=fake.url)
        as_json = await ingot("debug", REF, "--end", "--json", url=fake.url)
        asked = [(request.method, request.path) for request in fake.requests]
    assert (ran.status, ran.out, ran.err) == (0, "", f"ended the machine of {REF}\n")
    assert json.loads(as_json.out) == {"deleted": True}
    assert asked == [("DELETE", MACHINE)] * 2


async def test_where_nothing_is_held_it_says_what_would_hold(ingot: Run) -> None:
    hint = f"`ingot build --keep-on-failure {REF}` keeps the machine of a step that fails"
    async with fake_server() as fake:
        fake.answers["GET", MACHINE] = (404, error(f"no machine of {REF} is held; {hint}", "nothing_held"))
        ran = await ingot("debug", REF, url=fake.url)
    assert ran.status == 1
    assert f"no machine of {REF} is held" in ran.err
    assert "--keep-on-failure" in ran.err


def test_bash_keeps_its_place_from_line_to_line(tmp_path: Path) -> None:
    def bash(line: str) -> BashAnswer:
        ran = subprocess.run(
            ["bash", "-c", line],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        return BashAnswer(ran.stdout.decode(), ran.returncode, {})

    odd = tmp_path / "an odd 'name'"
    odd.mkdir()
    place, shown = str(tmp_path), []
    for line in ["cd an*", "pwd; (exit 4)", "echo 'half", "printf word", "exec true", "cd ..; exit 6", "cd gone"]:
        answer, place = run_at(place, line, bash)
        shown.append((answer.exit_code, answer.output, place))
    assert shown[:2] == [(0, "", str(odd)), (4, f"{odd}\n", str(odd))]
    assert (shown[2][0], shown[2][2]) == (1, str(odd)) or shown[2][0] == 2
    assert "unexpected EOF" in shown[2][1]
    assert shown[3:6] == [(0, "word", str(odd)), (0, "", str(odd)), (6, "", str(tmp_path))]
    assert shown[6][0] == 1
    assert "gone: No such file or directory" in shown[6][1]
