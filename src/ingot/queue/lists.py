"""What the queue's tables can be asked: functions of a transaction that change nothing."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, exists, func, or_, select

from ingot.queue.rows import UNFINISHED, bare_build, of_ref, read_build, read_builds
from ingot.records.build import Build, BuildState, BuildStatus, Standing
from ingot.records.ref import Ref
from ingot.storage.tables import CURATED_ACCOUNT, builds, templates

_IS_UNFINISHED = builds.c.state.in_(UNFINISHED)
_IS_WAITING = and_(builds.c.state == BuildState.QUEUED.value, ~builds.c.cancel_requested)
_IS_GOLDEN = and_(builds.c.state == BuildState.READY.value, builds.c.golden_key.is_not(None))


def one(connection: Connection, build_id: str) -> Build | None:
    return _first(connection, select(builds).where(builds.c.id == build_id))


def current(connection: Connection, account: str, ref: Ref) -> Build | None:
    return _first(connection, select(builds).where(of_ref(account, ref)).order_by(builds.c.attempt.desc()))


def attempt(connection: Connection, account: str, ref: Ref, number: int) -> Build | None:
    return _first(connection, select(builds).where(of_ref(account, ref), builds.c.attempt == number))


def history(connection: Connection, account: str, ref: Ref, limit: int) -> tuple[Build, ...]:
    query = select(builds).where(of_ref(account, ref)).order_by(builds.c.attempt.desc()).limit(limit)
    return _all(connection, query)


def status(connection: Connection, account: str, ref: Ref, digest: str) -> tuple[BuildStatus, Build | None]:
    """The same answer as `status_of` over the whole history, without reading it."""
    own = and_(of_ref(account, ref), builds.c.digest == digest)
    last = _first(connection, select(builds).where(own).order_by(builds.c.attempt.desc()))
    if last is None:
        return BuildStatus.NOT_BUILT, None
    if connection.scalar(select(exists().where(own, _IS_UNFINISHED))):
        return BuildStatus.BUILDING, last
    if connection.scalar(select(exists().where(own, _IS_GOLDEN))):
        return BuildStatus.READY, last
    return (BuildStatus.FAILED if last.state is BuildState.FAILED else BuildStatus.NOT_BUILT), last


def active(connection: Connection, account: str | None) -> tuple[Build, ...]:
    query = select(builds).where(_IS_UNFINISHED).order_by(builds.c.position)
    return _all(connection, query if account is None else query.where(builds.c.account == account))


def ended(connection: Connection, account: str, limit: int) -> tuple[Build, ...]:
    over = and_(builds.c.account == account, builds.c.finished_ms.is_not(None))
    order = (builds.c.finished_ms.desc(), builds.c.position.desc())
    return _all(connection, select(builds).where(over, ~_IS_UNFINISHED).order_by(*order).limit(limit))


def standings(connection: Connection, account: str) -> dict[tuple[Ref, str], Standing]:
    """The same answers as `status` and `golden_of`, for all that the account can use and has built."""
    places = positions(connection)
    found = {}
    for row in connection.execute(_last_attempts(account)):
        last = bare_build(row)
        if row.under_way:
            status = BuildStatus.BUILDING
        elif row.newest_golden is not None:
            status = BuildStatus.READY
        else:
            status = BuildStatus.FAILED if last.state is BuildState.FAILED else BuildStatus.NOT_BUILT
        found[last.ref, last.digest] = Standing(status, last, row.newest_golden, places.get(last.id))
    return found


def cancels(connection: Connection) -> tuple[Build, ...]:
    query = select(builds).where(_IS_UNFINISHED, builds.c.cancel_requested).order_by(builds.c.position)
    return _all(connection, query)


def queued_before(connection: Connection, deadline_ms: int) -> tuple[Build, ...]:
    waited = and_(builds.c.state == BuildState.QUEUED.value, builds.c.queued_ms < deadline_ms)
    return _all(connection, select(builds).where(waited).order_by(builds.c.position))


def joiners(connection: Connection, build_id: str) -> tuple[Build, ...]:
    joined = and_(builds.c.joined_to == build_id, builds.c.state == BuildState.JOINED.value)
    return _all(connection, select(builds).where(joined).order_by(builds.c.position))


def unfinished(connection: Connection) -> tuple[Build, ...]:
    leader = builds.alias("leader")
    led = exists().where(leader.c.id == builds.c.joined_to, leader.c.state.in_(UNFINISHED))
    left = or_(
        builds.c.state == BuildState.RUNNING.value,
        and_(builds.c.state == BuildState.JOINED.value, ~led),
    )
    return _all(connection, select(builds).where(left).order_by(builds.c.position))


def position(connection: Connection, build_id: str) -> int | None:
    own = connection.scalar(select(builds.c.position).where(builds.c.id == build_id, _IS_WAITING))
    if own is None:
        return None
    return connection.scalar(select(func.count()).select_from(builds).where(_IS_WAITING, builds.c.position <= own))


def positions(connection: Connection) -> dict[str, int]:
    waiting = connection.scalars(select(builds.c.id).where(_IS_WAITING).order_by(builds.c.position))
    return {build_id: place for place, build_id in enumerate(waiting, start=1)}


def golden_of(connection: Connection, digest: str, account: str | None, ref: Ref | None, private: bool) -> str | None:
    query = select(builds.c.golden_key).where(_IS_GOLDEN, builds.c.digest == digest)
    order: list[Any] = [builds.c.position.desc()]
    if account is not None and ref is not None:
        order.insert(0, of_ref(account, ref).desc())
    if private:
        query = query.where(builds.c.account == account)
    return connection.scalar(query.order_by(*order).limit(1))


def needed_goldens(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Goldens to be kept, with who needs each."""
    needed: dict[str, list[str]] = {}
    for row in connection.execute(_published_goldens()):
        needed.setdefault(row.golden_key, []).append(f"{Ref(row.namespace, row.name, row.version)} of {row.account}")
    taken = select(builds).where(_IS_UNFINISHED, builds.c.golden_key.is_not(None)).order_by(builds.c.position)
    for row in connection.execute(taken):
        needed.setdefault(row.golden_key, []).append(f"build {row.id}, which is under way")
    return {key: tuple(why) for key, why in needed.items()}


def _published_goldens() -> Select[Any]:
    """The newest golden of each account's ref, for the content that is published there now."""
    newer = builds.alias("newer")
    same = and_(
        *(newer.c[name] == builds.c[name] for name in ("account", "namespace", "name", "version", "digest")),
        newer.c.state == BuildState.READY.value,
        newer.c.golden_key.is_not(None),
        newer.c.position > builds.c.position,
    )
    return select(builds).where(_IS_GOLDEN, _is_published(), ~exists().where(same)).order_by(builds.c.position)


def _last_attempts(account: str) -> Select[Any]:
    """The last attempt of each content that is published and was built, whether one is `under_way`, and its
    `newest_golden`; without steps and manifests."""
    content = [builds.c[name] for name in ("namespace", "name", "version", "digest")]
    newest_first = builds.c.attempt.desc()
    is_golden = case((_IS_GOLDEN, 0), else_=1)
    columns = [column for column in builds.c if column.name != "manifest_json"]
    place = func.row_number().over(partition_by=content, order_by=newest_first)
    under_way = func.max(case((_IS_UNFINISHED, 1), else_=0)).over(partition_by=content)
    golden = func.first_value(case((_IS_GOLDEN, builds.c.golden_key))).over(
        partition_by=content, order_by=[is_golden, newest_first]
    )
    told = (place.label("place"), under_way.label("under_way"), golden.label("newest_golden"))
    own = select(*columns, *told).where(builds.c.account == account, _is_published()).subquery()
    return select(own).where(own.c.place == 1)


def _is_published() -> ColumnElement[bool]:
    """The condition that a build's content is what its ref shows now."""
    return exists().where(
        *(templates.c[name] == builds.c[name] for name in ("namespace", "name", "version", "digest")),
        templates.c.account.in_((builds.c.account, CURATED_ACCOUNT)),
    )


def _first(connection: Connection, query: Select[Any]) -> Build | None:
    return read_build(connection, connection.execute(query.limit(1)).first())


def _all(connection: Connection, query: Select[Any]) -> tuple[Build, ...]:
    return read_builds(connection, connection.execute(query).all())
