"""Who may run and write an attempt: claims, epochs, limits, order, cancels and expiry."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import event
from tests.unit.queue_stage import DIGEST, OTHER_DIGEST, A, B, C, Stage

from ingot.errors import ConflictError, NotFoundError, StaleEpochError
from ingot.queue.builds import QueueLimits
from ingot.records.build import BuildState, FailureCode, StepRecord, StepState
from ingot.records.event import Phase
from ingot.storage.database import Database


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "ingot.db") as db:
        yield db


@pytest.fixture
def stage(db: Database) -> Stage:
    return Stage(db, QueueLimits(builds=2, account_builds=1, wait_seconds=60))


def step(index: int, state: StepState = StepState.RUNNING, duration_ms: int | None = None) -> StepRecord:
    return StepRecord(index, f"run {index}", Phase.INSTALL, "run", "new", state, 1_000_000, duration_ms, None)


async def test_an_empty_queue_gives_nothing(stage: Stage) -> None:
    assert await stage.queue.claim() is None


async def test_a_claim_starts_the_build_under_a_new_epoch(stage: Stage) -> None:
    queued = await stage.ask()
    stage.time.now += 5
    build = await stage.claim()
    assert (build.id, build.state, build.epoch) == (queued.id, BuildState.RUNNING, 1)
    assert (build.queued_ms, build.started_ms) == (1_000_000, 1_000_005)


async def test_builds_are_claimed_first_in_first_out(stage: Stage) -> None:
    asked = [await stage.ask(A, str(number) * 64, account=f"account-{number}") for number in range(4)]
    stage.time.now -= 1000  # a clock that is set back changes nothing
    asked.append(await stage.ask(A, DIGEST, account="last"))
    for place, build in enumerate(asked, start=1):
        assert await stage.queue.position(build.id) == place
    claimed = []
    for _ in asked:
        build = await stage.claim()
        claimed.append(build.id)
        await stage.end_ready(build)
    assert claimed == [build.id for build in asked]


async def test_only_so_many_builds_run_at_once(stage: Stage) -> None:
    for number in range(3):
        await stage.ask(A, str(number) * 64, account=f"account-{number}")
    first = await stage.claim()
    await stage.claim()
    assert await stage.queue.claim() is None
    await stage.end_ready(first)
    assert await stage.queue.claim() is not None


async def test_an_account_at_its_limit_lets_others_pass(stage: Stage) -> None:
    first = await stage.ask(A, DIGEST)
    second = await stage.ask(B, OTHER_DIGEST)
    other = await stage.ask(C, "f" * 64, account="other")
    assert (await stage.claim()).id == first.id
    assert (await stage.claim()).id == other.id
    assert await stage.queue.position(second.id) == 1


async def test_a_build_is_claimed_once_however_many_ask(db: Database) -> None:
    stage = Stage(db, QueueLimits(builds=100, account_builds=100))
    for number in range(5):
        await stage.ask(A, str(number) * 64, account=f"account-{number}")
    claims = await asyncio.gather(*(stage.queue.claim() for _ in range(20)))
    claimed = [build.id for build in claims if build is not None]
    assert len(claimed) == len(set(claimed)) == 5


async def test_the_claim_is_one_statement(stage: Stage) -> None:
    await stage.ask()
    statements: list[str] = []

    engine = await stage.db.run(lambda connection: connection.engine)
    event.listen(engine, "before_cursor_execute", lambda *parts: statements.append(parts[2]))
    await stage.claim()
    changes = [statement for statement in statements if statement.startswith(("UPDATE", "INSERT", "DELETE"))]
    assert len(changes) == 1
    assert "epoch=(builds.epoch + ?)" in changes[0]
    assert "RETURNING" in changes[0]


async def test_the_holder_tells_where_it_is(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    await stage.queue.progress(build.id, build.epoch, Phase.INSTALL, "apt curl")
    seen = await stage.queue.current("acme", A)
    assert seen is not None
    assert (seen.phase, seen.step) == (Phase.INSTALL, "apt curl")


async def test_steps_are_kept_in_order_and_replaced(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    for record in (step(2), step(1), step(2, StepState.DONE, 1200)):
        await stage.queue.record_step(build.id, build.epoch, record)
    seen = await stage.queue.get(build.id)
    assert seen is not None
    assert seen.steps == (step(1), step(2, StepState.DONE, 1200))


async def test_a_stale_epoch_changes_nothing(stage: Stage) -> None:
    await stage.ask()
    old = await stage.claim()
    await stage.queue.record_step(old.id, old.epoch, step(1))
    new = await stage.queue.reclaim(old.id)
    assert new.epoch == old.epoch + 1
    words = f"epoch 1 of build {old.id} is over: the build ended or another worker took it over"
    with pytest.raises(StaleEpochError, match=words):
        await stage.queue.progress(old.id, old.epoch, Phase.READY, None)
    with pytest.raises(StaleEpochError, match=words):
        await stage.queue.record_step(old.id, old.epoch, step(1, StepState.DONE, 5))
    with pytest.raises(StaleEpochError, match=words):
        await stage.queue.record_step(old.id, old.epoch, step(2))
    with pytest.raises(StaleEpochError, match=words):
        await stage.queue.seal(old.id, old.epoch)
    with pytest.raises(StaleEpochError, match=words):
        await stage.end_ready(old)
    assert await stage.queue.get(old.id) == new


async def test_an_attempt_that_ended_stays_as_it_is(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    ended = await stage.end_ready(build)
    with pytest.raises(StaleEpochError):
        await stage.end_failed(build)
    with pytest.raises(ConflictError, match=f"build {build.id} is over: ready"):
        await stage.queue.reclaim(build.id)
    assert await stage.queue.get(build.id) == ended


async def test_a_build_that_is_not_there_cannot_be_taken_over(stage: Stage) -> None:
    with pytest.raises(NotFoundError, match="there is no build nothing"):
        await stage.queue.reclaim("nothing")


async def test_after_a_crash_what_ran_is_listed_and_goes_on(db: Database, stage: Stage) -> None:
    await stage.ask(A)
    running = await stage.claim()
    queued = await stage.ask(B, OTHER_DIGEST)
    taken = await stage.ask(C, "f" * 64, golden="golden-1")
    restarted = Stage(db, stage.limits, stage.time)
    assert [build.id for build in await restarted.queue.unfinished()] == [running.id, taken.id]
    again = await restarted.queue.reclaim(running.id)
    assert (again.state, again.epoch, again.started_ms) == (BuildState.RUNNING, 2, running.started_ms)
    assert await restarted.queue.position(queued.id) == 1


async def test_a_cancel_marks_the_build_and_ends_nothing(stage: Stage) -> None:
    await stage.ask()
    running = await stage.claim()
    marked = await stage.queue.request_cancel("acme", A)
    assert marked is not None
    assert (marked.id, marked.state, marked.cancel_requested) == (running.id, BuildState.RUNNING, True)
    assert await stage.queue.cancels() == (marked,)
    assert await stage.queue.request_cancel("acme", A) == marked


async def test_there_is_nothing_to_cancel_when_nothing_builds(stage: Stage) -> None:
    assert await stage.queue.request_cancel("acme", A) is None
    await stage.build_ready()
    assert await stage.queue.request_cancel("acme", A) is None
    await stage.ask(force=True)
    assert await stage.queue.request_cancel("other", A) is None


async def test_a_queued_build_that_is_cancelled_is_not_claimed(stage: Stage) -> None:
    first = await stage.ask(A)
    second = await stage.ask(B, OTHER_DIGEST, account="other")
    await stage.queue.request_cancel("acme", A)
    assert await stage.queue.position(second.id) == 1
    assert (await stage.claim()).id == second.id
    held = await stage.queue.reclaim(first.id)
    assert (held.state, held.started_ms) == (BuildState.RUNNING, None)
    ended = await stage.end_failed(held, FailureCode.CANCELLED)
    assert (ended.state, ended.failure and ended.failure.code) == (BuildState.FAILED, FailureCode.CANCELLED)


async def test_a_cancel_before_the_end_is_decided_is_heeded(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    assert await stage.queue.request_cancel("acme", A) is not None
    assert await stage.queue.seal(build.id, build.epoch, golden_key="golden-1", manifest={})


async def test_a_cancel_after_the_end_is_decided_finds_nothing(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    assert not await stage.queue.seal(build.id, build.epoch)
    assert await stage.queue.request_cancel("acme", A) is None
    assert (await stage.end_ready(build)).state is BuildState.READY


async def test_a_crash_between_log_and_status_leaves_what_the_end_needs(stage: Stage) -> None:
    await stage.ask()
    build = await stage.claim()
    await stage.queue.seal(build.id, build.epoch, golden_key="golden-1", manifest={"apt": {"curl": "8"}})
    assert await stage.queue.golden_of(DIGEST) is None
    assert "golden-1" in await stage.queue.refs_to_goldens()
    held = await stage.queue.reclaim(build.id)
    assert (held.golden_key, held.manifest) == ("golden-1", {"apt": {"curl": "8"}})
    assert await stage.queue.request_cancel("acme", A) is not None


async def test_what_waits_too_long_expires(stage: Stage) -> None:
    await stage.ask(A)
    await stage.claim()
    old = await stage.ask(B, OTHER_DIGEST)
    stage.time.now += 60_000
    await stage.ask(C, "f" * 64)
    assert await stage.queue.expired() == ()
    stage.time.now += 1
    assert await stage.queue.expired() == (old,)
    assert await stage.queue.expired(now=1_000_000) == ()


async def test_waiting_ends_with_the_next_change(stage: Stage) -> None:
    seen = stage.queue.changes
    waiting = asyncio.create_task(stage.queue.wait_change(seen))
    await stage.ask()
    assert await waiting > seen


async def test_a_change_that_came_before_the_wait_is_not_missed(stage: Stage) -> None:
    seen = stage.queue.changes
    await stage.ask()
    assert await stage.queue.wait_change(seen) > seen


async def test_waiting_ends_with_its_timeout(stage: Stage) -> None:
    assert await stage.queue.wait_change(stage.queue.changes, timeout=0.01) == stage.queue.changes


async def test_active_lists_what_is_under_way(stage: Stage) -> None:
    await stage.build_ready(A)
    queued = await stage.ask(B, OTHER_DIGEST)
    other = await stage.ask(A, OTHER_DIGEST, account="other")
    assert await stage.queue.active() == (queued, other)
    assert await stage.queue.active("other") == (other,)
