"""`ingot build`, `logs`, `status` and `cancel` as a user runs them."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import INGOT, Run, clean_environment
from tests.cli.fake_server import KEY, PUBLISHED, Trouble, build_object, ended_log, error, fake_server, frame, ready_log

REF = "default/hello@1.0.0"
BUILD = "/api/templates/default/hello/1.0.0/build"
DOCUMENT = "api_version: orgo.ai/v1\ntemplate:\n  name: hello\n  version: 1.0.0\n"


async def test_a_build_is_started_and_tells_how_to_watch_it(ingot: Run) -> None:
    async with fake_server() as fake:
        ran = await ingot("build", REF, "--force", "--no-cache", "--refresh", url=fake.url)
        asked = fake.requests[-1]
    assert (ran.status, ran.out) == (0, f"building {REF} (starting)\n")
    assert ran.err == f"watch it with `ingot logs --follow {REF}`\n"
    assert (asked.method, asked.path) == ("POST", BUILD)
    assert asked.query == {"force": "true", "no_cache": "true", "refresh": "true"}


async def test_a_followed_build_ends_with_its_result(ingot: Run) -> None:
    async with fake_server(ready_log(3)) as fake:
        fake.answers["GET", BUILD] = (200, build_object("ready", build_time_ms=2700, golden_dir="goldens/abc"))
        ran = await ingot("build", "--follow", "hello@1.0.0", url=fake.url)
    assert ran.status == 0
    assert ran.out == f"ready {REF} in 2.7s golden goldens/abc\n"
    assert "   0.5s install  run      made part 5\n" in ran.err
    assert ran.err.splitlines()[-1].endswith("golden snapshot ready in 2.7s")


@pytest.mark.parametrize(
    ("result", "phase", "code", "status"),
    [
        ("failed", "install", "step_failed", 1),
        ("cancelled", "cancel", "cancelled", 4),
        ("timed_out", "timeout", "timed_out", 5),
    ],
)
async def test_the_exit_status_tells_how_the_build_ended(
    ingot: Run, result: str, phase: str, code: str, status: int
) -> None:
    async with fake_server(ended_log(result, phase, code, "that is why")) as fake:
        failure = {"code": code, "step": "run make", "exit_code": 2, "message": "that is why", "last_lines": ["oops"]}
        fake.answers["GET", BUILD] = (200, build_object("failed", failure=failure, error="that is why"))
        ran = await ingot("build", "--follow", REF, url=fake.url)
        quiet = await ingot("build", "--follow", "--progress", "quiet", REF, url=fake.url)
    assert ran.status == quiet.status == status
    assert ran.out == f"failed {REF} ({code})\n"
    assert "that is why" in ran.err
    assert quiet.err == "  that is why\n  | oops\n"


async def test_a_lost_stream_is_status_6_and_says_that_the_build_goes_on(ingot: Run) -> None:
    async with fake_server(ready_log()[:6], [Trouble(cut_after=500)] + [Trouble(status=503)] * 40) as fake:
        ran = await ingot("build", "--follow", "--give-up-after", "0.5", REF, url=fake.url)
    assert ran.status == 6
    assert "the event stream is lost" in ran.err
    assert "the build goes on" in ran.err


async def test_a_broken_stream_is_resumed_and_shows_each_line_once(ingot: Run) -> None:
    async with fake_server(ready_log(), [Trouble(cut_after=900), Trouble(status=503), Trouble(cut_after=333)]) as fake:
        ran = await ingot("logs", "--follow", REF, url=fake.url)
    assert ran.status == 0
    assert [line.split()[-1] for line in ran.out.splitlines() if "made part" in line] == [str(n) for n in range(5, 25)]
    assert "trying again in" in ran.err


async def test_no_server_is_status_3_and_says_how_to_start_one(ingot: Run) -> None:
    async with fake_server() as fake:
        url = fake.url
    ran = await ingot("build", REF, url=url)
    assert ran.status == 3
    assert f"no server answers at {url}" in ran.err
    assert "start one with `ingot up`" in ran.err


async def test_without_any_address_the_default_is_tried(ingot: Run) -> None:
    ran = await ingot("status", REF, INGOT_LISTEN="127.0.0.1:9")
    assert ran.status == 3
    assert "no server answers at http://127.0.0.1:9" in ran.err


async def test_a_file_is_published_before_it_is_built(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(DOCUMENT)
    async with fake_server() as fake:
        ran = await ingot("build", "hello.yaml", "--republish", url=fake.url)
        published, built = fake.requests
    assert ran.status == 0
    assert f"published {REF}\n" in ran.err
    assert (published.path, published.query, published.body) == ("/api/templates", {"force": "true"}, DOCUMENT.encode())
    assert published.headers["content-type"] == "application/yaml"
    assert built.path == BUILD


async def test_problems_of_a_built_file_are_told_as_compilers_do(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(DOCUMENT)
    problem = {
        "field": "template.versio",
        "code": "unknown_field",
        "message": "there is no such field",
        "hint": "did you mean version?",
        "line": 4,
        "column": 3,
    }
    async with fake_server() as fake:
        answer = error("the template is not valid", "invalid_template", errors=[problem])
        fake.answers["POST", "/api/templates"] = (422, answer)
        ran = await ingot("build", "hello.yaml", url=fake.url)
        as_json = await ingot("publish", "hello.yaml", "--json", url=fake.url)
    assert ran.status == as_json.status == 2
    line = "hello.yaml:4:3: unknown_field: template.versio: there is no such field (did you mean version?)"
    assert ran.err.splitlines() == [line]
    assert json.loads(as_json.out) == {"ok": False, "errors": [problem]}


async def test_other_content_at_the_ref_says_how_to_replace_it(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(DOCUMENT)
    async with fake_server() as fake:
        fake.answers["POST", "/api/templates"] = (409, error("it is published with other content", "conflict"))
        ran = await ingot("build", "hello.yaml", url=fake.url)
    assert ran.status == 1
    assert ran.err == "ingot: it is published with other content\n  `--republish` replaces it\n"


@pytest.mark.parametrize("target", ["nothing", "default/hello@one", "A/b@1.0.0"])
async def test_a_target_that_is_nothing_is_a_usage_error(ingot: Run, target: str) -> None:
    ran = await ingot("build", target)
    assert ran.status == 2
    assert "Invalid value" in ran.err or "Error" in ran.err


async def test_logs_print_lines_on_stdout_and_json_prints_events(ingot: Run) -> None:
    async with fake_server(ready_log(1)[:5]) as fake:
        plain = await ingot("logs", REF, url=fake.url)
        raw = await ingot("logs", REF, "--json", "--attempt", "1", url=fake.url)
        assert fake.streams()[-1].query == {"follow": "0", "attempt": "1"}
    assert plain.status == raw.status == 0
    assert plain.out.splitlines()[0] == "   0.0s publish  builder  accepted as attempt 1"
    assert plain.err == ""
    assert [json.loads(line)["phase"] for line in raw.out.splitlines()] == [
        "publish",
        "compile",
        "boot",
        "install",
        "install",
    ]


async def test_colours_and_other_escapes_never_reach_a_file(ingot: Run) -> None:
    nasty = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b[2Jgone 日本\tend\u202e"
    async with fake_server([frame(0, "info", "install", nasty, "run")]) as fake:
        ran = await ingot("logs", REF, url=fake.url)
    assert ran.out == "   0.0s install  run      red  gone 日本\tend\n"


async def test_status_tells_place_phase_and_failure(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers["GET", BUILD] = (200, build_object(queue_position=3))
        waiting = await ingot("status", REF, url=fake.url)
        fake.answers["GET", BUILD] = (200, build_object(phase="install", step="apt ripgrep"))
        running = await ingot("status", REF, url=fake.url)
        fake.answers["GET", BUILD] = (200, build_object("not_built", attempt=0))
        never = await ingot("status", REF, "--json", url=fake.url)
    assert waiting.out == f"building {REF} (place 3 in the queue)\n"
    assert running.out == f"building {REF} (install: apt ripgrep)\n"
    assert json.loads(never.out)["status"] == "not_built"


async def test_cancel_tells_the_servers_word(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers["DELETE", BUILD] = (202, {"status": "cancelling"})
        ran = await ingot("cancel", REF, url=fake.url)
        fake.answers["DELETE", BUILD] = (404, {"status": "idle"})
        idle = await ingot("cancel", REF, url=fake.url)
    assert (ran.status, ran.out) == (0, "cancelling\n")
    assert idle.status == 1
    assert "nothing builds" in idle.err


async def test_a_wrong_key_is_told_with_what_to_do(ingot: Run) -> None:
    async with fake_server() as fake:
        ran = await ingot("status", REF, url=fake.url, key="sk_live_wrong")
        as_json = await ingot("status", REF, "--json", url=fake.url, key="sk_live_wrong")
    assert ran.status == 2
    assert ran.err == "ingot: Invalid API key\n  run `ingot login`, or set INGOT_API_KEY\n"
    assert json.loads(as_json.out)["code"] == "unauthorized"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_stops_watching_and_says_how_to_come_back(tmp_path: Path, number: signal.Signals) -> None:
    async with fake_server(ready_log()[:8]) as fake:
        process = await asyncio.create_subprocess_exec(
            INGOT,
            "build",
            "--follow",
            REF,
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=clean_environment(tmp_path, INGOT_URL=fake.url, INGOT_API_KEY=KEY),
        )
        assert process.stderr is not None
        async with asyncio.timeout(30):
            while b"made part" not in (line := await process.stderr.readline()):
                assert line, "it ended"
            process.send_signal(number)
            _, err = await process.communicate()
    assert process.returncode == 130
    assert f"the build goes on. Come back with: ingot logs --follow {REF}" in err.decode()
    assert not any(one.method == "DELETE" for one in fake.requests)


async def test_published_is_what_the_server_said(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.json").write_text("{}")
    async with fake_server() as fake:
        ran = await ingot("publish", "hello.json", "--auto-build", "--json", url=fake.url)
        asked = fake.requests[0]
    assert json.loads(ran.out)["published"] == PUBLISHED
    assert asked.headers["content-type"] == "application/json"
    assert asked.query == {"auto_build": "true"}
