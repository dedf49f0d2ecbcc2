"""Behind nginx with its default settings, by HTTP/1.1 and HTTP/2: the same events, at once, heartbeats too."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot.records.event import Phase
from tests.clients import browser, builds, readers
from tests.clients.nginx import in_front_of
from tests.service.event_stream_server import KEY, PATH, TICKET, Stream, end, serving


@pytest.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    async with serving(tmp_path / "logs", heartbeat=0.3) as started:
        yield started


@pytest.fixture
async def fronts(stream: Stream, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    async with in_front_of(stream.port, tmp_path / "nginx") as (plain, tls):
        yield {"--http1.1": plain + PATH, "--http2": tls + PATH}


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_the_events_are_the_same(stream: Stream, fronts: dict[str, str], version: str) -> None:
    wanted = await builds.hostile(stream)
    assert await readers.curl(fronts[version], version) == wanted


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
async def test_nothing_is_held_back(stream: Stream, fronts: dict[str, str], version: str) -> None:
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.INSTALL)
    command = ["curl", "-sSNk", version, "-H", f"Authorization: Bearer {KEY}", fronts[version]]
    curl = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert curl.stdout is not None
    async with asyncio.timeout(60):
        assert await curl.stdout.readline() == b":\n"
        await reporter.say("one line alone")
        assert b"one line alone" in await curl.stdout.readuntil(b"\n\n")
        assert await curl.stdout.readline() == b":\n", "a heartbeat passes"
        await end(reporter)
        rest = await curl.stdout.read()
        await curl.wait()
    assert b'"result":"ready"' in rest


async def test_a_browser_reads_by_http2_while_it_is_written(stream: Stream, fronts: dict[str, str]) -> None:
    _, reporter = await stream.reporter()
    await reporter.enter(Phase.INSTALL)
    url = fronts["--http2"]
    async with browser.opened(url.removesuffix(PATH)) as page, asyncio.TaskGroup() as group:
        reading = group.create_task(browser.event_source(page, f"{url}?ticket={TICKET}"))
        for line in ("one line alone", "another"):
            await reporter.say(line)
            await browser.until_seen(page, line)
            await asyncio.sleep(1)  # some heartbeats
        async with reporter.output("run") as output:
            await output.write(builds.HOSTILE)
        await end(reporter)
        events, _ = await reading
        told = await page.wait_for_function("performance.getEntriesByType('resource').at(-1)?.nextHopProtocol")
        protocol = await told.json_value()
    assert events == builds.stored_events(stream)
    assert protocol == "h2"
