"""Tickets: one ref, one key, used in time, until they expire."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from ingot.access import Access
from ingot.errors import UnauthenticatedError
from ingot.records.account import Principal, Scope
from ingot.records.ref import Ref
from ingot.sessions import Sessions
from ingot.storage.database import Database
from ingot.storage.tables import stream_tickets
from ingot.tickets import Tickets

REF = Ref("default", "demo", "1.0.0")


class Stage:
    def __init__(self, db: Database) -> None:
        self.db = db
        self.now = 1_000_000
        self.access = Access(db)
        self.tickets = Tickets(db, lambda: self.now)

    async def caller(self) -> Principal:
        key, _ = await self.access.create_key("default", "viewer", [Scope.ADMIN])
        return Principal("default", key.id, key.scopes)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Database(tmp_path / "ingot.db") as db:
        yield Stage(db)


async def test_a_ticket_reads_and_nothing_else_until_it_expires(stage: Stage) -> None:
    caller = await stage.caller()
    ticket, expires = await stage.tickets.issue(caller, REF)
    assert ticket.startswith("tkt_")
    assert await stage.tickets.redeem(ticket, REF) == Principal("default", caller.key_id, frozenset({Scope.READ}))
    stage.now = expires - 1
    await stage.tickets.redeem(ticket, REF)
    stage.now = expires
    with pytest.raises(UnauthenticatedError, match="it has expired"):
        await stage.tickets.redeem(ticket, REF)


async def test_a_ticket_must_be_used_within_five_minutes(stage: Stage) -> None:
    ticket, _ = await stage.tickets.issue(await stage.caller(), REF)
    stage.now += 5 * 60 * 1000 + 1
    with pytest.raises(UnauthenticatedError, match="not used within five minutes"):
        await stage.tickets.redeem(ticket, REF)


async def test_another_ref_another_text_or_a_revoked_key_open_nothing(stage: Stage) -> None:
    caller = await stage.caller()
    ticket, _ = await stage.tickets.issue(caller, REF)
    for text, ref in ((ticket, Ref("default", "demo", "1.0.1")), (ticket + "x", REF), ("t" * 500, REF)):
        with pytest.raises(UnauthenticatedError, match="Invalid ticket"):
            await stage.tickets.redeem(text, ref)
    await stage.access.revoke_key("default", caller.key_id)
    with pytest.raises(UnauthenticatedError, match="its key or session is over"):
        await stage.tickets.redeem(ticket, REF)


async def test_a_ticket_that_a_session_made_is_the_sessions_and_goes_with_it(stage: Stage) -> None:
    sessions = Sessions(stage.db, lambda: stage.now)
    opened = await sessions.open(await stage.caller())
    ticket, _ = await stage.tickets.issue(opened.caller, REF)
    assert (await stage.tickets.redeem(ticket, REF)).session == opened.caller.session
    stage.now = opened.ends_ms - 1000
    _, expires = await stage.tickets.issue(replace(opened.caller, until_ms=opened.ends_ms), REF)
    assert expires == opened.ends_ms
    stage.now = 1_000_000
    again, _ = await stage.tickets.issue(opened.caller, REF)
    await sessions.end(opened.token)
    with pytest.raises(UnauthenticatedError, match="its key or session is over"):
        await stage.tickets.redeem(again, REF)


async def test_expired_tickets_and_a_keys_oldest_go(stage: Stage) -> None:
    caller = await stage.caller()
    first, _ = await stage.tickets.issue(caller, REF)
    for _ in range(1000):
        stage.now += 1
        last, expires = await stage.tickets.issue(caller, REF)
    count = select(func.count()).select_from(stream_tickets)
    assert await stage.db.run(lambda connection: connection.scalar(count)) == 1000
    await stage.tickets.redeem(last, REF)
    with pytest.raises(UnauthenticatedError):
        await stage.tickets.redeem(first, REF)
    stage.now = expires
    await stage.tickets.issue(caller, REF)
    assert await stage.db.run(lambda connection: connection.scalar(count)) == 1
