"""How an attempt comes to be and who holds it: functions of a transaction."""

from __future__ import annotations

import dataclasses
import secrets
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, func, insert, select, update

from ingot.errors import CapacityError
from ingot.queue import lists
from ingot.queue.rows import UNFINISHED, of_ref, read_build
from ingot.records.build import Build, BuildFlags, BuildState
from ingot.records.event import Phase
from ingot.records.ref import Ref
from ingot.storage.tables import builds

_WAITING = (BuildState.QUEUED.value, BuildState.JOINED.value)
_RETRY_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `BuildQueue.enqueue` was asked for. `now` is milliseconds since the epoch."""

    account: str
    ref: Ref
    digest: str
    flags: BuildFlags
    golden: str | None
    private: bool
    now: int

    @property
    def takes_golden(self) -> bool:
        """True when a golden that is there already will do."""
        return self.golden is not None and self.flags.takes_golden


@dataclass(frozen=True, slots=True)
class WaitingLimits:
    total: int
    account: int


def enqueue(connection: Connection, wanted: Wanted, limits: WaitingLimits) -> Build:
    last = lists.current(connection, wanted.account, wanted.ref)
    if last is not None and last.digest == wanted.digest:
        if not last.state.is_over and not last.cancel_requested:
            return last
        if last.state is BuildState.READY and wanted.takes_golden and last.golden_key == wanted.golden:
            return dataclasses.replace(last, reused=True)
    if wanted.takes_golden:
        return _add(
            connection, wanted, state=BuildState.RUNNING, epoch=1, started_ms=wanted.now,
            reused=True, golden_key=wanted.golden,
        )  # fmt: skip
    _check_room(connection, wanted.account, limits)
    leader = _leader(connection, wanted)
    if leader is not None:
        return _add(connection, wanted, state=BuildState.JOINED, joined_to=leader)
    return _add(connection, wanted, state=BuildState.QUEUED)


def request_cancel(connection: Connection, account: str, ref: Ref) -> Build | None:
    running = and_(of_ref(account, ref), builds.c.state.in_(UNFINISHED), ~builds.c.sealed)
    query = select(builds.c.id).where(running).order_by(builds.c.attempt.desc()).limit(1)
    newest = connection.scalar(query)
    if newest is None:
        return None
    connection.execute(update(builds).where(running).values(cancel_requested=True))
    return lists.one(connection, newest)


def claim(connection: Connection, at_once: int, account_at_once: int, now: int) -> Build | None:
    """One statement: picks the first build that may start and bumps its epoch."""
    running = builds.alias("running")
    holds_machine = and_(running.c.state == BuildState.RUNNING.value, ~running.c.reused)
    total = select(func.count()).select_from(running).where(holds_machine).scalar_subquery()
    waiting = builds.alias("waiting")
    own = (
        select(func.count())
        .select_from(running)
        .where(holds_machine, running.c.account == waiting.c.account)
        .scalar_subquery()
    )
    first = (
        select(waiting.c.position)
        .where(waiting.c.state == BuildState.QUEUED.value, ~waiting.c.cancel_requested)
        .where(total < at_once, own < account_at_once)
        .order_by(waiting.c.position)
        .limit(1)
        .scalar_subquery()
    )
    taken = (
        update(builds)
        .where(builds.c.position == first, builds.c.state == BuildState.QUEUED.value)
        .values(state=BuildState.RUNNING.value, epoch=builds.c.epoch + 1, started_ms=now)
        .returning(*builds.c)
    )
    return read_build(connection, connection.execute(taken).first())


def reclaim(connection: Connection, build_id: str) -> Build | None:
    """None when the attempt is over or unknown."""
    taken = (
        update(builds)
        .where(builds.c.id == build_id, builds.c.state.in_(UNFINISHED))
        .values(epoch=builds.c.epoch + 1, sealed=False)
    )
    if connection.execute(taken).rowcount == 0:
        return None
    queued = and_(builds.c.id == build_id, builds.c.state == BuildState.QUEUED.value)
    connection.execute(update(builds).where(queued).values(state=BuildState.RUNNING.value))
    return lists.one(connection, build_id)


def _check_room(connection: Connection, account: str, limits: WaitingLimits) -> None:
    waiting = select(func.count()).select_from(builds).where(builds.c.state.in_(_WAITING), ~builds.c.cancel_requested)
    if (total := connection.scalar(waiting) or 0) >= limits.total:
        raise CapacityError(
            f"the build queue is full: {total} builds wait", retry_after=_RETRY_SECONDS, code="queue_full"
        )
    own = connection.scalar(waiting.where(builds.c.account == account)) or 0
    if own >= limits.account:
        raise CapacityError(
            f"{own} builds of this account wait already, which is its limit",
            retry_after=_RETRY_SECONDS,
            code="quota_full",
        )


def _leader(connection: Connection, wanted: Wanted) -> str | None:
    """A build of the same content that this one can wait for: one that heeds at least the same flags. Who wants to
    look into the machine of a step that fails needs a machine of his own."""
    if wanted.flags.keep_on_failure:
        return None
    query = select(builds.c.id).where(
        builds.c.digest == wanted.digest,
        builds.c.state.in_((BuildState.QUEUED.value, BuildState.RUNNING.value)),
        ~builds.c.cancel_requested,
        ~builds.c.reused,
    )
    if wanted.flags.no_cache:
        query = query.where(builds.c.no_cache)
    if wanted.flags.refresh:
        query = query.where(builds.c.refresh)
    if wanted.private:
        query = query.where(builds.c.account == wanted.account)
    return connection.scalar(query.order_by(builds.c.position).limit(1))


def _add(connection: Connection, wanted: Wanted, *, state: BuildState, epoch: int = 0, **given: Any) -> Build:
    of_this = of_ref(wanted.account, wanted.ref)
    last = connection.scalar(select(func.max(builds.c.attempt)).where(of_this)) or 0
    values = {
        "id": secrets.token_hex(8),
        "account": wanted.account,
        "namespace": wanted.ref.namespace,
        "name": wanted.ref.name,
        "version": wanted.ref.version,
        "digest": wanted.digest,
        "attempt": last + 1,
        "epoch": epoch,
        "state": state.value,
        "force": wanted.flags.force,
        "no_cache": wanted.flags.no_cache,
        "refresh": wanted.flags.refresh,
        "keep_on_failure": wanted.flags.keep_on_failure,
        "phase": Phase.PUBLISH.value,
        "queued_ms": wanted.now,
        "reused": False,
        "cancel_requested": False,
        "sealed": False,
        **given,
    }
    row = connection.execute(insert(builds).values(values).returning(*builds.c)).one()
    build = read_build(connection, row)
    assert build is not None
    return build
