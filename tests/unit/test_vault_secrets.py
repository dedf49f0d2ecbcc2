"""The vault: what goes in comes out for its account alone, and nothing readable lies on the disk."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import update

from ingot.errors import CorruptStoreError, HostError, NotFoundError, UnprocessableError
from ingot.storage.database import Database
from ingot.storage.tables import secrets
from ingot.vault import Vault

CANARY = "canary-7f3a-value"


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "data" / "ingot.db") as db:
        yield db


@pytest.fixture
async def vault(db: Database, tmp_path: Path) -> Vault:
    vault = Vault(db, tmp_path / "keys" / "vault.key")
    await vault.start()
    return vault


async def test_values_come_out_for_their_account(vault: Vault) -> None:
    await vault.put("acme", "api-key", CANARY)
    await vault.put("acme", "token", "second-value")
    await vault.put("other", "api-key", "not for acme")
    assert await vault.reveal("acme", ["api-key", "missing"]) == {"api-key": CANARY}
    assert await vault.reveal_all("acme") == {"api-key": CANARY, "token": "second-value"}
    assert await vault.reveal("nobody", ["api-key"]) == {}
    assert await vault.reveal("acme", []) == {}


async def test_a_value_can_be_replaced(vault: Vault) -> None:
    await vault.put("acme", "api-key", "first-value")
    await vault.put("acme", "api-key", CANARY)
    assert await vault.reveal_all("acme") == {"api-key": CANARY}
    (entry,) = await vault.names("acme")
    assert entry.name == "api-key"
    assert entry.updated_ms >= entry.created_ms


async def test_names_are_sorted_and_without_values(vault: Vault) -> None:
    for name in ("zeta", "alpha"):
        await vault.put("acme", name, CANARY)
    entries = await vault.names("acme")
    assert [entry.name for entry in entries] == ["alpha", "zeta"]
    assert CANARY not in repr(entries)


async def test_a_deleted_secret_is_gone(vault: Vault) -> None:
    await vault.put("acme", "api-key", CANARY)
    with pytest.raises(NotFoundError, match="the vault has no secret 'api-key'"):
        await vault.delete("other", "api-key")
    await vault.delete("acme", "api-key")
    assert await vault.reveal_all("acme") == {}
    with pytest.raises(NotFoundError, match="set it with `ingot secrets set api-key`"):
        await vault.delete("acme", "api-key")


async def test_no_file_holds_a_value(vault: Vault, db: Database, tmp_path: Path) -> None:
    await vault.put("acme", "api-key", CANARY)
    await db.aclose()
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) >= 2
    assert all(CANARY.encode() not in file.read_bytes() for file in files)


async def test_values_survive_a_restart(db: Database, tmp_path: Path, vault: Vault) -> None:
    await vault.put("acme", "api-key", CANARY)
    again = Vault(db, tmp_path / "keys" / "vault.key")
    await again.start()
    assert await again.reveal_all("acme") == {"api-key": CANARY}
    assert await again.fingerprint("acme", "api-key") == await vault.fingerprint("acme", "api-key")


@pytest.mark.parametrize("moved", [{"account": "mallory"}, {"name": "other"}, {"version": 2}])
async def test_a_ciphertext_fits_its_own_row_only(vault: Vault, db: Database, moved: dict[str, object]) -> None:
    await vault.put("acme", "api-key", CANARY)
    await db.run(lambda connection: connection.execute(update(secrets).values(moved)).rowcount)
    with pytest.raises(CorruptStoreError, match="is not what was put in: its row was changed or moved; set it again"):
        await vault.reveal_all(str(moved.get("account", "acme")))


async def test_a_fingerprint_tells_values_apart_and_nothing_else(vault: Vault) -> None:
    await vault.put("acme", "a", CANARY)
    await vault.put("acme", "b", CANARY)
    await vault.put("other", "a", CANARY)
    first = await vault.fingerprint("acme", "a")
    assert len(first) == 64
    assert await vault.fingerprint("acme", "b") == first
    assert await vault.fingerprint("other", "a") != first
    await vault.put("acme", "a", CANARY + "2")
    assert await vault.fingerprint("acme", "a") != first
    with pytest.raises(NotFoundError, match="the vault has no secret 'c'"):
        await vault.fingerprint("acme", "c")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("true", "is a common word"),
        ("Root", "is a common word"),
        ("xxxxxxx", "is a common word"),
        ("12345", "is a short number"),
        ("abc", "will not be hidden in build logs"),
    ],
)
async def test_a_value_that_blanks_logs_warns_without_showing_it(vault: Vault, value: str, words: str) -> None:
    (warning,) = await vault.put("acme", "api-key", value)
    assert words in warning
    assert f" {value}" not in warning


async def test_an_ordinary_value_warns_of_nothing(vault: Vault) -> None:
    assert await vault.put("acme", "api-key", CANARY) == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("API_KEY", CANARY, "'API_KEY' is not a secret's name; use lower-case letters"),
        ("-x", CANARY, "is not a secret's name"),
        ("api-key", "", "the value of api-key is empty"),
        ("api-key", CANARY + "\0", "the value of api-key holds a NUL character"),
        ("api-key", CANARY + "\ud800", "the value of api-key is not valid Unicode"),
        ("api-key", CANARY * 5000, "has 85000 bytes; at most 65536 fit"),
    ],
)
async def test_what_cannot_be_kept_is_explained_without_showing_it(
    vault: Vault, name: str, value: str, words: str
) -> None:
    with pytest.raises(UnprocessableError, match=words) as caught:
        await vault.put("acme", name, value)
    assert CANARY not in str(caught.value)


async def test_the_key_file_is_for_its_owner_alone(vault: Vault, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "vault.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [file.name for file in path.parent.iterdir()] == ["vault.key"]


async def test_a_key_file_that_others_can_read_is_refused(vault: Vault, db: Database, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "vault.key"
    path.chmod(0o640)
    with pytest.raises(HostError, match=r"vault\.key can be read by others \(mode 0640\); chmod 600 "):
        await Vault(db, path).start()


async def test_a_lost_key_file_is_not_made_anew_over_stored_secrets(vault: Vault, db: Database, tmp_path: Path) -> None:
    await vault.put("acme", "api-key", CANARY)
    path = tmp_path / "keys" / "vault.key"
    path.unlink()
    with pytest.raises(HostError, match=r"holds 1 secrets, but its key file .*vault\.key is missing; put it"):
        await Vault(db, path).start()
    assert not path.exists()


async def test_another_key_than_the_vaults_is_refused(vault: Vault, db: Database, tmp_path: Path) -> None:
    await vault.put("acme", "api-key", CANARY)
    async with Database(tmp_path / "other" / "ingot.db") as empty:
        await Vault(empty, tmp_path / "other.key").start()
    with pytest.raises(HostError, match=r"other\.key is not the key of this vault: 1 secrets were encrypted with"):
        await Vault(db, tmp_path / "other.key").start()


@pytest.mark.parametrize("content", [b"", b"short", b"AAAA", b"\xff" * 44])
async def test_a_key_file_without_a_key_is_refused(db: Database, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "vault.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(HostError, match="holds no key of 32 bytes in base64; put it back from its backup"):
        await Vault(db, path).start()


async def test_a_place_where_no_key_can_be_made_is_explained(db: Database, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match=r"the key file .* cannot be (made|read): .*"):
        await Vault(db, tmp_path / "file" / "vault.key").start()


async def test_a_vault_that_was_not_started_takes_nothing(db: Database, tmp_path: Path) -> None:
    with pytest.raises(HostError, match="the vault is not started"):
        await Vault(db, tmp_path / "vault.key").put("acme", "api-key", CANARY)
