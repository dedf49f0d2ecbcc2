"""Rows of the `builds` and `build_steps` tables to records and back: pure but for the one query of the steps."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, select

from ingot.records.build import Build, BuildFlags, BuildState, Failure, FailureCode, StepRecord, StepState
from ingot.records.event import Phase
from ingot.records.ref import Ref
from ingot.storage.tables import build_steps, builds

UNFINISHED = (BuildState.QUEUED.value, BuildState.JOINED.value, BuildState.RUNNING.value)


def of_ref(account: str, ref: Ref) -> ColumnElement[bool]:
    """The condition that a build is of this account's ref."""
    return and_(
        builds.c.account == account,
        builds.c.namespace == ref.namespace,
        builds.c.name == ref.name,
        builds.c.version == ref.version,
    )


def read_builds(connection: Connection, rows: Iterable[Row[Any]]) -> tuple[Build, ...]:
    """Builds with their steps, in the order of the rows."""
    rows = list(rows)
    steps: dict[str, list[StepRecord]] = {row.id: [] for row in rows}
    if rows:
        found = select(build_steps).where(build_steps.c.build_id.in_(steps)).order_by(build_steps.c.place)
        for row in connection.execute(found):
            steps[row.build_id].append(_step(row))
    return tuple(_build(row, tuple(steps[row.id]), row.manifest_json) for row in rows)


def read_build(connection: Connection, row: Row[Any] | None) -> Build | None:
    return None if row is None else read_builds(connection, [row])[0]


def bare_build(row: Row[Any]) -> Build:
    """A build without its steps and its manifest, which the row need not have."""
    return _build(row, (), None)


def failure_text(failure: Failure | None) -> str | None:
    return None if failure is None else json.dumps(asdict(failure))


def step_values(build_id: str, record: StepRecord) -> dict[str, Any]:
    return {
        "build_id": build_id,
        "place": record.index,
        "title": record.title,
        "phase": record.phase.value,
        "source": record.source,
        "reason": record.reason,
        "state": record.state.value,
        "started_ms": record.started_ms,
        "duration_ms": record.duration_ms,
        "layer": record.layer,
    }


def _build(row: Row[Any], steps: tuple[StepRecord, ...], manifest: str | None) -> Build:
    return Build(
        id=row.id,
        account=row.account,
        ref=Ref(row.namespace, row.name, row.version),
        digest=row.digest,
        attempt=row.attempt,
        epoch=row.epoch,
        state=BuildState(row.state),
        flags=BuildFlags(row.force, row.no_cache, row.refresh, row.keep_on_failure),
        phase=None if row.phase is None else Phase(row.phase),
        step=row.step,
        queued_ms=row.queued_ms,
        started_ms=row.started_ms,
        finished_ms=row.finished_ms,
        reused=row.reused,
        failure=_failure(row.failure_json),
        golden_key=row.golden_key,
        joined_to=row.joined_to,
        cancel_requested=row.cancel_requested,
        steps=steps,
        manifest=None if manifest is None else json.loads(manifest),
    )


def _failure(text: str | None) -> Failure | None:
    if text is None:
        return None
    raw = json.loads(text)
    return Failure(**{**raw, "code": FailureCode(raw["code"]), "last_lines": tuple(raw["last_lines"])})


def _step(row: Row[Any]) -> StepRecord:
    return StepRecord(
        index=row.place,
        title=row.title,
        phase=Phase(row.phase),
        source=row.source,
        reason=row.reason,
        state=StepState(row.state),
        started_ms=row.started_ms,
        duration_ms=row.duration_ms,
        layer=row.layer,
    )
