"""Builds over HTTP: start, status, cancel, history."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server import STEP_FAILED, Server, document, path_of, running_server

from ingot.records.account import Scope
from ingot.records.build import Failure, FailureCode


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


HELLO_PATH = "/api/templates/default/hello/1.0.0"


async def test_a_version_that_was_never_built_is_not_built(server: Server) -> None:
    published = await server.publish()
    answer = await server.http.get(f"{HELLO_PATH}/build")
    assert answer.status_code == 200
    assert answer.json() == {
        "ref": "default/hello@1.0.0",
        "digest": published["digest"],
        "status": "not_built",
        "build_time_ms": None,
        "reused": False,
        "error": None,
        "golden_dir": None,
        "attempt": 0,
        "phase": None,
        "step": None,
        "queue_position": None,
        "queued_at": None,
        "started_at": None,
        "finished_at": None,
        "failure": None,
    }


async def test_starting_a_build_answers_202_with_the_build_object(server: Server) -> None:
    await server.publish()
    answer = await server.http.post(f"{HELLO_PATH}/build")
    assert answer.status_code == 202
    shown = answer.json()
    assert (shown["status"], shown["attempt"], shown["queue_position"]) == ("building", 1, 1)
    again = await server.http.post(f"{HELLO_PATH}/build")
    assert (again.status_code, again.json()["attempt"]) == (202, 1)


async def test_a_finished_build_is_ready_with_its_golden(server: Server) -> None:
    ref = await server.ready_template()
    shown = (await server.http.get(f"{path_of(ref)}/build")).json()
    assert (shown["status"], shown["golden_dir"], shown["error"]) == ("ready", "0" * 64, None)
    assert shown["build_time_ms"] >= 0
    assert shown["finished_at"].endswith("Z")
    assert "." not in shown["finished_at"]


async def test_known_content_under_another_ref_is_ready_at_once_and_reused(server: Server) -> None:
    await server.ready_template()
    await server.publish(b'{"namespace":"other","template":' + _as_json() + b"}")
    answer = await server.http.post("/api/templates/other/hello/1.0.0/build")
    shown = answer.json()
    assert (answer.status_code, shown["status"], shown["reused"]) == (202, "ready", True)


async def test_a_failed_build_tells_why(server: Server) -> None:
    await server.publish()
    await server.http.post(f"{HELLO_PATH}/build")
    await server.finish_next(STEP_FAILED)
    shown = (await server.http.get(f"{HELLO_PATH}/build")).json()
    assert (shown["status"], shown["error"]) == ("failed", "run make ended with exit code 2")
    assert shown["failure"] == {
        "code": "step_failed",
        "step": "run make",
        "exit_code": 2,
        "message": "run make ended with exit code 2",
        "last_lines": ["make: error"],
    }


async def test_an_older_golden_keeps_a_ref_ready_when_a_forced_build_is_cancelled(server: Server) -> None:
    ref = await server.ready_template()
    assert (await server.http.post(f"{path_of(ref)}/build?force=1")).json()["status"] == "building"
    await server.finish_next(Failure(FailureCode.CANCELLED, "cancelled by its owner"))
    shown = (await server.http.get(f"{path_of(ref)}/build")).json()
    assert (shown["status"], shown["attempt"], shown["golden_dir"]) == ("ready", 2, "0" * 64)
    assert shown["error"] is None
    assert shown["failure"]["code"] == "cancelled"


async def test_cancel_answers_cancelling_and_idle_when_nothing_builds(server: Server) -> None:
    await server.publish()
    idle = await server.http.delete(f"{HELLO_PATH}/build")
    assert (idle.status_code, idle.json()) == (404, {"status": "idle"})
    await server.http.post(f"{HELLO_PATH}/build")
    cancelled = await server.http.delete(f"{HELLO_PATH}/build")
    assert (cancelled.status_code, cancelled.json()) == (202, {"status": "cancelling"})


async def test_history_shows_attempts_newest_first_with_their_end(server: Server) -> None:
    ref = await server.ready_template()
    await server.http.post(f"{path_of(ref)}/build?force=true&no_cache=true&refresh=true")
    await server.finish_next(STEP_FAILED)
    attempts = (await server.http.get(f"{path_of(ref)}/builds")).json()["builds"]
    assert [(entry["attempt"], entry["state"], entry["result"]) for entry in attempts] == [
        (2, "failed", "failed"),
        (1, "ready", "ready"),
    ]
    assert [entry["phases_ms"] for entry in attempts] == [{}, {}]
    second = (await server.http.get(f"{path_of(ref)}/builds/2")).json()
    assert second["flags"] == {"force": True, "no_cache": True, "refresh": True, "keep_on_failure": 0}
    first = (await server.http.get(f"{path_of(ref)}/builds/1")).json()
    assert (first["manifest"], first["steps"]) == ({"apt": {"curl": "8.0"}}, [])


async def test_an_attempt_that_does_not_exist_is_404_and_nonsense_400(server: Server) -> None:
    await server.publish()
    missing = await server.http.get(f"{HELLO_PATH}/builds/7")
    assert missing.status_code == 404
    assert missing.json()["error"].startswith("default/hello@1.0.0 has no attempt 7")
    nonsense = await server.http.get(f"{HELLO_PATH}/builds/seven")
    assert nonsense.status_code == 400
    assert nonsense.json()["error"].startswith("path.attempt: ")


async def test_a_full_queue_is_429_with_retry_after(server: Server) -> None:
    for number in range(4):
        await server.publish(document(f"t{number}", run=f"echo {number}"))
        assert (await server.http.post(f"/api/templates/default/t{number}/1.0.0/build")).status_code == 202
    await server.publish(document("late", run="echo late"))
    answer = await server.http.post("/api/templates/default/late/1.0.0/build")
    assert (answer.status_code, answer.json()["code"]) == (429, "quota_full")
    assert int(answer.headers["Retry-After"]) > 0
    auto = await server.http.post(
        "/api/templates?auto_build=true",
        content=document("later", run="echo later"),
        headers={"Content-Type": "text/yaml"},
    )
    assert (auto.status_code, auto.json()["auto_build"]) == (201, "not_built")


async def test_the_overview_shows_only_the_callers_builds(server: Server) -> None:
    await server.publish()
    await server.http.post(f"{HELLO_PATH}/build")
    mine = (await server.http.get("/api/builds")).json()["builds"]
    assert [(entry["ref"], entry["state"], entry["queue_position"]) for entry in mine] == [
        ("default/hello@1.0.0", "queued", 1)
    ]
    other = await server.key(Scope.READ, account="other")
    assert (await server.http.get("/api/builds", headers=other)).json() == {"builds": []}


def _as_json() -> bytes:
    return b'{"api_version":"orgo.ai/v1","template":{"name":"hello","version":"1.0.0"},"build":{"run":["echo hello"]}}'


async def test_a_build_can_ask_for_the_machine_of_a_step_that_fails(server: Server) -> None:
    await server.publish()
    assert (await server.http.post(f"{HELLO_PATH}/build?keep_on_failure=1800")).status_code == 202
    assert (await server.http.get(f"{HELLO_PATH}/builds/1")).json()["flags"]["keep_on_failure"] == 1800


@pytest.mark.parametrize("seconds", ["59", "7201", "0", "30m"])
async def test_a_machine_is_held_for_a_minute_to_two_hours(server: Server, seconds: str) -> None:
    await server.publish()
    refused = await server.http.post(f"{HELLO_PATH}/build?keep_on_failure={seconds}")
    assert refused.status_code == 400
    assert refused.json()["error"].startswith("query.keep_on_failure: Input should be")


async def test_a_golden_that_is_there_is_reused_by_a_build_that_keeps_on_failure(server: Server) -> None:
    ref = await server.ready_template()
    shown = (await server.http.post(f"{path_of(ref)}/build?keep_on_failure=60")).json()
    assert (shown["status"], shown["attempt"]) == ("ready", 1)
