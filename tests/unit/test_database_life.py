"""The embedded database from outside: one owner, whole transactions, nothing acknowledged is lost."""

import asyncio
import fcntl
import os
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, insert, select

from ingot.errors import HostError
from ingot.storage import migrations
from ingot.storage.database import Database
from ingot.storage.tables import accounts, metadata


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "data" / "ingot.db") as db:
        yield db


def add_account(connection: Connection, name: str) -> None:
    connection.execute(insert(accounts).values(name=name, created_ms=1))


def count_accounts(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(accounts)) or 0


async def test_what_a_transaction_wrote_is_there_after_a_restart(tmp_path: Path) -> None:
    async with Database(tmp_path / "ingot.db") as db:
        await db.run(lambda connection: add_account(connection, "acme"))
    async with Database(tmp_path / "ingot.db") as db:
        assert await db.run(count_accounts) == 1


async def test_a_transaction_that_raises_leaves_nothing(db: Database) -> None:
    def fail(connection: Connection) -> None:
        add_account(connection, "acme")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await db.run(fail)
    assert await db.run(count_accounts) == 0


async def test_transactions_of_many_tasks_never_overlap(db: Database) -> None:
    def add_next(connection: Connection) -> None:
        add_account(connection, f"account-{count_accounts(connection)}")

    async with asyncio.TaskGroup() as tasks:
        for _ in range(50):
            tasks.create_task(db.run(add_next))
    assert await db.run(count_accounts) == 50


async def test_the_connection_is_durable_exclusive_and_checks_references(db: Database) -> None:
    def read(connection: Connection) -> dict[str, object]:
        names = ("journal_mode", "locking_mode", "synchronous", "foreign_keys")
        return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names}

    assert await db.run(read) == {
        "journal_mode": "wal",
        "locking_mode": "exclusive",
        "synchronous": 2,
        "foreign_keys": 1,
    }


async def test_the_files_are_for_their_owner_alone(tmp_path: Path, db: Database) -> None:
    path = tmp_path / "data" / "ingot.db"
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_a_second_server_is_refused_and_told_who_has_the_data(tmp_path: Path, db: Database) -> None:
    with pytest.raises(HostError) as caught:
        await Database(tmp_path / "data" / "ingot.db").start()
    assert f"another Ingot server (process {os.getpid()}: " in str(caught.value)
    assert "give this one another --data-dir" in str(caught.value)


async def test_what_a_killed_server_was_just_starting_is_waited_for(tmp_path: Path) -> None:
    """It has the lock until it has begun; the one who is written down there is no more."""
    lock = os.open(tmp_path / "ingot.lock", os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    os.write(lock, f"{ended.pid}\n".encode())
    released: list[bool] = []

    def release() -> None:
        released.append(True)
        os.close(lock)

    asyncio.get_running_loop().call_later(0.3, release)
    async with Database(tmp_path / "ingot.db"):
        assert released


async def test_a_program_that_holds_the_file_is_told_apart_from_a_server(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    async with Database(path):
        pass
    other = sqlite3.connect(path, isolation_level=None)
    try:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(HostError, match=r"another program has the database .* open; close it"):
            await Database(path).start()
    finally:
        other.close()


async def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(HostError, match=r"ingot\.db is not a sound SQLite database .*; restore it from a backup"):
        await Database(path).start()


async def test_a_data_directory_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        HostError, match=r"the data directory .* cannot be used: .*; choose another one with --data-dir"
    ):
        await Database(tmp_path / "file" / "data" / "ingot.db").start()


async def test_a_database_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    async with Database(path) as db:
        await db.run(lambda connection: connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HostError, match=r"written by a newer Ingot \(schema 9999, this one knows "):
        await Database(path).start()


async def test_a_start_that_failed_lets_the_next_one_in(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(HostError):
        await Database(path).start()
    path.unlink()
    async with Database(path) as db:
        assert await db.run(count_accounts) == 0


async def test_a_closed_database_says_so(tmp_path: Path) -> None:
    db = Database(tmp_path / "ingot.db")
    await db.start()
    await db.aclose()
    await db.aclose()
    with pytest.raises(HostError, match="is not open"):
        await db.run(count_accounts)


async def test_the_migrations_make_the_tables_of_this_version(db: Database) -> None:
    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    assert await db.run(differences) == []


def test_the_newest_revision_is_the_one_that_start_looks_for() -> None:
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert scripts.get_current_head() == migrations.HEAD


async def test_a_migrated_database_starts_without_alembic(tmp_path: Path) -> None:
    path = tmp_path / "ingot.db"
    async with Database(path):
        pass
    program = (
        "import asyncio, pathlib, sys\n"
        "from ingot.storage.database import Database\n"
        "async def main():\n"
        "    async with Database(pathlib.Path(sys.argv[1])): pass\n"
        "asyncio.run(main())\n"
        "sys.exit('alembic' in sys.modules)\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path))
    assert await process.wait() == 0


async def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """The child tells each account after its transaction returned, and is killed in the middle of it."""
    path = tmp_path / "ingot.db"
    program = (
        "import asyncio, itertools, pathlib, sys\n"
        "from sqlalchemy import insert\n"
        "from ingot.storage.database import Database\n"
        "from ingot.storage.tables import accounts\n"
        "async def main():\n"
        "    db = Database(pathlib.Path(sys.argv[1]))\n"
        "    await db.start()\n"
        "    for n in itertools.count(1):\n"
        "        await db.run(lambda c: c.execute(insert(accounts).values(name=f'a{n}', created_ms=n)).rowcount)\n"
        "        print(n, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    for _ in range(40):
        told = int(await process.stdout.readline())
    process.kill()
    rest = (await process.stdout.read()).split()
    await process.wait()
    acknowledged = int(rest[-1]) if rest else told
    async with Database(path) as db:
        assert await db.run(count_accounts) in (acknowledged, acknowledged + 1)
