"""Accounts and their API keys: who is calling, and what that key may do.

Keys are 256 random bits behind `sk_live_`, and are stored as their SHA-256 only: what is in the database opens
nothing. It decides no permission beyond the key's scopes, and knows nothing of HTTP.
"""

from __future__ import annotations

import hmac
import json
import secrets
import zlib
from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, Row, exists, insert, select, update

from ingot.errors import NotFoundError, SettingsError, UnauthenticatedError, UnprocessableError
from ingot.records.account import ApiKey, Principal, Scope
from ingot.records.ref import is_name
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database
from ingot.storage.tables import CURATED_ACCOUNT, accounts, api_keys
from ingot.storage.tokens import hash_token, parse_scopes

DEFAULT_ACCOUNT = "default"
KEY_PREFIX = "sk_live_"

_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 43  # base62 digits that hold 256 bits
_CHECKSUM_LENGTH = 6
_SHOWN_LENGTH = len(KEY_PREFIX) + 4
_MIN_ADOPTED_LENGTH = 16
_MAX_TOKEN_LENGTH = 512
_MAX_KEY_NAME_LENGTH = 100
_LAST_USED_STEP_MS = 60_000


class Access:
    """Safe to call from any task."""

    def __init__(self, db: Database, clock: Clock = now_ms) -> None:
        self._db = db
        self._clock = clock

    async def bootstrap(self, first_key: str = "") -> str | None:
        """Makes sure that somebody can get in; idempotent.

        A `first_key` (at least 16 characters) that this server has never seen becomes a key of the account
        `default` with every right. Without one, a key is made when none is live. Returns the plaintext when a key
        was made or adopted, None otherwise. Raises SettingsError for a first key that cannot be one.
        """
        if first_key:
            _check_adopted(first_key)
        plaintext = first_key or make_token()

        def add(connection: Connection) -> str | None:
            if first_key:
                known = exists().where(api_keys.c.hash == hash_token(first_key))
            else:
                known = exists().where(api_keys.c.revoked_ms.is_(None))
            if connection.scalar(select(known)):
                return None
            self._add(connection, DEFAULT_ACCOUNT, "first key", frozenset({Scope.ADMIN}), plaintext)
            return plaintext

        return await self._db.run(add)

    async def authenticate(self, token: str | None) -> Principal:
        """Whose key this is. Raises UnauthenticatedError for no key and for one that is unknown or revoked."""
        if not token:
            raise UnauthenticatedError(
                "Missing API key", hint="send the header `Authorization: Bearer sk_live_…` with a key of this server"
            )
        if len(token) > _MAX_TOKEN_LENGTH:
            raise UnauthenticatedError("Invalid API key", hint="it is longer than any key of this server")
        digest = hash_token(token)
        query = select(api_keys).where(api_keys.c.hash == digest)
        row = await self._db.run(lambda connection: connection.execute(query).first())
        if row is None or not hmac.compare_digest(row.hash, digest) or row.revoked_ms is not None:
            raise UnauthenticatedError("Invalid API key", hint=_why_invalid(token, row))
        await self._note_use(row)
        return Principal(row.account, row.id, parse_scopes(row.scopes_json))

    async def _note_use(self, row: Row[Any]) -> None:
        now = self._clock()
        if row.last_used_ms is None or now - row.last_used_ms >= _LAST_USED_STEP_MS:
            used = update(api_keys).where(api_keys.c.id == row.id).values(last_used_ms=now)
            await self._db.note(lambda connection: connection.execute(used))

    async def is_live(self, key_id: str) -> bool:
        """False once the key is revoked: for connections that outlive a request."""
        live = exists().where(api_keys.c.id == key_id, api_keys.c.revoked_ms.is_(None))
        return bool(await self._db.run(lambda connection: connection.scalar(select(live))))

    async def get_key(self, key_id: str) -> ApiKey:
        """A key as it can be shown, also a revoked one. Raises NotFoundError."""
        query = select(api_keys).where(api_keys.c.id == key_id)
        row = await self._db.run(lambda connection: connection.execute(query).first())
        if row is None:
            raise NotFoundError(f"there is no key {key_id}", hint="`ingot keys ls` lists the keys of the account")
        return _key(row)

    async def create_key(self, account: str, name: str, scopes: Iterable[Scope | str]) -> tuple[ApiKey, str]:
        """A new key and its plaintext, which nobody can get again. A new account comes to be with its first key.
        Raises UnprocessableError for a name, account or scopes that cannot be used."""
        wanted = _check_new_key(account, name, scopes)
        plaintext = make_token()
        key = await self._db.run(lambda connection: self._add(connection, account, name.strip(), wanted, plaintext))
        return key, plaintext

    async def list_keys(self, account: str) -> tuple[ApiKey, ...]:
        """The account's keys, revoked ones too, oldest first."""
        query = select(api_keys).where(api_keys.c.account == account).order_by(api_keys.c.created_ms, api_keys.c.id)
        return await self._db.run(lambda connection: tuple(_key(row) for row in connection.execute(query)))

    async def revoke_key(self, account: str, key_id: str) -> ApiKey:
        """Ends a key at once; revoking it again changes nothing. Raises NotFoundError for a key that is not the
        account's."""

        def revoke(connection: Connection) -> ApiKey:
            own = (api_keys.c.id == key_id, api_keys.c.account == account)
            live = update(api_keys).where(*own, api_keys.c.revoked_ms.is_(None))
            connection.execute(live.values(revoked_ms=self._clock()))
            row = connection.execute(select(api_keys).where(*own)).first()
            if row is None:
                raise NotFoundError(f"there is no key {key_id}", hint="`ingot keys ls` lists the keys of the account")
            return _key(row)

        return await self._db.run(revoke)

    def _add(self, connection: Connection, account: str, name: str, scopes: frozenset[Scope], plaintext: str) -> ApiKey:
        now = self._clock()
        if not connection.scalar(select(exists().where(accounts.c.name == account))):
            connection.execute(insert(accounts).values(name=account, created_ms=now))
        values = {
            "id": secrets.token_hex(8),
            "account": account,
            "name": name,
            "prefix": plaintext[:_SHOWN_LENGTH] if plaintext.startswith(KEY_PREFIX) else plaintext[:4],
            "hash": hash_token(plaintext),
            "scopes_json": json.dumps(sorted(scopes)),
            "created_ms": now,
        }
        return _key(connection.execute(insert(api_keys).values(values).returning(*api_keys.c)).one())


def make_token() -> str:
    """A new key: `sk_live_`, 43 base62 digits of 256 random bits, 6 of their CRC-32 (to spot a mistyped one)."""
    body = _base62(secrets.randbits(256), _SECRET_LENGTH)
    return KEY_PREFIX + body + _checksum(body)


def looks_mistyped(token: str) -> bool:
    """True when the token's own checksum does not fit. Advice only: the look-up decides."""
    body = token.removeprefix(KEY_PREFIX)
    return not token.startswith(KEY_PREFIX) or body[-_CHECKSUM_LENGTH:] != _checksum(body[:-_CHECKSUM_LENGTH])


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _why_invalid(token: str, row: Row[Any] | None) -> str:
    if row is not None:
        return "it was revoked; ask for a new one"
    if looks_mistyped(token):
        return "it looks mistyped or cut off"
    return "this server does not know it; is it a key of another server?"


def _check_adopted(first_key: str) -> None:
    if not _MIN_ADOPTED_LENGTH <= len(first_key) <= _MAX_TOKEN_LENGTH:
        raise SettingsError(
            f"the bootstrap key has {len(first_key)} characters",
            hint=f"give it {_MIN_ADOPTED_LENGTH} to {_MAX_TOKEN_LENGTH}, or leave it out to have one made",
        )
    if not first_key.isascii() or not first_key.isprintable() or " " in first_key:
        raise SettingsError(
            "the bootstrap key cannot travel in an HTTP header", hint="use printable ASCII characters without blanks"
        )


def _check_new_key(account: str, name: str, scopes: Iterable[Scope | str]) -> frozenset[Scope]:
    if not is_name(account) or account == CURATED_ACCOUNT:
        raise UnprocessableError(
            f"{account!r} cannot be an account", hint="use lower-case letters, digits and inner dashes"
        )
    if not name.strip() or len(name) > _MAX_KEY_NAME_LENGTH or not name.isprintable():
        raise UnprocessableError("a key needs a name of 1 to 100 printable characters", code="bad_key_name")
    known = ", ".join(Scope)
    try:
        wanted = frozenset(Scope(scope) for scope in scopes)
    except ValueError as error:
        raise UnprocessableError(str(error), hint=f"scopes are {known}", code="bad_scope") from error
    if not wanted:
        raise UnprocessableError("a key needs a scope", hint=f"scopes are {known}", code="bad_scope")
    return wanted


def _key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        account=row.account,
        name=row.name,
        prefix=row.prefix,
        scopes=parse_scopes(row.scopes_json),
        created_ms=row.created_ms,
        last_used_ms=row.last_used_ms,
        revoked_ms=row.revoked_ms,
    )
