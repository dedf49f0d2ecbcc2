"""The stream that comes back by itself, against a real server that cuts, refuses and falls silent."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from ingot.client import Client, Frame, Patience, Retry
from ingot.errors import CapacityError, NotFoundError, StreamLostError, UnauthenticatedError, UnreachableError
from ingot.records.event import Result
from ingot.records.ref import Ref
from tests.cli.fake_server import KEY, FakeServer, Trouble, error, fake_server, frame, ready_log

REF = Ref("default", "hello", "1.0.0")
BRISK = Patience(silence=2, give_up_after=30)


async def watch(fake: FakeServer, patience: Patience = BRISK, retries: list[Retry] | None = None) -> list[Frame]:
    notes = retries if retries is not None else []
    async with (
        Client(fake.url, KEY) as client,
        contextlib.aclosing(client.follow(REF, patience=patience, on_retry=notes.append)) as frames,
    ):
        return [one async for one in frames]


def ids(frames: list[Frame]) -> list[str]:
    return [str(one.id) for one in frames]


async def test_a_finished_build_is_replayed_to_its_terminal_frame() -> None:
    async with fake_server(ready_log()) as fake:
        frames = await watch(fake)
    assert ids(frames) == [f"1-{seq}" for seq in range(28)]
    end = frames[-1].end
    assert end is not None
    assert (end.result, end.duration_ms, end.failure) == (Result.READY, 2700, None)
    assert all(one.end is None for one in frames[:-1])


@pytest.mark.parametrize("seed", range(5))
async def test_connections_cut_anywhere_lose_and_repeat_nothing(seed: int) -> None:
    spread = random.Random(seed)
    troubles = [Trouble(cut_after=spread.randrange(1, 900)) for _ in range(4)]
    retries: list[Retry] = []
    async with fake_server(ready_log(), troubles) as fake:
        frames = await watch(fake, retries=retries)
        asked = [one.headers.get("last-event-id") for one in fake.streams()]
    assert ids(frames) == [f"1-{seq}" for seq in range(28)]
    assert len(asked) == len(retries) + 1
    assert asked[0] is None


async def test_a_server_that_drains_is_asked_again_with_the_last_id() -> None:
    troubles = [Trouble(cut_after=700), Trouble(status=503), Trouble(status=500), Trouble(status=429)]
    retries: list[Retry] = []
    async with fake_server(ready_log(), troubles) as fake:
        frames = await watch(fake, retries=retries)
        asked = [one.headers.get("last-event-id") for one in fake.streams()]
    assert ids(frames) == [f"1-{seq}" for seq in range(28)]
    assert len(set(asked[1:])) == 1
    assert [one.tries for one in retries] == [1, 2, 3, 4]
    assert retries[1].why == "the server drains"


async def test_a_silent_connection_counts_as_dead() -> None:
    retries: list[Retry] = []
    async with fake_server(ready_log(), [Trouble(silent=True)]) as fake:
        frames = await watch(fake, retries=retries)
    assert len(frames) == 28
    assert "does not answer in time" in retries[0].why


async def test_heartbeats_keep_a_quiet_connection_alive() -> None:
    retries: list[Retry] = []
    patience = Patience(silence=6, give_up_after=30)
    async with fake_server([frame(0, "info", "publish", "waiting: place 2 in the queue")]) as fake:
        fake.heartbeat = 0.1
        seen: list[Frame] = []
        async with Client(fake.url, KEY) as client:
            async for one in client.follow(REF, patience=patience, on_retry=retries.append):
                seen.append(one)
                if one.id.seq == 0:
                    asyncio.get_running_loop().call_later(patience.silence + 1, fake.say, *ready_log()[1:])
    assert len(seen) == 28
    assert retries == []


async def test_patience_ends_with_a_lost_stream_that_says_what_goes_on() -> None:
    async with fake_server(ready_log()[:5], [Trouble(cut_after=300)] + [Trouble(status=503)] * 50) as fake:
        with pytest.raises(StreamLostError) as caught:
            await watch(fake, Patience(silence=30, give_up_after=2))
    assert "the event stream is lost: the server drains; tried again for" in str(caught.value)
    assert "`ingot status` tells how it is" in str(caught.value)


async def test_another_attempt_in_its_place_is_told_and_never_mixed_in() -> None:
    other = [one.replace(b"id: 1-", b"id: 2-") for one in ready_log()]
    async with fake_server(ready_log()[:5], [Trouble(cut_after=400)]) as fake:
        seen: list[Frame] = []

        async def replace_it_while_watching() -> None:
            async with Client(fake.url, KEY) as client:
                async for one in client.follow(REF, patience=BRISK):
                    seen.append(one)
                    fake.log = other

        with pytest.raises(StreamLostError, match="attempt 1 was followed, the server now sends attempt 2"):
            await replace_it_while_watching()
    assert {one.id.attempt for one in seen} == {1}


async def test_a_drain_asks_for_a_longer_pause() -> None:
    retries: list[Retry] = []
    async with fake_server(ready_log(), [Trouble(cut_after=400, retry_ms=2100)]) as fake:
        await watch(fake, retries=retries)
    assert 1.4 < retries[0].wait <= 2.1


async def test_a_wrong_key_and_a_missing_build_are_told_at_once() -> None:
    async with fake_server() as fake:
        async with Client(fake.url, "sk_live_other") as client:
            with pytest.raises(UnauthenticatedError, match="Invalid API key; run `ingot login`"):
                await anext(client.follow(REF))
        fake.troubles = [Trouble(status=404)]
        async with Client(fake.url, KEY) as client:
            with pytest.raises(NotFoundError):
                await anext(client.follow(REF))


async def test_no_server_says_how_to_start_one() -> None:
    async with fake_server() as fake:
        url = fake.url
    async with Client(url, KEY) as client:
        with pytest.raises(UnreachableError, match=r"no server answers at http://127.*start one with `ingot up`"):
            await anext(client.follow(REF))
        with pytest.raises(UnreachableError):
            await client.status(REF)


async def test_the_recorded_part_ends_without_a_terminal_frame() -> None:
    async with fake_server(ready_log()[:5]) as fake, Client(fake.url, KEY) as client:
        frames = [one async for one in client.follow(REF, attempt=1, live=False)]
        asked = [(one.query, one.headers.get("last-event-id")) for one in fake.streams()]
    assert asked == [({"follow": "0", "attempt": "1"}, None), ({"follow": "0", "attempt": "1"}, "1-4")]
    assert len(frames) == 5


async def test_the_recorded_part_goes_on_where_the_server_had_to_end_it() -> None:
    drains = [Trouble(ends_after=7, last_words=b"retry: 300\n"), Trouble(ends_after=0, last_words=b"retry: 300\n")]
    retries: list[Retry] = []
    async with fake_server(ready_log(), drains) as fake, Client(fake.url, KEY) as client:
        frames = [one async for one in client.follow(REF, live=False, on_retry=retries.append)]
        asked = [one.headers.get("last-event-id") for one in fake.streams()]
    assert ids(frames) == [f"1-{seq}" for seq in range(28)]
    assert asked == [None, "1-6", "1-6"]
    assert [one.why for one in retries] == ["the stream ended before the log did"] * 2


async def test_a_key_that_is_revoked_amid_the_recorded_part_is_told() -> None:
    async with fake_server(ready_log(), [Trouble(ends_after=7)]) as fake, Client(fake.url, KEY) as client:
        stream = client.follow(REF, live=False)
        seen = [await anext(stream) for _ in range(7)]
        fake.key = "sk_live_other"
        with pytest.raises(UnauthenticatedError):
            await anext(stream)
    assert ids(seen) == [f"1-{seq}" for seq in range(7)]


async def test_a_full_queue_carries_when_to_ask_again() -> None:
    async with fake_server() as fake, Client(fake.url, KEY) as client:
        fake.answers["POST", "/api/templates/default/hello/1.0.0/build"] = (
            429,
            error("the queue is full", "queue_full"),
        )
        with pytest.raises(CapacityError) as caught:
            await client.build(REF)
    assert caught.value.code == "queue_full"
    assert caught.value.retry_after == 5
