"""Asking for a build: a new attempt, one under way, one to join, or a golden that is there already."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.unit.queue_stage import DIGEST, OTHER_DIGEST, A, B, C, Stage

from ingot.errors import CapacityError
from ingot.queue.builds import QueueLimits
from ingot.records.build import BuildFlags, BuildState, FailureCode
from ingot.storage.database import Database


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Database(tmp_path / "ingot.db") as db:
        yield Stage(db, QueueLimits(builds=2, account_builds=2, waiting=4, account_waiting=3))


async def test_a_first_build_waits_in_the_queue_as_attempt_one(stage: Stage) -> None:
    build = await stage.ask()
    assert (build.state, build.attempt, build.epoch) == (BuildState.QUEUED, 1, 0)
    assert await stage.queue.position(build.id) == 1
    assert await stage.queue.current("acme", A) == build


async def test_asking_again_finds_the_build_under_way(stage: Stage) -> None:
    queued = await stage.ask()
    assert await stage.ask() == queued
    running = await stage.claim()
    assert await stage.ask(flags=BuildFlags(force=True, no_cache=True)) == running


async def test_attempts_count_on_for_each_account_and_ref(stage: Stage) -> None:
    for number in (1, 2):
        assert (await stage.ask()).attempt == number
        await stage.end_failed(await stage.claim())
    assert (await stage.ask(B)).attempt == 1
    assert (await stage.ask(account="other")).attempt == 1
    assert [build.attempt for build in await stage.queue.history("acme", A)] == [2, 1]


async def test_a_ref_that_is_ready_keeps_its_last_attempt(stage: Stage) -> None:
    ready = await stage.build_ready(golden="golden-1")
    again = await stage.ask(golden="golden-1")
    assert (again.id, again.state, again.reused) == (ready.id, BuildState.READY, True)
    stored = await stage.queue.get(ready.id)
    assert stored is not None
    assert not stored.reused


@pytest.mark.parametrize("flag", ["force", "no_cache", "refresh"])
async def test_a_flag_builds_although_there_is_a_golden(stage: Stage, flag: str) -> None:
    await stage.build_ready(golden="golden-1")
    build = await stage.ask(golden="golden-1", flags=BuildFlags(**{flag: True}))
    assert (build.state, build.attempt, build.golden_key) == (BuildState.QUEUED, 2, None)


async def test_a_golden_that_the_store_lost_is_built_again(stage: Stage) -> None:
    await stage.build_ready(golden="golden-1")
    build = await stage.ask(golden=None)
    assert (build.state, build.attempt) == (BuildState.QUEUED, 2)


async def test_a_golden_of_another_ref_makes_an_attempt_that_its_asker_holds(stage: Stage) -> None:
    await stage.build_ready(A, golden="golden-1")
    taken = await stage.ask(B, golden="golden-1")
    assert (taken.state, taken.attempt, taken.epoch, taken.reused) == (BuildState.RUNNING, 1, 1, True)
    assert taken.golden_key == "golden-1"
    ended = await stage.end_ready(taken, "golden-1", reused=True)
    assert (ended.state, ended.reused) == (BuildState.READY, True)
    assert (await stage.ask(B, golden="golden-1")).id == taken.id


async def test_a_ref_whose_last_attempt_failed_takes_its_older_golden_over(stage: Stage) -> None:
    await stage.build_ready(golden="golden-1")
    await stage.ask(force=True)
    await stage.end_failed(await stage.claim())
    taken = await stage.ask(golden="golden-1")
    assert (taken.state, taken.attempt, taken.reused) == (BuildState.RUNNING, 3, True)


async def test_a_golden_that_is_taken_over_needs_no_room(stage: Stage) -> None:
    for number in range(3):
        await stage.ask(digest=str(number) * 64, account="acme", ref=(A, B, C)[number])
    taken = await stage.ask(A, OTHER_DIGEST, account="late", golden="golden-1")
    assert taken.state is BuildState.RUNNING
    assert (await stage.claim()).state is BuildState.RUNNING
    assert (await stage.claim()).state is BuildState.RUNNING
    assert await stage.queue.claim() is None


async def test_the_same_content_elsewhere_joins_the_one_under_way(stage: Stage) -> None:
    leader = await stage.ask(A)
    joined = await stage.ask(B)
    other = await stage.ask(A, account="other")
    assert (joined.state, joined.joined_to, joined.attempt) == (BuildState.JOINED, leader.id, 1)
    assert (other.state, other.joined_to) == (BuildState.JOINED, leader.id)
    assert await stage.queue.joiners(leader.id) == (joined, other)
    assert (await stage.claim()).id == leader.id
    assert await stage.queue.claim() is None
    assert await stage.queue.position(joined.id) is None


async def test_other_content_does_not_join(stage: Stage) -> None:
    await stage.ask(A)
    assert (await stage.ask(B, OTHER_DIGEST)).state is BuildState.QUEUED


async def test_a_private_build_joins_its_own_account_only(stage: Stage) -> None:
    leader = await stage.ask(A, private=True)
    assert (await stage.ask(B, private=True)).joined_to == leader.id
    assert (await stage.ask(A, account="other", private=True)).state is BuildState.QUEUED


@pytest.mark.parametrize("flag", ["no_cache", "refresh"])
async def test_a_build_joins_only_what_heeds_its_flags(stage: Stage, flag: str) -> None:
    await stage.ask(A)
    strict = await stage.ask(B, flags=BuildFlags(**{flag: True}))
    assert strict.state is BuildState.QUEUED
    assert (await stage.ask(C, flags=BuildFlags(**{flag: True}))).joined_to == strict.id


async def test_a_build_that_keeps_its_machine_joins_no_other_ref(stage: Stage) -> None:
    await stage.ask(A)
    keeping = await stage.ask(B, flags=BuildFlags(keep_on_failure=60))
    assert (keeping.state, keeping.flags) == (BuildState.QUEUED, BuildFlags(keep_on_failure=60))
    stored = await stage.queue.get(keeping.id)
    assert stored is not None
    assert stored.flags.keep_on_failure == 60


async def test_a_build_that_keeps_its_machine_takes_a_golden_that_is_there(stage: Stage) -> None:
    ready = await stage.build_ready(golden="golden-1")
    again = await stage.ask(golden="golden-1", flags=BuildFlags(keep_on_failure=60))
    assert (again.id, again.reused) == (ready.id, True)


async def test_a_forced_build_joins_one_that_is_really_built(stage: Stage) -> None:
    leader = await stage.ask(A)
    assert (await stage.ask(B, force=True)).joined_to == leader.id
    await stage.ask(A, OTHER_DIGEST, account="other", golden="golden-1")
    assert (await stage.ask(B, OTHER_DIGEST, account="other", force=True)).state is BuildState.QUEUED


async def test_a_build_being_cancelled_is_neither_returned_nor_joined(stage: Stage) -> None:
    first = await stage.ask()
    await stage.queue.request_cancel("acme", A)
    second = await stage.ask()
    assert (second.attempt, second.state) == (2, BuildState.QUEUED)
    assert (await stage.ask(B)).joined_to == second.id
    assert first.id != second.id


async def test_new_content_at_a_ref_gets_an_attempt_of_its_own(stage: Stage) -> None:
    await stage.ask(A, DIGEST)
    assert (await stage.ask(A, OTHER_DIGEST)).attempt == 2


async def test_an_account_that_waits_for_too_much_is_told_when_to_come_back(stage: Stage) -> None:
    for ref in (A, B, C):
        await stage.ask(ref)
    with pytest.raises(CapacityError, match="3 builds of this account wait already, which is its limit; try") as caught:
        await stage.ask(A, OTHER_DIGEST)
    assert (caught.value.code, caught.value.retry_after) == ("quota_full", 15)
    assert (await stage.ask(A, OTHER_DIGEST, account="other")).state is BuildState.QUEUED


async def test_a_full_queue_says_so(stage: Stage) -> None:
    for number, account in enumerate(("one", "two", "three", "four")):
        await stage.ask(A, str(number) * 64, account=account)
    with pytest.raises(CapacityError, match="the build queue is full: 4 builds wait; try again in 15 s") as caught:
        await stage.ask(A, OTHER_DIGEST, account="five")
    assert caught.value.code == "queue_full"
    await stage.claim()
    assert (await stage.ask(A, OTHER_DIGEST, account="five")).state is BuildState.QUEUED


async def test_a_refused_build_leaves_no_attempt(stage: Stage) -> None:
    for ref in (A, B, C):
        await stage.ask(ref)
    with pytest.raises(CapacityError):
        await stage.ask(A, OTHER_DIGEST)
    assert [build.attempt for build in await stage.queue.history("acme", A)] == [1]


async def test_attempts_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "other" / "ingot.db"
    async with Database(path) as db:
        first = await Stage(db).ask()
    async with Database(path) as db:
        stage = Stage(db)
        assert await stage.queue.get(first.id) == first
        await stage.end_failed(await stage.claim(), FailureCode.INTERNAL)
        assert (await stage.ask()).attempt == 2
