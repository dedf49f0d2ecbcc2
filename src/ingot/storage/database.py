"""The embedded SQL database: SQLite with one connection in one thread of its own.

`run` is the only way in: one call is one transaction, and transactions never overlap. A commit is on the disk when
`run` returns. One server owns a database file at a time; a second one is refused and told who has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, IntegrityError, ProgrammingError
from sqlalchemy.pool import StaticPool

from ingot.errors import HOST_FULL, MAKE_ROOM, HostError, MachineDiskError

T = TypeVar("T")

_LOCK_WAIT_SECONDS = 1.0
_LOCK_PASSES_ON = 5.0
# EXCLUSIVE comes first: WAL then needs no shared memory file, and no other process can join in.
_PRAGMAS = ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON")


class Database:
    """`start` opens and migrates, `aclose` ends; or use it as an asynchronous context.

    Raises HostError when the file cannot be opened, belongs to a running server, was written by a newer Ingot,
    or the disk is full.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: ThreadPoolExecutor | None = None
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._lock: int | None = None
        self._changes = 0

    @property
    def changes(self) -> int:
        """Grows with everything that is written: while it is the same, every query answers the same."""
        return self._changes

    async def __aenter__(self) -> Database:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def start(self) -> None:
        self._lock = await _take_lock(self._path.with_suffix(".lock"))
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ingot-db")
        try:
            await self._in_thread(self._open)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Waits for what runs, then closes. May be called twice."""
        if self._thread is not None:
            await asyncio.shield(self._in_thread(self._close))
            self._thread.shutdown(wait=True)
            self._thread = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def run(self, fn: Callable[[Connection], T]) -> T:
        """Calls `fn` in the database's thread, inside one transaction that holds the write lock from its start.

        Commits when `fn` returns and rolls back when it raises. `fn` must not wait for anything else. A caller
        that is cancelled meanwhile does not undo it: the transaction may still commit.
        """
        if self._connection is None:
            raise HostError(f"the database {self._path} is not open")
        return await self._in_thread(lambda: self._transact(fn))

    async def note(self, fn: Callable[[Connection], object]) -> None:
        """`run` for what is good to know and nobody waits for, such as when a key was used: where this host cannot
        write it now, which it will say of things that matter, it is left out."""
        with contextlib.suppress(HostError):
            await self.run(fn)

    async def _in_thread(self, fn: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, fn)

    def _transact(self, fn: Callable[[Connection], T]) -> T:
        connection = self._connection
        if connection is None:
            raise HostError(f"the database {self._path} is closed")
        try:
            with connection.begin():
                result = fn(connection)
            self._changes = _count_changes(connection)
            return result
        except (IntegrityError, ProgrammingError):
            raise
        except DatabaseError as error:
            raise _explained(error, self._path) from error

    def _open(self) -> None:
        from ingot.storage.migrations import migrate

        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._engine = create_engine("sqlite://", creator=self._connect, poolclass=StaticPool)
        event.listen(self._engine, "begin", _begin_immediate)
        try:
            self._connection = self._engine.connect()
            migrate(self._connection, self._path)
        except DatabaseError as error:
            raise _explained(error, self._path) from error

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=_LOCK_WAIT_SECONDS, isolation_level=None)
        try:
            for pragma in _PRAGMAS:
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None


def _count_changes(connection: Connection) -> int:
    raw = connection.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw.total_changes


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _explained(error: DatabaseError, path: Path) -> HostError:
    """Turns what SQLite says into what an operator can act on."""
    reason = str(error.orig)
    if "locked" in reason:
        return HostError(f"another program has the database {path} open", hint="close it and start again")
    if "disk is full" in reason:
        told = f"{HOST_FULL}: there is no room to write the database"
        return HostError(told, hint=MAKE_ROOM, code=MachineDiskError.code)
    if "not a database" in reason or "malformed" in reason:
        return HostError(f"{path} is not a sound SQLite database ({reason})", hint="restore it from a backup")
    return HostError(f"the database {path} failed: {reason}")


async def _take_lock(path: Path) -> int:
    """Locks `path` for as long as the returned descriptor is open; the process's death opens it as well, once what it
    was just starting has begun."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostError(
            f"the data directory {path.parent} cannot be used: {error.strerror}",
            hint="choose another one with --data-dir, or mend its owner and mode",
        ) from error
    deadline = time.monotonic() + _LOCK_PASSES_ON
    while not _lock(lock):
        if (owner := _owner(lock)) or time.monotonic() > deadline:
            os.close(lock)
            raise HostError(
                f"another Ingot server{owner} uses the data directory {path.parent}",
                hint="stop it, or give this one another --data-dir",
            )
        await asyncio.sleep(0.02)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _lock(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _owner(lock: int) -> str:
    """Who wrote itself down there, in words; nothing where that process is no more."""
    text = os.pread(lock, 32, 0).decode(errors="replace").strip()
    if not text.isdigit():
        return ""
    try:
        argv = Path(f"/proc/{text}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    command = b" ".join(argv).decode(errors="replace").strip()[:120]
    return f" (process {text}: {command})" if command else ""
