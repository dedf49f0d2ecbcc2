"""The event stream from outside, byte by byte, on a real server."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.event_stream_server import PATH, Stream, end, serving

from ingot.records.build import Failure, FailureCode
from ingot.records.event import Level, Phase


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with serving(tmp_path) as started:
        yield started


def opened(stored: bytes) -> bytes:
    """What a client gets that reads these frames from the start of its connection."""
    return b":\nretry: 2000\n" + stored if stored else b":\n"


async def test_a_finished_build_replays_in_full_and_closes(stream: Stream) -> None:
    stored = await stream.finished(5000)
    async with stream.get() as response:
        assert response.status == 200
        assert await response.all() == opened(stored)
        headers = response.headers
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache, no-store, no-transform"
    assert headers["x-accel-buffering"] == "no"
    assert headers["x-build-attempt"] == "1"
    assert headers["x-build-stream-version"] == "1"
    assert headers["x-build-resumed-from"] == "start"
    assert len(headers["x-request-id"]) == 36
    assert not {"connection", "content-encoding", "content-length"} & headers.keys()


async def test_the_first_bytes_come_before_any_frame(stream: Stream) -> None:
    writer, reporter = await stream.reporter()
    async with stream.get() as response:
        assert await response.more() == b":\n"
        await reporter.say("queued: place 1", source="builder")
        assert (await response.until(b"\n\n")).startswith(b':\nretry: 2000\nid: 1-0\ndata: {"ts":"')
        await reporter.say("booting build VM")
        assert (await response.more()).startswith(b'id: 1-1\ndata: {"ts":"')
        await end(reporter)
        assert await response.all() == opened(stream.stored())
    await writer.aclose()


async def test_the_contracts_example_frames_come_out_in_shape(stream: Stream) -> None:
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.BOOT)
    await reporter.say("booting build VM")
    await reporter.enter(Phase.INSTALL)
    await reporter.say("npm install -g @anthropic-ai/claude-code", source="npm")
    await reporter.enter(Phase.ARCHIVE)
    await reporter.say("uploading golden snapshot", source="builder")
    await end(reporter)
    async with stream.get() as response:
        data = [line for line in (await response.all()).decode().split("\n") if line.startswith("data: ")]
    shapes = [json.loads(line[6:]) for line in data]
    assert [line[: line.index('"ts"')] + line[line.index('"level"') :] for line in data[:3]] == [
        'data: {"level":"info","phase":"boot","line":"booting build VM"}',
        'data: {"level":"info","phase":"install","source":"npm","line":"npm install -g @anthropic-ai/claude-code"}',
        'data: {"level":"info","phase":"archive","source":"builder","line":"uploading golden snapshot"}',
    ]
    assert '"level":"success","phase":"ready","line":"golden snapshot ready in 12.3s","result":"ready"' in data[3]
    assert all(shape["ts"].endswith("Z") for shape in shapes)


async def test_a_build_without_any_frame_yet_streams_what_will_come(stream: Stream) -> None:
    stream.attempts.append("build1")
    async with stream.get() as response:
        assert response.status == 200
        assert await response.more() == b":\n"
        _, reporter = await stream.continued(epoch=1)
        await reporter.say("hello")
        await end(reporter)
        assert await response.all() == opened(stream.stored())


async def test_a_late_joiner_gets_the_past_then_the_present_without_a_gap(stream: Stream) -> None:
    _, reporter = await stream.reporter()

    async def watch(after: asyncio.Event) -> bytes:
        await after.wait()
        async with stream.get() as response:
            return await response.all()

    async with asyncio.TaskGroup() as group:
        starts = [asyncio.Event() for _ in range(8)]
        watchers = [group.create_task(watch(start)) for start in starts]
        async with reporter.output("apt") as output:
            for place, start in enumerate(starts):
                start.set()
                for n in range(300):
                    await output.write(b"part %d line %d %s\n" % (place, n, b"x" * 100))
                    await asyncio.sleep(0)
        await end(reporter)
    expected = opened(stream.stored())
    assert all(watcher.result() == expected for watcher in watchers)


async def test_every_id_resumes_with_exactly_the_rest(stream: Stream) -> None:
    stored = await stream.finished(300)
    frames = [frame + b"\n\n" for frame in stored.split(b"\n\n")[:-1]]
    for seq in (0, 1, 150, 298, 299):
        async with stream.get(last=f"1-{seq}") as response:
            assert await response.all() == opened(b"".join(frames[seq + 1 :]))
            assert response.headers["x-build-resumed-from"] == f"1-{seq}"
    async with stream.get("?last_event_id=1-299") as response:
        assert await response.all() == opened(frames[300])
    async with stream.get("?last_event_id=1-299", last="1-298") as response:
        assert response.headers["x-build-resumed-from"] == "1-298"


@pytest.mark.parametrize("last", ["1-301", "2-0", "0-0", "nonsense", "1-", "\xff\xfe", "1-" + "9" * 400])
async def test_an_id_that_means_nothing_replays_and_says_so(stream: Stream, last: str) -> None:
    stored = await stream.finished(300)
    async with stream.get(last=last) as response:
        assert response.status == 200
        assert response.headers["x-build-resumed-from"] == "start"
        assert await response.all() == opened(stored)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_terminal_id_ends_the_reconnecting(stream: Stream, method: str) -> None:
    await stream.finished(3)
    async with stream.get(last="1-3", method=method) as response:
        assert response.status == 204
        assert response.headers["x-build-resumed-from"] == "1-3"
        assert "content-type" not in response.headers
    await stream.finished(2)
    async with stream.get(last="1-3") as response:
        assert response.status == 200
        assert response.headers["x-build-attempt"] == "2"
    async with stream.get("?attempt=1", last="1-3") as response:
        assert response.status == 204


async def test_head_answers_the_headers_and_ends(stream: Stream) -> None:
    await stream.reporter()
    async with stream.get(method="HEAD") as response:
        assert response.status == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        response.writer.write(f"HEAD {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert (await response.reader.read()).startswith(b"HTTP/1.1 401")


async def test_without_following_what_exists_is_sent(stream: Stream) -> None:
    writer, reporter = await stream.reporter()
    async with stream.get("?follow=0") as response:
        assert await response.all() == b":\n"
    await reporter.say("one")
    await writer.flush()
    async with stream.get("?follow=0") as response:
        assert await response.all() == opened(stream.stored())
    await end(reporter)


async def test_a_tail_is_the_last_frames(stream: Stream) -> None:
    stored = await stream.finished(100)
    async with stream.get("?tail=3") as response:
        assert await response.all() == opened(stored[stored.index(b"id: 1-98\n") :])
        assert response.headers["x-build-resumed-from"] == "gap"
    async with stream.get("?tail=3", last="1-97") as response:
        assert response.headers["x-build-resumed-from"] == "1-97"


async def test_an_older_attempt_can_be_asked_for(stream: Stream) -> None:
    first = await stream.finished(3)
    await stream.finished(5)
    async with stream.get("?attempt=1") as response:
        assert response.headers["x-build-attempt"] == "1"
        assert await response.all() == opened(first)


@pytest.mark.parametrize(
    ("query", "key", "path", "status", "code", "words"),
    [
        ("", None, PATH, 401, "unauthorized", "Missing API key"),
        ("", "wrong", PATH, 401, "unauthorized", "Invalid API key"),
        ("", "sk_live_test", PATH.replace("demo", "other"), 404, "not_found", "no such template version"),
        ("?attempt=99", "sk_live_test", PATH, 404, "not_found", "there is no attempt 99"),
        ("?attempt=x", "sk_live_test", PATH, 400, "bad_query", "?attempt=x is not a number"),
        ("?api_key=x", "sk_live_test", PATH, 400, "key_in_url", "an API key in a URL"),
    ],
)
async def test_what_cannot_be_answered_is_refused_before_the_stream(
    stream: Stream, query: str, key: str | None, path: str, status: int, code: str, words: str
) -> None:
    await stream.finished(1)
    async with stream.get(query, key=key, path=path) as response:
        body = json.loads(await response.all())
        assert response.status == status
        assert response.headers["content-type"] == "application/json"
        assert response.headers["x-request-id"] == body["request_id"]
    assert body["code"] == code
    assert words in body["error"]


async def test_a_version_never_built_says_how_to_build_it_or_is_waited_for(stream: Stream) -> None:
    async with stream.get() as response:
        assert response.status == 404
        assert "POST to …/build to start one" in json.loads(await response.all())["error"]
    async with stream.get("?wait=1") as response:
        assert response.status == 200
        assert await response.more() == b":\n"
        stored = await stream.finished(2)
        assert await response.all() == opened(stored)


async def test_other_methods_are_refused(stream: Stream) -> None:
    async with stream.get(method="DELETE") as response:
        assert response.status == 405
        assert response.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_silence_is_filled_with_comments_that_end_no_block(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=0.02) as stream:
        _, reporter = await stream.reporter()
        async with stream.get() as response:
            assert [await response.more() for _ in range(4)] == [b":\n"] * 4
            await reporter.say("one")
            await response.until(b"one")
            await response.until(b"\n\n:\n")
            await end(reporter)
            body = await response.all()
        assert body.replace(b":\n", b"").count(b"\n\n") == body.count(b"id: ") == 2
        assert b":\n\n" not in body


async def test_a_failed_build_ends_on_its_error(stream: Stream) -> None:
    stored = await stream.finished(1, Failure(FailureCode.STEP_FAILED, "`false` ended with status 1", "run [1]", 1))
    async with stream.get() as response:
        body = await response.all()
    assert body == opened(stored)
    last = json.loads(body.strip().rpartition(b"data: ")[2])
    assert (last["level"], last["phase"], last["result"]) == ("error", "install", "failed")
    assert last["line"].startswith("build failed: ")
    assert last["error"]["exit_code"] == 1


async def test_a_secret_is_in_no_byte_of_the_stream(stream: Stream) -> None:
    _, reporter = await stream.reporter()
    async with reporter.output("run") as output:
        for chunk in (b"x hun", b"ter22 y\nhun", b"\x00ter22\n", b"aHVudGVyMjI=\n"):
            await output.write(chunk)
    await reporter.say("hunter22", level=Level.WARN)
    await end(reporter)
    async with stream.get() as response:
        body = await response.all()
    assert b"hunter22" not in body
    assert b"aHVudGVyMjI" not in body
    assert body.count(b"***") == 4


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
async def test_curl_reads_it(stream: Stream) -> None:
    _, reporter = await stream.reporter()
    url = f"http://127.0.0.1:{stream.port}{PATH}"
    curl = await asyncio.create_subprocess_exec(
        "curl", "-sN", "-H", "Authorization: Bearer sk_live_test", url, stdout=asyncio.subprocess.PIPE
    )
    assert curl.stdout is not None
    assert await curl.stdout.readline() == b":\n"
    await reporter.say("booting build VM")
    assert await curl.stdout.readline() == b"retry: 2000\n"
    assert await curl.stdout.readline() == b"id: 1-0\n"
    assert b'"line":"booting build VM"}\n' in await curl.stdout.readline()
    await end(reporter)
    rest = await curl.stdout.read()
    assert await curl.wait() == 0
    assert rest.endswith(b'"result":"ready","attempt":1,"duration_ms":12345}\n\n')
