"""Publish, build, watch every line, ready: as a client with nothing but curl sees it."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from pathlib import Path

import pytest

from ingot.conformance.frames import FIRST_BYTES, PHASES, Frame, check_whole, read_frames, take_frames
from tests.acceptance.documents import pages, template
from tests.acceptance.server import KEY, Server, dump, lines_of

STEPS = 20


@pytest.fixture(scope="module")
def built(server: Server) -> tuple[str, list[Frame]]:
    return server.make(template(*pages("built", 3), "for i in $(seq 30); do echo line $i; done"))


def test_curl_sees_the_build_live_and_the_replay_has_the_same_bytes(server: Server, tmp_path: Path) -> None:
    ref = server.publish(template("echo first; sleep 10; echo second", *pages("live", 2)))
    started = server.build(ref)
    assert (started["status"], started["attempt"]) == ("building", 1)

    live, replay = tmp_path / "live", tmp_path / "replay"
    with live.open("wb") as output:
        curl = subprocess.Popen(_curl(server, ref), stdout=output)
        _wait_for(live, b'"line":"first"')
        assert b'"line":"second"' not in live.read_bytes(), "lines come when they are printed, not at the end"
        assert server.status(ref)["status"] == "building"
        assert curl.wait(120) == 0
    frames = read_frames(live.read_bytes())
    end = check_whole(frames)
    assert end["result"] == "ready", dump(frames)
    assert server.status(ref)["status"] == "ready"

    replay.write_bytes(subprocess.run(_curl(server, ref), capture_output=True, check=True, timeout=60).stdout)
    assert live.read_bytes().startswith(FIRST_BYTES + b"1-0\ndata: {")
    assert replay.read_bytes() == live.read_bytes()


def test_the_reference_lines_come_in_the_phases_order(built: tuple[str, list[Frame]]) -> None:
    _, frames = built
    phases = list(dict.fromkeys(frame.phase for frame in frames))
    assert phases == list(PHASES[:8])
    boot = next(frame for frame in frames if frame.line == "booting build VM")
    upload = next(frame for frame in frames if frame.line == "uploading golden snapshot")
    assert list(boot.data) == ["ts", "level", "phase", "line"]
    assert (boot.data["level"], boot.phase) == ("info", "boot")
    assert list(upload.data) == ["ts", "level", "phase", "source", "line"]
    assert (upload.data["level"], upload.phase, upload.source) == ("info", "archive", "builder")
    assert (frames[-1].data["level"], frames[-1].phase) == ("success", "ready")


def test_a_command_is_told_before_what_it_prints(built: tuple[str, list[Frame]]) -> None:
    _, frames = built
    run = lines_of(frames, "install", "run")
    told = run.index("for i in $(seq 30); do echo line $i; done")
    assert run[told + 1 :] == [f"line {number}" for number in range(1, 31)]


def test_a_reader_that_resumes_gets_exactly_the_rest(server: Server, built: tuple[str, list[Frame]]) -> None:
    ref, frames = built
    for place in range(0, len(frames) - 1, 7):
        answer = server.client.get(server.events_url(ref), headers={"Last-Event-ID": frames[place].id})
        assert answer.headers["X-Build-Resumed-From"] == frames[place].id
        assert take_frames(answer.content) == (frames[place + 1 :], b"")
        by_query = server.events(ref, last_event_id=frames[place].id)
        assert by_query == answer.content


def test_an_id_that_means_nothing_starts_over(server: Server, built: tuple[str, list[Frame]]) -> None:
    ref, frames = built
    for strange in ("nonsense", "1-99999", "7-3", "1--1", "-", ""):
        answer = server.client.get(server.events_url(ref), headers={"Last-Event-ID": strange})
        assert answer.status_code == 200
        assert answer.headers["X-Build-Resumed-From"] == "start"
        assert read_frames(answer.content) == frames


def test_the_terminal_frames_id_answers_that_there_is_no_more(server: Server, built: tuple[str, list[Frame]]) -> None:
    ref, frames = built
    answer = server.client.get(server.events_url(ref), headers={"Last-Event-ID": frames[-1].id})
    assert (answer.status_code, answer.content) == (204, b"")


def test_head_answers_the_streams_headers_and_ends(server: Server, built: tuple[str, list[Frame]]) -> None:
    answer = server.client.head(server.events_url(built[0]))
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache, no-store, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["X-Build-Attempt"] == "1"
    assert answer.headers["X-Build-Stream-Version"] == "1"
    assert answer.headers["X-Request-Id"]
    assert "Content-Encoding" not in answer.headers
    assert "Connection" not in answer.headers


def test_a_stream_that_is_not_followed_ends_with_what_there_is(server: Server) -> None:
    ref = server.publish(template("echo now; sleep 10"))
    server.build(ref)
    with server.watch(ref) as watch:
        watch.until(line="now")
        so_far = read_frames(server.events(ref, follow="0"))
        assert so_far[: len(watch.frames)] == watch.frames
        assert not so_far[-1].is_end
        assert watch.to_end()[: len(so_far)] == so_far


def test_an_idle_connection_is_kept_longer_than_clients_keep_it(server: Server) -> None:
    """httpx keeps one for five seconds: what it sends just then must not meet a server that closes."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        for idle in (6.5, 0):
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
            time.sleep(idle)


def test_what_there_is_no_stream_for(server: Server, built: tuple[str, list[Frame]]) -> None:
    never = server.publish(template("true"))
    answer = server.client.get(server.events_url(never))
    assert answer.status_code == 404
    assert "/build" in answer.text, "it says how to start a build"
    for path in ("default/no-such@1.0.0", "default/no-such@nonsense"):
        assert server.client.get(server.events_url(path)).status_code == 404
    assert server.client.get(server.events_url(built[0]), params={"attempt": "99"}).status_code == 404
    assert server.client.get(server.events_url(built[0]), params={"follow": "perhaps"}).status_code == 400
    refused = server.client.get(server.events_url(built[0]), headers={"Authorization": "Bearer sk_live_wrong"})
    assert (refused.status_code, refused.json()["error"][:15]) == (401, "Invalid API key")


def test_only_the_last_of_twenty_steps_runs_when_only_it_changed(server: Server) -> None:
    document = template(*pages("many", STEPS), name="twenty")
    first_ref, first = server.make(document)
    assert first[-1].data["result"] == "ready", dump(first)
    assert _states(server, first_ref) == ["done"] * STEPS

    document["build"]["run"][-1] += "; echo edited"
    document["template"]["version"] = "1.0.1"
    second_ref, second = server.make(document)
    assert _states(server, second_ref) == ["reused"] * (STEPS - 1) + ["done"]
    steps = [line for line in lines_of(second, "install", "builder") if line.startswith("step ")]
    assert all("cached (" in line for line in steps[: STEPS - 1]), steps
    assert "run (" in steps[STEPS - 1]
    assert lines_of(second, "install", "run") == ["echo many 20 > /srv/many-20; echo edited", "edited"]
    assert all(step["reason"] for step in server.attempt(second_ref)["steps"])

    document["build"]["run"][-1] += " again"
    server.publish(document, force="true")
    server.build(second_ref)
    third = server.follow(second_ref)
    assert third[0].attempt == 2
    reasons = [step["reason"] for step in server.attempt(second_ref, 2)["steps"]]
    assert reasons == ["unchanged"] * (STEPS - 1) + ["command changed"]


def test_the_same_content_is_ready_at_once(server: Server) -> None:
    document = template(*pages("again", 2))
    ref, frames = server.make(document)
    again = server.build(ref)
    assert (again["status"], again["attempt"]) == ("ready", 1)
    assert server.follow(ref) == frames
    document["template"]["name"] += "-copy"  # another name is other content, with the same layers
    copy, copied = server.make(document)
    assert _states(server, copy) == ["reused", "reused"]
    assert "every layer is known: no build VM is needed" in lines_of(copied, "boot")


def test_a_command_runs_in_a_machine_made_from_the_golden(server: Server, built: tuple[str, list[Frame]]) -> None:
    with server.computer(built[0]) as computer:
        assert server.bash(computer, "cat /srv/built-1 /srv/built-3") == "built 1\nbuilt 3\n"
        living = server.host.living()
        assert len(living) == 1
        server.host.assert_clean(allowed=living)


def _states(server: Server, ref: str, attempt: int = 1) -> list[str]:
    return [step["state"] for step in server.attempt(ref, attempt)["steps"]]


def _curl(server: Server, ref: str) -> list[str]:
    return ["curl", "-sN", "--noproxy", "*", "-H", f"Authorization: Bearer {KEY}", server.url + server.events_url(ref)]


def _wait_for(path: Path, content: bytes) -> None:
    deadline = time.monotonic() + 60
    while content not in path.read_bytes():
        assert time.monotonic() < deadline, path.read_bytes()[-2000:]
        time.sleep(0.02)
