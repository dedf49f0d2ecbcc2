"""What the holder of an attempt's epoch writes: functions of a transaction.

Each change is guarded by the epoch in its own statement; when it touches no row, the writer lost its claim.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, delete, insert, literal, select, update

from ingot.errors import StaleEpochError
from ingot.queue import lists
from ingot.queue.rows import UNFINISHED, failure_text, step_values
from ingot.records.build import Build, BuildState, Failure, FailureCode, StepRecord, StepState
from ingot.records.event import Phase
from ingot.storage.tables import build_steps, builds

_GIVEN_UP = (FailureCode.CANCELLED, FailureCode.QUEUE_EXPIRED)
"""Ends that say nothing of the content: the builds that joined are not to share them."""


@dataclass(frozen=True, slots=True)
class End:
    """How an attempt ends; see `BuildQueue.finish`. `now` is milliseconds since the epoch."""

    state: BuildState
    failure: Failure | None
    golden_key: str | None
    manifest: Mapping[str, Any] | None
    reused: bool
    now: int

    def __post_init__(self) -> None:
        if self.state is BuildState.READY and (self.golden_key is None or self.failure is not None):
            raise ValueError("a build that is ready has a golden and no failure")
        if self.state is BuildState.FAILED and (self.failure is None or self.golden_key is not None):
            raise ValueError("a build that failed has a failure and no golden")
        if not self.state.is_over:
            raise ValueError(f"a build does not end as {self.state}")


def progress(connection: Connection, build_id: str, epoch: int, phase: Phase | None, step: str | None) -> None:
    _change(connection, build_id, epoch, phase=None if phase is None else phase.value, step=step)


def record_step(connection: Connection, build_id: str, epoch: int, record: StepRecord) -> None:
    values = step_values(build_id, record)
    same = and_(build_steps.c.build_id == build_id, build_steps.c.place == record.index)
    guarded = select(*(literal(value, build_steps.c[name].type) for name, value in values.items())).where(
        select(builds.c.id).where(_held(build_id, epoch)).exists()
    )
    connection.execute(delete(build_steps).where(same, select(builds.c.id).where(_held(build_id, epoch)).exists()))
    if connection.execute(insert(build_steps).from_select(list(values), guarded)).rowcount == 0:
        raise _stale(build_id, epoch)


def seal(connection: Connection, build_id: str, epoch: int, golden_key: str | None, manifest: str | None) -> bool:
    left = {} if golden_key is None else {"golden_key": golden_key, "manifest_json": manifest}
    _change(connection, build_id, epoch, sealed=True, **left)
    return bool(connection.scalar(select(builds.c.cancel_requested).where(builds.c.id == build_id)))


def finish(connection: Connection, build_id: str, epoch: int, end: End) -> Build:
    _change(
        connection,
        build_id,
        epoch,
        state=end.state.value,
        finished_ms=end.now,
        failure_json=failure_text(end.failure),
        golden_key=end.golden_key,
        manifest_json=manifest_text(end.manifest),
        reused=end.reused,
    )
    if end.failure is not None:
        _fail_running_steps(connection, build_id, end.now)
        if end.failure.code in _GIVEN_UP:
            _hand_on(connection, build_id)
    build = lists.one(connection, build_id)
    assert build is not None
    return build


def release_goldens(connection: Connection, keys: frozenset[str], missing: bool) -> frozenset[str]:
    released = keys if missing else keys - lists.needed_goldens(connection).keys()
    over = and_(builds.c.golden_key.in_(released), builds.c.state == BuildState.READY.value)
    connection.execute(update(builds).where(over).values(golden_key=None))
    return released


def manifest_text(manifest: Mapping[str, Any] | None) -> str | None:
    return None if manifest is None else json.dumps(manifest)


def _held(build_id: str, epoch: int) -> ColumnElement[bool]:
    return and_(builds.c.id == build_id, builds.c.epoch == epoch, builds.c.state.in_(UNFINISHED))


def _change(connection: Connection, build_id: str, epoch: int, **values: Any) -> None:
    if connection.execute(update(builds).where(_held(build_id, epoch)).values(**values)).rowcount == 0:
        raise _stale(build_id, epoch)


def _stale(build_id: str, epoch: int) -> StaleEpochError:
    return StaleEpochError(f"epoch {epoch} of build {build_id} is over: the build ended or another worker took it over")


def _fail_running_steps(connection: Connection, build_id: str, now: int) -> None:
    """A step that was under way when its attempt was killed from outside did not come to its end."""
    running = and_(build_steps.c.build_id == build_id, build_steps.c.state == StepState.RUNNING.value)
    connection.execute(
        update(build_steps)
        .where(running)
        .values(state=StepState.FAILED.value, duration_ms=now - build_steps.c.started_ms)
    )


def _hand_on(connection: Connection, build_id: str) -> None:
    """Those who joined a build that was given up did not ask for that: the oldest takes its place in the queue."""
    waiting = [build for build in lists.joiners(connection, build_id) if not build.cancel_requested]
    if not waiting:
        return
    heir = waiting[0]
    follows = [build.id for build in waiting[1:] if build.flags.is_served_by(heir.flags)]
    queued = [build.id for build in waiting if build.id not in follows]
    requeued = {"state": BuildState.QUEUED.value, "joined_to": None}
    connection.execute(update(builds).where(builds.c.id.in_(queued)).values(**requeued))
    connection.execute(update(builds).where(builds.c.id.in_(follows)).values(joined_to=heir.id))
