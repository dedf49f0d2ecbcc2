"""Selection, NDJSON, plain text, files and ranges, as a client gets them."""

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.service.event_stream_server import KEY, PATH, Stream, end, serving

from ingot.records.build import Failure, FailureCode
from ingot.records.event import Phase


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with serving(tmp_path) as stream:
        yield stream


@pytest.fixture
async def client(stream: Stream) -> AsyncIterator[httpx2.AsyncClient]:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{stream.port}", headers=headers, timeout=60) as client:
        yield client


async def a_mixed_log(stream: Stream) -> list[dict[str, object]]:
    """A finished attempt with several phases, sources and a line that looks like a frame; its events."""
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.BOOT)
    await reporter.say("booting", source="builder")
    await reporter.enter(Phase.INSTALL)
    async with reporter.output("apt") as output:
        await output.write("ünpacked \x1b[32mgreen\x1b[0m\n".encode())
        await output.write(b'{"level":"error","phase":"boot","source":"pip","line":"x"},"result":"ready"\n')
    async with reporter.output("run") as output:
        await output.write(b"".join(b"line %d\n" % n for n in range(3000)))
    await end(reporter, Failure(FailureCode.STEP_FAILED, "it broke", step="run", exit_code=3))
    return events(stream.stored())


def events(body: bytes) -> list[dict[str, object]]:
    return [json.loads(data) for data in re.findall(rb"^data: (.*)$", body, re.M)]


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("phase=boot", lambda event: event["phase"] == "boot"),
        ("phase=boot,install&source=apt", lambda event: event.get("source") == "apt"),
        ("source=pip", lambda event: False),
        ("level=error", lambda event: event["level"] == "error"),
        ("level=success", lambda event: event["level"] != "info"),
    ],
)
async def test_a_selection_gives_what_was_asked_for_and_the_end(
    stream: Stream, client: httpx2.AsyncClient, query: str, wanted: object
) -> None:
    everything = await a_mixed_log(stream)
    answer = await client.get(f"{PATH}?{query}")
    assert callable(wanted)
    assert events(answer.content) == [event for event in everything if wanted(event) or "result" in event]


async def test_ids_are_those_of_the_whole_log_and_resume_within_a_selection(
    stream: Stream, client: httpx2.AsyncClient
) -> None:
    await a_mixed_log(stream)
    answer = await client.get(f"{PATH}?source=run&tail=3")
    ids = re.findall(rb"^id: 1-(\d+)$", answer.content, re.M)
    assert len(ids) == 3
    again = await client.get(f"{PATH}?source=run", headers={"Last-Event-ID": f"1-{ids[0].decode()}"})
    assert re.findall(rb"^id: 1-(\d+)$", again.content, re.M) == ids[1:]


async def test_ndjson_is_every_event_with_its_id_first(stream: Stream, client: httpx2.AsyncClient) -> None:
    everything = await a_mixed_log(stream)
    answer = await client.get(PATH, headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line.pop("id") for line in lines] == [f"1-{n}" for n in range(len(everything))]
    assert lines == everything
    assert answer.text.startswith('{"id":"1-0","ts":')


async def test_text_is_a_line_an_event_and_a_file_when_asked_for(stream: Stream, client: httpx2.AsyncClient) -> None:
    everything = await a_mixed_log(stream)
    answer = await client.get(f"{PATH}?format=text&download=1")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="build-1.log"'
    assert answer.text == "".join(f"{event['line']}\n" for event in everything)
    assert int(answer.headers["content-length"]) == len(answer.content)


async def test_ranges_of_a_finished_log(stream: Stream, client: httpx2.AsyncClient) -> None:
    await a_mixed_log(stream)
    whole = (await client.get(f"{PATH}?format=text")).content
    for header, expected in {"bytes=0-9": whole[:10], "bytes=-7": whole[-7:], "bytes=500-": whole[500:]}.items():
        part = await client.get(f"{PATH}?format=text", headers={"Range": header})
        assert part.status_code == 206
        assert part.content == expected
        assert part.headers["content-range"].endswith(f"/{len(whole)}")
    beyond = await client.get(f"{PATH}?format=text", headers={"Range": f"bytes={len(whole)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(whole)}")


async def test_a_live_build_is_followed_in_ndjson(stream: Stream, client: httpx2.AsyncClient) -> None:
    _, reporter = await stream.reporter()
    async with client.stream("GET", f"{PATH}?format=ndjson") as answer:
        await reporter.say("hello")
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines))["line"] == "hello"
        await end(reporter)
        assert json.loads(await anext(lines))["result"] == "ready"
        assert [line async for line in lines] == []


@pytest.mark.parametrize("query", ["phase=cooking", "level=loud", "source=", "format=xml", "download=1", "phase="])
async def test_nonsense_is_refused_by_name(stream: Stream, client: httpx2.AsyncClient, query: str) -> None:
    await stream.finished(3)
    answer = await client.get(f"{PATH}?{query}")
    assert answer.status_code == 400
    assert query.partition("=")[0] in answer.json()["error"]
