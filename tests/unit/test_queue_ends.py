"""How attempts end, what their end means for those who joined, and what the API shows of it all."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from tests.unit.queue_stage import DIGEST, OTHER_DIGEST, A, B, C, Stage

from ingot.queue.builds import QueueLimits
from ingot.queue.status import status_of
from ingot.records.build import Build, BuildFlags, BuildState, BuildStatus, Failure, FailureCode, StepRecord, StepState
from ingot.records.event import Phase
from ingot.records.ref import Ref
from ingot.storage.database import Database
from ingot.storage.tables import templates


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Database(tmp_path / "ingot.db") as db:
        yield Stage(db, QueueLimits(builds=10, account_builds=10, wait_seconds=60))


async def get(stage: Stage, build: Build) -> Build:
    found = await stage.queue.get(build.id)
    assert found is not None
    return found


async def publish(stage: Stage, ref: Ref, digest: str, account: str = "acme") -> None:
    values = {"account": account, "namespace": ref.namespace, "name": ref.name, "version": ref.version}
    row = {**values, "digest": digest, "document_json": "{}", "published_ms": 1}
    await stage.db.run(lambda connection: connection.execute(insert(templates).values(row)).rowcount)


async def test_a_ready_build_has_its_golden_and_manifest(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    stage.time.now += 7
    ended = await stage.end_ready(build, "golden-1", manifest={"apt": {"curl": "8.0"}})
    assert (ended.state, ended.golden_key, ended.finished_ms) == (BuildState.READY, "golden-1", 1_000_007)
    assert ended.manifest == {"apt": {"curl": "8.0"}}
    assert ended == await get(stage, build)


async def test_a_failed_build_tells_all_of_its_failure(stage: Stage) -> None:
    await stage.ask()
    ended = await stage.end_failed(await stage.claim())
    assert ended.failure == Failure(FailureCode.STEP_FAILED, "it failed", "run make", 2, ("last line",))
    assert ended == await get(stage, ended)


async def test_a_step_under_way_fails_with_its_build(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    running = StepRecord(1, "run make", Phase.INSTALL, "run", "new", StepState.RUNNING, stage.time.now)
    await stage.queue.record_step(build.id, build.epoch, running)
    stage.time.now += 30
    (step,) = (await stage.end_failed(build, FailureCode.CANCELLED)).steps
    assert (step.state, step.duration_ms) == (StepState.FAILED, 30)


@pytest.mark.parametrize(
    ("state", "golden", "failure", "words"),
    [
        (BuildState.READY, None, None, "a build that is ready has a golden and no failure"),
        (BuildState.FAILED, None, None, "a build that failed has a failure and no golden"),
        (BuildState.QUEUED, None, None, "a build does not end as queued"),
    ],
)
async def test_an_end_that_makes_no_sense_is_refused(
    stage: Stage, state: BuildState, golden: str | None, failure: Failure | None, words: str
) -> None:
    await stage.ask()
    build = await stage.claim()
    with pytest.raises(ValueError, match=words):
        await stage.queue.finish(build.id, build.epoch, state, golden_key=golden, failure=failure)


async def test_those_who_joined_are_there_to_be_ended_alike(stage: Stage) -> None:
    leader = await stage.ask(A)
    joined = await stage.ask(B, account="other")
    await stage.end_ready(await stage.claim(), "golden-1")
    assert await stage.queue.joiners(leader.id) == (joined,)
    held = await stage.queue.reclaim(joined.id)
    assert (held.state, held.epoch, held.joined_to) == (BuildState.JOINED, 1, leader.id)
    await stage.end_ready(held, "golden-1")
    assert await stage.queue.joiners(leader.id) == ()
    assert await stage.queue.golden_of(DIGEST, "other", B) == "golden-1"


async def test_after_a_crash_those_whose_leader_is_over_are_listed(stage: Stage) -> None:
    await stage.ask(A)
    joined = await stage.ask(B)
    running = await stage.claim()
    assert await stage.queue.unfinished() == (running,)
    await stage.end_failed(running)
    assert await stage.queue.unfinished() == (joined,)


@pytest.mark.parametrize("code", [FailureCode.CANCELLED, FailureCode.QUEUE_EXPIRED])
async def test_a_leader_that_is_given_up_hands_its_place_on(stage: Stage, code: FailureCode) -> None:
    leader = await stage.ask(A)
    heir = await stage.ask(B)
    third = await stage.ask(C)
    await stage.end_failed(await stage.queue.reclaim(leader.id), code)
    assert await stage.queue.joiners(leader.id) == ()
    promoted = await get(stage, heir)
    assert (promoted.state, promoted.joined_to) == (BuildState.QUEUED, None)
    assert (await get(stage, third)).joined_to == heir.id
    assert (await stage.claim()).id == heir.id


async def test_a_cancel_of_one_that_joined_detaches_it_alone(stage: Stage) -> None:
    leader = await stage.ask(A)
    joined = await stage.ask(B)
    await stage.cancel(joined)
    assert (await get(stage, joined)).state is BuildState.FAILED
    assert (await get(stage, leader)).state is BuildState.QUEUED


async def test_one_that_is_to_be_cancelled_itself_does_not_inherit(stage: Stage) -> None:
    leader = await stage.ask(A)
    leaving = await stage.ask(B)
    staying = await stage.ask(C)
    await stage.queue.request_cancel("acme", B)
    await stage.cancel(leader)
    assert (await get(stage, leaving)).state is BuildState.JOINED
    assert (await get(stage, staying)).state is BuildState.QUEUED
    assert await get(stage, leaving) in await stage.queue.cancels()
    assert await get(stage, leaving) in await stage.queue.unfinished()


async def test_one_that_its_heir_would_not_serve_waits_by_itself(stage: Stage) -> None:
    leader = await stage.ask(A, flags=BuildFlags(no_cache=True))
    lax = await stage.ask(B)
    strict = await stage.ask(C, flags=BuildFlags(no_cache=True))
    assert strict.joined_to == leader.id
    await stage.cancel(leader)
    assert [(await get(stage, build)).state for build in (lax, strict)] == [BuildState.QUEUED] * 2


# -- what is shown ---------------------------------------------------------------------------------------


async def check_status(stage: Stage, expected: BuildStatus, digest: str = DIGEST) -> Build | None:
    """Both ways to tell the status agree."""
    status, last = await stage.queue.status("acme", A, digest)
    assert status is expected
    assert status_of(digest, await stage.queue.history("acme", A)) is expected
    return last


async def test_a_ref_goes_from_not_built_over_building_to_ready(stage: Stage) -> None:
    assert await check_status(stage, BuildStatus.NOT_BUILT) is None
    queued = await stage.ask()
    assert await check_status(stage, BuildStatus.BUILDING) == queued
    running = await stage.claim()
    assert await check_status(stage, BuildStatus.BUILDING) == running
    ended = await stage.end_ready(running)
    assert await check_status(stage, BuildStatus.READY) == ended


async def test_one_that_joined_is_building(stage: Stage) -> None:
    await stage.ask(B)
    await stage.ask(A)
    await check_status(stage, BuildStatus.BUILDING)


async def test_a_cancelled_build_is_failed(stage: Stage) -> None:
    await stage.ask()
    await stage.cancel(await stage.claim())
    await check_status(stage, BuildStatus.FAILED)


async def test_an_older_golden_of_the_same_content_stays_ready(stage: Stage) -> None:
    await stage.build_ready()
    await stage.ask(force=True)
    await check_status(stage, BuildStatus.BUILDING)
    failed = await stage.end_failed(await stage.claim())
    assert await check_status(stage, BuildStatus.READY) == failed


async def test_other_content_does_not_count(stage: Stage) -> None:
    await stage.build_ready(A, OTHER_DIGEST)
    assert await check_status(stage, BuildStatus.NOT_BUILT) is None
    await check_status(stage, BuildStatus.READY, OTHER_DIGEST)


async def test_a_golden_that_was_collected_makes_its_ref_not_built(stage: Stage) -> None:
    ready = await stage.build_ready()
    assert await stage.queue.release_goldens(["golden-1"]) == {"golden-1"}
    last = await check_status(stage, BuildStatus.NOT_BUILT)
    assert last is not None
    assert (last.id, last.golden_key) == (ready.id, None)


async def test_the_history_is_newest_first_and_has_one_attempt_by_number(stage: Stage) -> None:
    for number in range(3):
        await stage.ask(force=True)
        await stage.end_ready(await stage.claim(), f"golden-{number}")
    assert [build.attempt for build in await stage.queue.history("acme", A)] == [3, 2, 1]
    assert [build.attempt for build in await stage.queue.history("acme", A, limit=2)] == [3, 2]
    second = await stage.queue.attempt("acme", A, 2)
    assert second is not None
    assert second.golden_key == "golden-1"
    assert await stage.queue.attempt("acme", A, 99) is None
    assert await stage.queue.attempt("other", A, 1) is None


# -- goldens ---------------------------------------------------------------------------------------------


async def test_the_golden_of_a_content_is_the_refs_own_before_the_newest(stage: Stage) -> None:
    assert await stage.queue.golden_of(DIGEST) is None
    await stage.build_ready(A, golden="golden-1")
    await stage.build_ready(B, golden="golden-2", account="other")
    assert await stage.queue.golden_of(DIGEST) == "golden-2"
    assert await stage.queue.golden_of(DIGEST, "acme", A) == "golden-1"
    assert await stage.queue.golden_of(DIGEST, "acme", C) == "golden-2"
    assert await stage.queue.golden_of(OTHER_DIGEST) is None


async def test_a_private_golden_is_of_the_account_alone(stage: Stage) -> None:
    await stage.build_ready(A, golden="golden-1", account="other")
    assert await stage.queue.golden_of(DIGEST, "acme", A, private=True) is None
    await stage.build_ready(B, golden="golden-2")
    assert await stage.queue.golden_of(DIGEST, "acme", A, private=True) == "golden-2"


async def test_the_newest_golden_of_what_is_published_is_needed(stage: Stage) -> None:
    await publish(stage, A, DIGEST)
    await stage.build_ready(A, golden="golden-1")
    await stage.ask(A, force=True)
    await stage.end_ready(await stage.claim(), "golden-2")
    await stage.build_ready(B, OTHER_DIGEST, "golden-3")
    assert await stage.queue.refs_to_goldens() == {"golden-2": ("default/a@1.0.0 of acme",)}


async def test_a_golden_is_needed_by_every_ref_and_build_that_stands_on_it(stage: Stage) -> None:
    curated = Ref("system", "blank", "1.0.0")
    await publish(stage, A, DIGEST)
    await publish(stage, curated, DIGEST, "system")
    await stage.build_ready(A, golden="golden-1")
    await stage.end_ready(await stage.ask(curated, golden="golden-1", account="other"))
    taken = await stage.ask(B, golden="golden-1")
    assert await stage.queue.refs_to_goldens() == {
        "golden-1": (
            "default/a@1.0.0 of acme",
            "system/blank@1.0.0 of other",
            f"build {taken.id}, which is under way",
        )
    }


async def test_a_golden_of_replaced_content_is_not_needed(stage: Stage) -> None:
    await stage.build_ready(A, DIGEST, "golden-1")
    await publish(stage, A, OTHER_DIGEST)
    assert await stage.queue.refs_to_goldens() == {}


async def test_a_needed_golden_is_not_released(stage: Stage) -> None:
    await publish(stage, A, DIGEST)
    await stage.build_ready(A, golden="golden-1")
    assert await stage.queue.release_goldens(["golden-1", "golden-2"]) == {"golden-2"}
    assert await stage.queue.golden_of(DIGEST) == "golden-1"


async def test_a_golden_that_the_store_lost_can_be_forgotten(stage: Stage) -> None:
    await publish(stage, A, DIGEST)
    await stage.build_ready(A, golden="golden-1")
    assert await stage.queue.release_goldens(["golden-1"], missing=True) == {"golden-1"}
    assert await stage.queue.golden_of(DIGEST) is None
