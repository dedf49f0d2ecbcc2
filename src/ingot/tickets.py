"""Tickets: what a browser puts into an event stream's URL in place of a key.

A ticket is 256 random bits, bound to one key and one ref, and reads that ref's events only. It must be used within five
minutes, and is good for reconnects until it expires. Only its SHA-256 is stored; it dies with its key, and with the
session that made it.
"""

from __future__ import annotations

import secrets

from sqlalchemy import Connection, delete, insert, select, update

from ingot.errors import UnauthenticatedError
from ingot.records.account import Principal, Scope
from ingot.records.ref import Ref
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database
from ingot.storage.tables import api_keys, stream_tickets
from ingot.storage.tokens import hash_token

TICKET_PREFIX = "tkt_"
_FIRST_USE_MS = 5 * 60 * 1000
_LIFE_MS = 4 * 60 * 60 * 1000
_PER_KEY = 1000
_MAX_LENGTH = 128


class Tickets:
    """Safe to call from any task."""

    def __init__(self, db: Database, clock: Clock = now_ms) -> None:
        self._db = db
        self._clock = clock

    async def issue(self, caller: Principal, ref: Ref) -> tuple[str, int]:
        """A new ticket for `ref`, and when it expires (milliseconds since the epoch): no later than the session that
        asks. A key's oldest tickets go when it has a thousand."""
        ticket = TICKET_PREFIX + secrets.token_urlsafe(32)
        now = self._clock()
        expires = min(now + _LIFE_MS, caller.until_ms or now + _LIFE_MS)

        def add(connection: Connection) -> None:
            self._prune(connection, caller.key_id, now)
            row = {
                "hash": hash_token(ticket),
                "key_id": caller.key_id,
                "session": caller.session or None,
                "ref": str(ref),
                "issued_ms": now,
                "expires_ms": expires,
                "used": False,
            }
            connection.execute(insert(stream_tickets).values(row))

        await self._db.run(add)
        return ticket, expires

    async def redeem(self, ticket: str, ref: Ref) -> Principal:
        """Whose ticket this is: a caller who may read. Raises UnauthenticatedError for one that is unknown, expired,
        not used in time, of another ref, or of a key or session that is over."""
        if len(ticket) > _MAX_LENGTH:
            raise _invalid("it is longer than any ticket")
        caller = await self._db.run(lambda connection: self._use(connection, hash_token(ticket), ref))
        if isinstance(caller, str):
            raise _invalid(caller)
        return caller

    def _use(self, connection: Connection, digest: str, ref: Ref) -> Principal | str:
        query = select(stream_tickets, api_keys.c.account, api_keys.c.revoked_ms).join_from(stream_tickets, api_keys)
        row = connection.execute(query.where(stream_tickets.c.hash == digest)).first()
        now = self._clock()
        if row is None or row.ref != str(ref) or row.revoked_ms is not None:
            return "it is unknown here, of another template, or its key or session is over"
        if now >= row.expires_ms:
            return "it has expired"
        if not row.used:
            if now - row.issued_ms > _FIRST_USE_MS:
                return "it was not used within five minutes"
            connection.execute(update(stream_tickets).where(stream_tickets.c.hash == digest).values(used=True))
        return Principal(row.account, row.key_id, frozenset({Scope.READ}), row.session or "")

    def _prune(self, connection: Connection, key_id: str, now: int) -> None:
        connection.execute(delete(stream_tickets).where(stream_tickets.c.expires_ms <= now))
        newest = (
            select(stream_tickets.c.hash)
            .where(stream_tickets.c.key_id == key_id)
            .order_by(stream_tickets.c.issued_ms.desc(), stream_tickets.c.hash)
            .limit(_PER_KEY - 1)
        )
        surplus = (stream_tickets.c.key_id == key_id, stream_tickets.c.hash.not_in(newest))
        connection.execute(delete(stream_tickets).where(*surplus))


def _invalid(why: str) -> UnauthenticatedError:
    return UnauthenticatedError(f"Invalid ticket: {why}", hint="get a new one with POST …/build/events/ticket")
