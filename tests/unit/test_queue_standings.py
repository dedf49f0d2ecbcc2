"""How all published content stands, in one answer: the same as asking for each, and what ended last."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.unit.queue_stage import A, B, C, Stage

from ingot.queue.builds import QueueLimits
from ingot.records.build import BuildState, BuildStatus, FailureCode
from ingot.records.ref import Ref
from ingot.storage.database import Database
from ingot.storage.tables import templates

SYSTEM = Ref("system", "blank", "1.0.0")


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Database(tmp_path / "ingot.db") as db:
        limits = QueueLimits(builds=1000, account_builds=1000, waiting=1000, account_waiting=1000)
        yield Stage(db, limits)


async def publish(stage: Stage, account: str, ref: Ref, digest: str) -> None:
    row = {
        "account": account,
        "namespace": ref.namespace,
        "name": ref.name,
        "version": ref.version,
        "digest": digest,
        "document_json": "{}",
        "published_ms": 1,
    }
    await stage.db.run(lambda connection: connection.execute(insert(templates).values(row)))


async def check_same(stage: Stage, account: str, published: dict[Ref, str]) -> set[BuildStatus]:
    """Every standing is what the single questions answer; which there are."""
    standings = await stage.queue.standings(account)
    for ref, digest in published.items():
        status, last = await stage.queue.status(account, ref, digest)
        standing = standings.get((ref, digest))
        if last is None:
            assert standing is None
            continue
        assert standing is not None
        assert standing.last is not None
        assert (standing.status, standing.last.id, standing.last.state) == (status, last.id, last.state)
        assert standing.last.failure == last.failure
        assert standing.queue_position == await stage.queue.position(last.id)
        if status is BuildStatus.READY:
            assert standing.golden_key == await stage.queue.golden_of(digest, account, ref)
    return {standing.status for standing in standings.values()}


async def test_each_standing_is_what_single_questions_answer_whatever_happened(stage: Stage) -> None:
    chance = random.Random(4)
    published = {A: "a" * 64, B: "b" * 64, C: "c" * 64, SYSTEM: "d" * 64}
    for ref, digest in published.items():
        await publish(stage, "system" if ref is SYSTEM else "acme", ref, digest)
    goldens, seen = 0, set()
    for _ in range(150):
        stage.time.now += 1000
        ref = chance.choice(list(published))
        digest = published[ref] if chance.random() < 0.8 else "f" * 64
        account = chance.choice(["acme", "acme", "other"])
        await stage.ask(ref, digest, account=account, force=True)
        while chance.random() < 0.7 and (build := await stage.queue.claim()) is not None:
            if chance.random() < 0.4:
                goldens += 1
                await stage.end_ready(build, f"golden-{goldens}")
            elif chance.random() < 0.95:
                await stage.end_failed(build)
        if chance.random() < 0.6 and goldens:
            await stage.queue.release_goldens([f"golden-{chance.randint(max(1, goldens - 3), goldens)}"], missing=True)
        if chance.random() < 0.1:
            await stage.queue.request_cancel("acme", chance.choice(list(published)))
        seen |= await check_same(stage, "acme", published)
    assert seen == set(BuildStatus)


async def test_content_that_is_not_published_any_more_stands_nowhere(stage: Stage) -> None:
    await publish(stage, "acme", A, "a" * 64)
    await stage.build_ready(A, "f" * 64)
    assert await stage.queue.standings("acme") == {}
    await stage.build_ready(A, "a" * 64, "golden-2")
    assert {ref for ref, _ in await stage.queue.standings("acme")} == {A}
    assert await stage.queue.standings("other") == {}


async def test_what_ended_last_comes_first_and_what_is_under_way_not_at_all(stage: Stage) -> None:
    first = await stage.build_ready(A, "a" * 64)
    stage.time.now += 1
    second = await stage.ask(B, "b" * 64)
    third = await stage.ask(C, "c" * 64)
    builds = {build.id: build for build in (await stage.claim(), await stage.claim())}
    stage.time.now += 1
    await stage.end_failed(builds[third.id], FailureCode.STEP_FAILED)
    stage.time.now += 1
    await stage.end_ready(builds[second.id], "golden-2")
    await stage.build_ready(A, "f" * 64, "golden-3", account="other")
    await stage.ask(A, "e" * 64)
    ended = await stage.queue.ended("acme", 10)
    assert [build.id for build in ended] == [second.id, third.id, first.id]
    assert [build.state for build in ended] == [BuildState.READY, BuildState.FAILED, BuildState.READY]
    assert [build.id for build in await stage.queue.ended("acme", 2)] == [second.id, third.id]


async def test_places_in_the_queue_are_those_of_single_questions(stage: Stage) -> None:
    for number in range(5):
        await stage.ask(Ref("default", f"t{number}", "1.0.0"), f"{number}" * 64, account=f"account-{number % 2}")
    await stage.claim()
    await stage.queue.request_cancel("account-0", Ref("default", "t2", "1.0.0"))
    places = await stage.queue.positions()
    assert sorted(places.values()) == [1, 2, 3]
    for build in await stage.queue.active():
        assert places.get(build.id) == await stage.queue.position(build.id)
