"""Sessions and the codes that open them: one key each, and an end that nothing puts off."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ingot.access import Access
from ingot.errors import UnauthenticatedError
from ingot.records.account import Principal, Scope
from ingot.sessions import Opened, Sessions
from ingot.storage.database import Database
from ingot.storage.tables import api_keys, session_codes, sessions

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class Stage:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = 1_000_000_000
        self.access = Access(db, lambda: self.now)
        self.sessions = Sessions(db, lambda: self.now)

    async def caller(self, *scopes: Scope) -> Principal:
        key, _ = await self.access.create_key("default", "browser", scopes or [Scope.READ])
        return Principal("default", key.id, key.scopes)

    async def opened(self) -> Opened:
        return await self.sessions.open(await self.caller())

    async def is_over(self, opened: Opened) -> bool:
        live = await self.sessions.is_live(opened.caller.session)
        try:
            await self.sessions.authenticate(opened.token)
        except UnauthenticatedError:
            assert not live
            return True
        assert live
        return False

    async def count(self, table: object) -> int:
        return await self.db.run(lambda c: c.scalar(select(func.count()).select_from(table)))  # type: ignore[call-overload]


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Database(tmp_path / "ingot.db") as db:
        yield Stage(db)


async def test_a_session_may_what_its_key_may_and_dies_with_it(stage: Stage) -> None:
    caller = await stage.caller(Scope.READ, Scope.BUILD)
    opened = await stage.sessions.open(caller)
    found = await stage.sessions.authenticate(opened.token)
    assert (found.account, found.key_id, found.scopes) == ("default", caller.key_id, caller.scopes)
    assert found == opened.caller
    await stage.access.revoke_key("default", caller.key_id)
    assert await stage.is_over(opened)
    with pytest.raises(UnauthenticatedError, match="it was revoked"):
        await stage.sessions.open(caller)


async def test_nothing_that_opens_a_session_is_in_the_database(stage: Stage) -> None:
    opened = await stage.opened()
    code, _ = await stage.sessions.issue_code(opened.caller)

    def rows(connection: object) -> str:
        return str([connection.execute(select(table)).all() for table in (sessions, session_codes)])  # type: ignore[attr-defined]

    stored = await stage.db.run(rows)
    assert opened.token not in stored
    assert code not in stored
    assert opened.token not in repr(opened)
    with pytest.raises(UnauthenticatedError):
        await stage.sessions.authenticate(opened.caller.session)


async def test_use_keeps_a_session_and_a_week_without_ends_it(stage: Stage) -> None:
    opened = await stage.opened()
    for _ in range(3):
        stage.now += 6 * DAY
        assert not await stage.is_over(opened)
    stage.now += 7 * DAY
    assert await stage.is_over(opened)


async def test_a_month_ends_it_whatever_is_done(stage: Stage) -> None:
    opened = await stage.opened()
    for _ in range(29):
        stage.now += DAY
        assert not await stage.is_over(opened)
    assert (await stage.sessions.authenticate(opened.token)).until_ms == opened.ends_ms
    stage.now = opened.ends_ms - 1
    assert not await stage.is_over(opened)
    stage.now = opened.ends_ms
    assert await stage.is_over(opened)


async def test_use_is_written_at_most_once_an_hour(stage: Stage) -> None:
    opened = await stage.opened()
    written = stage.db.changes
    for _ in range(59):
        stage.now += MINUTE
        await stage.sessions.authenticate(opened.token)
    assert stage.db.changes == written
    stage.now += MINUTE
    await stage.sessions.authenticate(opened.token)
    assert stage.db.changes > written
    last_used = select(api_keys.c.last_used_ms).where(api_keys.c.id == opened.caller.key_id)
    assert await stage.db.run(lambda connection: connection.scalar(last_used)) == stage.now


async def test_a_session_that_ended_is_gone_and_others_are_not(stage: Stage) -> None:
    first, second = await stage.opened(), await stage.opened()
    await stage.sessions.end(first.token)
    await stage.sessions.end(first.token)
    assert await stage.is_over(first)
    assert not await stage.is_over(second)
    for wrong in ("", "x", first.token + "x", "x" * 5000):
        with pytest.raises(UnauthenticatedError, match="the session is over; sign in again"):
            await stage.sessions.authenticate(wrong)


async def test_a_code_opens_one_session_of_its_key_once(stage: Stage) -> None:
    caller = await stage.caller(Scope.BUILD)
    code, expires = await stage.sessions.issue_code(caller)
    assert expires == stage.now + 10 * MINUTE
    opened = await stage.sessions.open_by_code(code)
    assert (opened.caller.key_id, opened.caller.scopes) == (caller.key_id, caller.scopes)
    assert opened.ends_ms == stage.now + 30 * DAY
    with pytest.raises(UnauthenticatedError, match="Invalid sign-in code"):
        await stage.sessions.open_by_code(code)


async def test_a_code_that_is_late_wrong_or_of_a_revoked_key_opens_nothing(stage: Stage) -> None:
    caller = await stage.caller()
    code, expires = await stage.sessions.issue_code(caller)
    stage.now = expires
    dead, _ = await stage.sessions.issue_code(caller)
    await stage.access.revoke_key("default", caller.key_id)
    for wrong in (code, dead, "code_x", "", "x" * 5000):
        with pytest.raises(UnauthenticatedError, match="get a new one with `ingot console`"):
            await stage.sessions.open_by_code(wrong)
    assert await stage.count(sessions) == 0


async def test_a_session_cannot_prolong_itself_by_codes(stage: Stage) -> None:
    first = await stage.opened()
    stage.now += 5 * DAY
    code, _ = await stage.sessions.issue_code(await stage.sessions.authenticate(first.token))
    second = await stage.sessions.open_by_code(code)
    assert second.ends_ms == first.ends_ms
    unused, _ = await stage.sessions.issue_code(first.caller)
    await stage.sessions.end(first.token)
    with pytest.raises(UnauthenticatedError):
        await stage.sessions.open_by_code(unused)
    assert not await stage.is_over(second)


async def test_what_is_over_and_a_keys_oldest_are_removed(stage: Stage) -> None:
    caller = await stage.caller()
    first = await stage.sessions.open(caller)
    for _ in range(110):
        stage.now += 1
        last = await stage.sessions.open(caller)
        await stage.sessions.issue_code(caller)
    assert await stage.count(sessions) == 100
    assert await stage.count(session_codes) == 100
    assert await stage.is_over(first)
    assert not await stage.is_over(last)
    stage.now += 40 * DAY
    await stage.sessions.open(caller)
    await stage.sessions.issue_code(caller)
    assert await stage.count(sessions) == 1
    assert await stage.count(session_codes) == 1
