"""API keys: who gets in, who does not, and what the refused are told."""

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from ingot.access import Access, looks_mistyped, make_token
from ingot.errors import NotFoundError, SettingsError, UnauthenticatedError, UnprocessableError
from ingot.records.account import Scope
from ingot.storage.database import Database
from ingot.storage.tables import api_keys


class Time:
    """A clock that stands still until it is moved. Milliseconds."""

    def __init__(self) -> None:
        self.now = 1_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "ingot.db") as db:
        yield db


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def access(db: Database, time: Time) -> Access:
    return Access(db, time)


async def test_the_first_start_makes_a_key_with_every_right(access: Access) -> None:
    token = await access.bootstrap()
    assert token is not None
    assert token.startswith("sk_live_")
    principal = await access.authenticate(token)
    assert principal.account == "default"
    assert all(principal.may(scope) for scope in Scope)


async def test_the_next_start_makes_none(access: Access) -> None:
    assert await access.bootstrap() is not None
    assert await access.bootstrap() is None


async def test_a_server_whose_keys_are_all_revoked_can_be_entered_again(access: Access) -> None:
    await access.bootstrap()
    (key,) = await access.list_keys("default")
    await access.revoke_key("default", key.id)
    assert await access.bootstrap() is not None


async def test_a_given_first_key_is_adopted_once(access: Access) -> None:
    assert await access.bootstrap("correct-horse-battery") == "correct-horse-battery"
    assert await access.bootstrap("correct-horse-battery") is None
    assert (await access.authenticate("correct-horse-battery")).account == "default"
    assert len(await access.list_keys("default")) == 1


async def test_another_first_key_is_adopted_beside_the_old_one(access: Access) -> None:
    await access.bootstrap("correct-horse-battery")
    assert await access.bootstrap("another-horse-battery") is not None
    await access.authenticate("correct-horse-battery")
    await access.authenticate("another-horse-battery")


async def test_a_revoked_first_key_does_not_come_back(access: Access) -> None:
    await access.bootstrap("correct-horse-battery")
    (key,) = await access.list_keys("default")
    await access.revoke_key("default", key.id)
    assert await access.bootstrap("correct-horse-battery") is None
    with pytest.raises(UnauthenticatedError, match="it was revoked"):
        await access.authenticate("correct-horse-battery")


@pytest.mark.parametrize(
    ("key", "words"),
    [("too-short", "has 9 characters; give it 16 to 512"), ("with a blank in the middle", "cannot travel in an HTTP")],
)
async def test_a_first_key_that_cannot_be_one_is_explained(access: Access, key: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        await access.bootstrap(key)


@pytest.mark.parametrize("token", [None, ""])
async def test_no_key_is_told_how_to_send_one(access: Access, token: str | None) -> None:
    with pytest.raises(UnauthenticatedError, match=r"^Missing API key; send the header `Authorization: Bearer sk_live"):
        await access.authenticate(token)


async def test_an_unknown_key_is_refused(access: Access) -> None:
    with pytest.raises(UnauthenticatedError, match=r"^Invalid API key; this server does not know it"):
        await access.authenticate(make_token())


async def test_a_mistyped_key_is_told_so(access: Access) -> None:
    token = await access.bootstrap()
    assert token is not None
    with pytest.raises(UnauthenticatedError, match=r"^Invalid API key; it looks mistyped or cut off"):
        await access.authenticate(token[:-1])


@pytest.mark.parametrize("token", ["x" * 100_000, "sk_live_\udcff", "sk_live_", "*", "' OR 1=1 --"])
async def test_nonsense_is_an_invalid_key_and_nothing_worse(access: Access, token: str) -> None:
    with pytest.raises(UnauthenticatedError, match=r"^Invalid API key"):
        await access.authenticate(token)


async def test_a_key_can_do_what_its_scopes_say(access: Access) -> None:
    key, token = await access.create_key("acme", "ci", [Scope.READ, "build"])
    principal = await access.authenticate(token)
    assert principal.account == "acme"
    assert principal.key_id == key.id
    assert {scope for scope in Scope if principal.may(scope)} == {Scope.READ, Scope.BUILD}


async def test_keys_are_listed_without_what_opens_the_door(access: Access, time: Time) -> None:
    _, token = await access.create_key("acme", "ci", [Scope.READ])
    time.now += 1
    await access.create_key("acme", "laptop", [Scope.ADMIN])
    keys = await access.list_keys("acme")
    assert [key.name for key in keys] == ["ci", "laptop"]
    assert keys[0].prefix == token[:12]
    assert token not in repr(keys)
    assert await access.list_keys("other") == ()


async def test_the_database_holds_hashes_only(access: Access, db: Database, tmp_path: Path) -> None:
    _, token = await access.create_key("acme", "ci", [Scope.READ])
    stored = await db.run(lambda connection: connection.scalar(select(api_keys.c.hash)))
    assert stored == hashlib.sha256(token.encode()).hexdigest()
    await db.aclose()
    assert all(token.encode() not in file.read_bytes() for file in tmp_path.iterdir())


async def test_a_revoked_key_stops_at_once(access: Access) -> None:
    key, token = await access.create_key("acme", "ci", [Scope.READ])
    assert await access.is_live(key.id)
    revoked = await access.revoke_key("acme", key.id)
    assert revoked.revoked_ms is not None
    assert not await access.is_live(key.id)
    with pytest.raises(UnauthenticatedError, match="it was revoked; ask for a new one"):
        await access.authenticate(token)


async def test_revoking_twice_keeps_the_first_time(access: Access, time: Time) -> None:
    key, _ = await access.create_key("acme", "ci", [Scope.READ])
    first = await access.revoke_key("acme", key.id)
    time.now += 5
    assert await access.revoke_key("acme", key.id) == first


async def test_another_accounts_key_is_not_there(access: Access) -> None:
    key, token = await access.create_key("acme", "ci", [Scope.READ])
    with pytest.raises(NotFoundError, match=f"there is no key {key.id}"):
        await access.revoke_key("other", key.id)
    await access.authenticate(token)


async def test_the_last_use_is_noted_at_most_once_a_minute(access: Access, time: Time) -> None:
    _, token = await access.create_key("acme", "ci", [Scope.READ])
    seen = []
    for step in (0, 59_999, 1):
        time.now += step
        await access.authenticate(token)
        seen.append((await access.list_keys("acme"))[0].last_used_ms)
    assert seen == [1_000_000, 1_000_000, 1_060_000]


@pytest.mark.parametrize(
    ("account", "name", "scopes", "words"),
    [
        ("Acme", "ci", ["read"], "'Acme' cannot be an account; use lower-case letters"),
        ("system", "ci", ["read"], "'system' cannot be an account"),
        ("acme", " ", ["read"], "a key needs a name of 1 to 100 printable characters"),
        ("acme", "x" * 101, ["read"], "a key needs a name of 1 to 100"),
        ("acme", "ci", [], "a key needs a scope; scopes are read, publish, build, launch, admin"),
        ("acme", "ci", ["root"], "'root' is not a valid Scope; scopes are read"),
    ],
)
async def test_a_key_that_cannot_be_made_is_explained(
    access: Access, account: str, name: str, scopes: list[str], words: str
) -> None:
    with pytest.raises(UnprocessableError, match=words):
        await access.create_key(account, name, scopes)


def test_keys_are_random_and_carry_their_checksum() -> None:
    tokens = {make_token() for _ in range(200)}
    assert len(tokens) == 200
    assert {len(token) for token in tokens} == {57}
    assert not any(looks_mistyped(token) for token in tokens)
    assert all(looks_mistyped(token[:-1] + "!") for token in tokens)
