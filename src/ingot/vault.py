"""Secrets of the accounts, encrypted at rest with a key that lives outside of the database.

Values go in and come out for builds and launches only. A ciphertext fits one row: moved to another account, name
or version it does not decrypt. It redacts nothing and writes no value to any log or error.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from ingot.errors import CorruptStoreError, HostError, NotFoundError, UnprocessableError
from ingot.records.item import SecretEntry
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database
from ingot.storage.key_file import make_key_file, read_key_file
from ingot.storage.tables import secrets

MAX_VALUE_BYTES = 64 * 1024
SECRET_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}[a-z0-9]|[a-z0-9]")

_NONCE_BYTES = 12
_REDACTED_FROM = 4
_COMMON_WORDS = frozenset(
    {"admin", "build", "builder", "change", "debug", "default", "error", "false", "home", "info", "install", "none"}
    | {"localhost", "null", "orgo", "password", "production", "python", "root", "secret", "test", "true", "user"}
    | {"ubuntu", "version", "warning"}
)


class Vault:
    """`start` before anything else. Safe to call from any task."""

    def __init__(self, db: Database, key_file: Path, clock: Clock = now_ms) -> None:
        self._db = db
        self._key_file = key_file
        self._clock = clock
        self._key = b""
        self._key_id = ""

    async def start(self) -> None:
        """Reads the key file, or makes it when the vault is empty. Raises HostError when it cannot be read or made,
        others may read it, or it is not the key that the stored secrets were encrypted with."""
        stored = await self._db.run(_stored_key_ids)
        key = await asyncio.to_thread(read_key_file, self._key_file)
        if key is None:
            if stored:
                raise HostError(
                    f"the vault holds {sum(stored.values())} secrets, but its key file {self._key_file} is missing",
                    hint="put it back from its backup, or name it with INGOT_VAULT_KEY_FILE",
                )
            key = await asyncio.to_thread(make_key_file, self._key_file)
        self._key, self._key_id = key, _derive(key, "key id")[:16]
        if foreign := sum(count for key_id, count in stored.items() if key_id != self._key_id):
            raise HostError(
                f"{self._key_file} is not the key of this vault: {foreign} secrets were encrypted with another one",
                hint="put the right file back from its backup, or name it with INGOT_VAULT_KEY_FILE",
            )

    async def put(self, account: str, name: str, value: str) -> tuple[str, ...]:
        """Keeps a value under a new or known name. Returns warnings, in words, about a value that would blank logs
        or cannot be hidden in them. Raises UnprocessableError, which never shows the value."""
        plain = _check(name, value)

        def store(connection: Connection) -> None:
            row = _row(connection, account, name)
            version = 1 if row is None else row.version + 1
            nonce = os.urandom(_NONCE_BYTES)
            now = self._clock()
            values: dict[str, Any] = {
                "version": version,
                "key_id": self._key_id,
                "nonce": nonce,
                "ciphertext": self._cipher().encrypt(nonce, plain, _bound_to(account, name, version, self._key_id)),
                "updated_ms": now,
            }
            if row is None:
                connection.execute(insert(secrets).values(account=account, name=name, created_ms=now, **values))
            else:
                connection.execute(update(secrets).where(*_is(account, name)).values(values))

        await self._db.run(store)
        return tuple(_warnings(name, value))

    async def names(self, account: str) -> tuple[SecretEntry, ...]:
        """The account's secrets without their values, sorted by name."""
        query = select(secrets).where(secrets.c.account == account).order_by(secrets.c.name)

        def read(connection: Connection) -> tuple[SecretEntry, ...]:
            rows = connection.execute(query)
            return tuple(SecretEntry(row.name, row.created_ms, row.updated_ms) for row in rows)

        return await self._db.run(read)

    async def delete(self, account: str, name: str) -> None:
        """Raises NotFoundError when the account has no such secret."""
        statement = delete(secrets).where(*_is(account, name))
        if await self._db.run(lambda connection: connection.execute(statement).rowcount) == 0:
            raise _missing(name)

    async def reveal(self, account: str, names: Iterable[str]) -> dict[str, str]:
        """The values of those `names` that the account has; what is missing is left out. Raises CorruptStoreError
        for a value that was tampered with."""
        wanted = frozenset(names)
        query = select(secrets).where(secrets.c.account == account, secrets.c.name.in_(wanted))
        rows = await self._db.run(lambda connection: connection.execute(query).all())
        return {row.name: self._decrypt(row) for row in rows}

    async def reveal_all(self, account: str) -> dict[str, str]:
        """Every value of the account: to be redacted from its logs."""
        query = select(secrets).where(secrets.c.account == account).order_by(secrets.c.name)
        rows = await self._db.run(lambda connection: connection.execute(query).all())
        return {row.name: self._decrypt(row) for row in rows}

    async def fingerprint(self, account: str, name: str) -> str:
        """64 hex digits that change with the value and tell nothing of it: an HMAC under a key of the vault, for
        layer keys. Raises NotFoundError."""
        values = await self.reveal(account, (name,))
        if name not in values:
            raise _missing(name)
        return _derive(self._key, "fingerprint", account, values[name])

    def _cipher(self) -> AESGCM:
        if not self._key:
            raise HostError("the vault is not started")
        return AESGCM(self._key)

    def _decrypt(self, row: Row[Any]) -> str:
        bound = _bound_to(row.account, row.name, row.version, row.key_id)
        try:
            return self._cipher().decrypt(row.nonce, row.ciphertext, bound).decode()
        except InvalidTag as error:
            raise CorruptStoreError(
                f"the stored secret {row.name!r} is not what was put in: its row was changed or moved",
                hint="set it again with `ingot secrets set`",
            ) from error


def _stored_key_ids(connection: Connection) -> dict[str, int]:
    rows = connection.execute(select(secrets.c.key_id, func.count().label("total")).group_by(secrets.c.key_id))
    return {row.key_id: row.total for row in rows}


def _row(connection: Connection, account: str, name: str) -> Row[Any] | None:
    return connection.execute(select(secrets).where(*_is(account, name))).first()


def _is(account: str, name: str) -> tuple[Any, Any]:
    return secrets.c.account == account, secrets.c.name == name


def _bound_to(account: str, name: str, version: int, key_id: str) -> bytes:
    """What a ciphertext is authenticated with, unambiguously."""
    return json.dumps([account, name, version, key_id]).encode()


def _derive(key: bytes, *purpose: str) -> str:
    return hmac.new(key, json.dumps(purpose).encode(), hashlib.sha256).hexdigest()


def _missing(name: str) -> NotFoundError:
    return NotFoundError(
        f"the vault has no secret {name!r}", hint=f"set it with `ingot secrets set {name}`", code="secret_not_found"
    )


def _check(name: str, value: str) -> bytes:
    if SECRET_NAME.fullmatch(name) is None:
        raise UnprocessableError(
            f"{name!r} is not a secret's name",
            hint="use lower-case letters, digits, inner dashes and underscores, up to 64",
            code="bad_secret_name",
        )
    try:
        plain = value.encode()
    except UnicodeEncodeError as error:
        raise UnprocessableError(f"the value of {name} is not valid Unicode", code="bad_secret_value") from error
    if not plain or b"\0" in plain:
        what = "is empty" if not plain else "holds a NUL character"
        raise UnprocessableError(f"the value of {name} {what}", code="bad_secret_value")
    if len(plain) > MAX_VALUE_BYTES:
        raise UnprocessableError(
            f"the value of {name} has {len(plain)} bytes; at most {MAX_VALUE_BYTES} fit", code="bad_secret_value"
        )
    return plain


def _warnings(name: str, value: str) -> Iterable[str]:
    """Never quotes the value."""
    text = value.strip()
    if len(text) < _REDACTED_FROM:
        yield f"{name} is shorter than {_REDACTED_FROM} characters and will not be hidden in build logs"
    elif text.lower() in _COMMON_WORDS or len(set(text)) == 1:
        yield f"{name} is a common word: every line of your build logs that contains it will show *** instead"
    elif text.isdigit() and len(text) < 8:
        yield f"{name} is a short number: build logs will show *** wherever these digits occur"
