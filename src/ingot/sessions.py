"""Sessions: what a browser holds in place of a key, and the codes that open one.

A session's token is 256 random bits, stored as their SHA-256 only. It may do what its key may, dies with it, after 7
days without use, and after 30 days in any case. A code opens one session of the same key, once, within ten minutes; one
that a session made ends with that session, and so does, in time, what it opens: nothing prolongs itself.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, or_, select, update

from ingot.errors import UnauthenticatedError
from ingot.records.account import Principal
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database
from ingot.storage.tables import api_keys, session_codes, sessions
from ingot.storage.tokens import hash_token, parse_scopes

CODE_PREFIX = "code_"

_MINUTE_MS = 60 * 1000
_HOUR_MS = 60 * _MINUTE_MS
_IDLE_MS = 7 * 24 * _HOUR_MS
_LIFE_MS = 30 * 24 * _HOUR_MS
_USED_STEP_MS = _HOUR_MS
_CODE_MS = 10 * _MINUTE_MS
_PER_KEY = 100
_MAX_LENGTH = 128


@dataclass(frozen=True, slots=True)
class Opened:
    """A new session: its token, which nobody can get again, whose it is, and when it ends at the latest."""

    token: str = field(repr=False)
    caller: Principal
    ends_ms: int


class Sessions:
    """Safe to call from any task."""

    def __init__(self, db: Database, clock: Clock = now_ms) -> None:
        self._db = db
        self._clock = clock

    async def open(self, caller: Principal) -> Opened:
        """A new session of the caller's key. A key's least used session goes when it has a hundred. Raises
        UnauthenticatedError for a key that was revoked meanwhile."""
        opened = await self._db.run(lambda connection: self._open(connection, caller.key_id, None))
        if opened is None:
            raise UnauthenticatedError("Invalid API key", hint="it was revoked; ask for a new one")
        return opened

    async def open_by_code(self, code: str) -> Opened:
        """The session that a code stands for; the code is used up. Raises UnauthenticatedError for one that is unknown,
        used, expired, or of a revoked key."""
        opened = None
        if len(code) <= _MAX_LENGTH:
            opened = await self._db.run(lambda connection: self._redeem(connection, hash_token(code)))
        if opened is None:
            raise UnauthenticatedError(
                "Invalid sign-in code: it is unknown here, was used, or is older than ten minutes",
                hint="get a new one with `ingot console`",
            )
        return opened

    async def authenticate(self, token: str) -> Principal:
        """Whose session this is. Raises UnauthenticatedError for one that is unknown or over."""
        row, digest = None, hash_token(token)
        if len(token) <= _MAX_LENGTH:
            row = await self._db.run(lambda connection: _look_up(connection, digest))
        if row is None or self._clock() >= _until(row):
            raise UnauthenticatedError("the session is over", hint="sign in again")
        used = await self._note_use(row)
        until = min(used + _IDLE_MS, row.ends_ms)
        return Principal(row.account, row.key_id, parse_scopes(row.scopes_json), digest, until)

    async def _note_use(self, row: Row[Any]) -> int:
        """When the session was used last, near enough."""
        now = self._clock()
        if now - row.used_ms < _USED_STEP_MS:
            return int(row.used_ms)

        def write(connection: Connection) -> None:
            connection.execute(update(sessions).where(sessions.c.hash == row.hash).values(used_ms=now))
            connection.execute(update(api_keys).where(api_keys.c.id == row.key_id).values(last_used_ms=now))

        await self._db.note(write)
        return now

    async def is_live(self, session: str) -> bool:
        """False once the session is over, or its key revoked: for connections that outlive a request. `session` is
        `Principal.session`."""
        row = await self._db.run(lambda connection: _look_up(connection, session))
        return row is not None and self._clock() < _until(row)

    async def end(self, token: str) -> None:
        """Signs out; nothing happens for a session that is not there. Codes that it made go with it."""
        digest = hash_token(token)
        await self._db.run(lambda connection: connection.execute(delete(sessions).where(sessions.c.hash == digest)))

    async def issue_code(self, caller: Principal) -> tuple[str, int]:
        """A code that opens a session of the caller's key, and when it expires (milliseconds since the epoch)."""
        code, now = CODE_PREFIX + secrets.token_urlsafe(32), self._clock()

        def add(connection: Connection) -> None:
            connection.execute(delete(session_codes).where(session_codes.c.expires_ms <= now))
            _drop_surplus(connection, session_codes, session_codes.c.expires_ms, caller.key_id)
            row = {
                "hash": hash_token(code),
                "key_id": caller.key_id,
                "session": caller.session or None,
                "expires_ms": now + _CODE_MS,
            }
            connection.execute(insert(session_codes).values(row))

        await self._db.run(add)
        return code, now + _CODE_MS

    def _redeem(self, connection: Connection, digest: str) -> Opened | None:
        taken = delete(session_codes).where(session_codes.c.hash == digest).returning(*session_codes.c)
        code = connection.execute(taken).first()
        if code is None or self._clock() >= code.expires_ms:
            return None
        if code.session is None:
            return self._open(connection, code.key_id, None)
        maker = _look_up(connection, code.session)
        if maker is None or self._clock() >= _until(maker):
            return None
        return self._open(connection, code.key_id, maker.ends_ms)

    def _open(self, connection: Connection, key_id: str, ends_ms: int | None) -> Opened | None:
        key = connection.execute(select(api_keys).where(api_keys.c.id == key_id, api_keys.c.revoked_ms.is_(None)))
        if (row := key.first()) is None:
            return None
        token, now = secrets.token_urlsafe(32), self._clock()
        self._prune(connection, key_id, now)
        ends_ms = now + _LIFE_MS if ends_ms is None else ends_ms
        values = {"hash": hash_token(token), "key_id": key_id, "used_ms": now, "ends_ms": ends_ms}
        connection.execute(insert(sessions).values(values))
        scopes, until = parse_scopes(row.scopes_json), min(now + _IDLE_MS, ends_ms)
        return Opened(token, Principal(row.account, key_id, scopes, hash_token(token), until), ends_ms)

    def _prune(self, connection: Connection, key_id: str, now: int) -> None:
        over = or_(sessions.c.ends_ms <= now, sessions.c.used_ms <= now - _IDLE_MS)
        connection.execute(delete(sessions).where(over))
        _drop_surplus(connection, sessions, sessions.c.used_ms, key_id)


def _look_up(connection: Connection, digest: str) -> Row[Any] | None:
    """The session with its key, None when it is not there or its key was revoked. It may be over."""
    query = select(sessions, api_keys.c.account, api_keys.c.scopes_json).join_from(sessions, api_keys)
    return connection.execute(query.where(sessions.c.hash == digest, api_keys.c.revoked_ms.is_(None))).first()


def _until(row: Row[Any]) -> int:
    return int(min(row.used_ms + _IDLE_MS, row.ends_ms))


def _drop_surplus(connection: Connection, table: Any, age: Any, key_id: str) -> None:
    """Makes room for one more of the key's rows."""
    own = table.c.key_id == key_id
    newest = select(table.c.hash).where(own).order_by(age.desc(), table.c.hash).limit(_PER_KEY - 1)
    connection.execute(delete(table).where(own, table.c.hash.not_in(newest)))
