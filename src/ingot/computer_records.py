"""Computers and workspaces in the database: what a server knows of them after a restart.

Rows and nothing else: it starts no machine and removes no file. Test runs are never here. What belongs to another
account is not there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from ingot.errors import ConflictError, NotFoundError
from ingot.records.computer import Computer, ComputerStatus, Workspace
from ingot.records.machine import MachineSpec
from ingot.records.ref import Ref
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database
from ingot.storage.tables import computers, workspaces


class ComputerRecords:
    """Safe to call from any task."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def add(self, computer: Computer) -> None:
        """Raises NotFoundError when its workspace is not there, or not the account's."""
        assert not computer.test_run, "a test run ends with its server"

        def write(connection: Connection) -> None:
            if computer.workspace is not None:
                _find_workspace(connection, computer.account, computer.workspace)
            connection.execute(insert(computers).values(_values(computer)))

        await self._db.run(write)

    async def save(self, computer: Computer) -> None:
        """Writes what has changed; one that was removed meanwhile stays removed."""
        change = update(computers).where(computers.c.id == computer.id).values(_values(computer))
        await self._db.run(lambda connection: connection.execute(change))

    async def remove(self, computer_id: str) -> None:
        await self._db.run(
            lambda connection: connection.execute(delete(computers).where(computers.c.id == computer_id))
        )

    async def all(self) -> Sequence[Computer]:
        """Every account's, oldest first."""
        query = select(computers).order_by(computers.c.created_ms, computers.c.id)
        rows = await self._db.run(lambda connection: connection.execute(query).all())
        return [_computer(row) for row in rows]


class Workspaces:
    """The accounts' workspaces. Safe to call from any task."""

    def __init__(self, db: Database, clock: Clock = now_ms) -> None:
        self._db = db
        self._clock = clock

    async def create(self, account: str, name: str) -> Workspace:
        """Names need not differ: a workspace is known by its id."""
        workspace = Workspace(str(uuid.uuid4()), account, name, self._clock())
        await self._db.run(lambda connection: connection.execute(insert(workspaces).values(asdict(workspace))))
        return workspace

    async def list(self, account: str) -> Sequence[Workspace]:
        """Oldest first."""
        mine = select(workspaces).where(workspaces.c.account == account)
        query = mine.order_by(workspaces.c.created_ms, workspaces.c.id)
        rows = await self._db.run(lambda connection: connection.execute(query).all())
        return [_workspace(row) for row in rows]

    async def get(self, account: str, workspace_id: str) -> Workspace:
        """Raises NotFoundError."""
        return await self._db.run(lambda connection: _find_workspace(connection, account, workspace_id))

    async def delete(self, account: str, workspace_id: str) -> None:
        """Raises NotFoundError, and ConflictError `workspace_in_use` while computers are in it."""

        def remove(connection: Connection) -> None:
            _find_workspace(connection, account, workspace_id)
            inside = connection.scalars(select(computers.c.name).where(computers.c.workspace == workspace_id)).all()
            if inside:
                count = f"{len(inside)} computer{'s' if len(inside) > 1 else ''}"
                raise ConflictError(
                    f"the workspace has {count}: {', '.join(inside[:5])}",
                    hint="delete them first",
                    code="workspace_in_use",
                )
            connection.execute(delete(workspaces).where(workspaces.c.id == workspace_id))

        await self._db.run(remove)


def _find_workspace(connection: Connection, account: str, workspace_id: str) -> Workspace:
    its = and_(workspaces.c.id == workspace_id, workspaces.c.account == account)
    row = connection.execute(select(workspaces).where(its)).first()
    if row is None:
        raise NotFoundError(f"there is no workspace {workspace_id}", hint="GET /api/workspaces lists yours")
    return _workspace(row)


def _workspace(row: Row[Any]) -> Workspace:
    return Workspace(row.id, row.account, row.name, row.created_ms)


def _values(computer: Computer) -> dict[str, Any]:
    return {
        "id": computer.id,
        "instance_id": computer.instance_id,
        "account": computer.account,
        "name": computer.name,
        "ref": str(computer.ref),
        "golden_key": computer.golden_key,
        "status": computer.status.value,
        "spec_json": json.dumps(asdict(computer.spec)),
        "ports_json": json.dumps(computer.ports),
        "layers_json": json.dumps(computer.layers),
        "machine": computer.machine,
        "wanted": computer.wanted,
        "workspace": computer.workspace,
        "auto_stop_minutes": computer.auto_stop_minutes,
        "error": computer.error,
        "created_ms": computer.created_ms,
        "vnc_password": computer.vnc_password,
    }


def _computer(row: Row[Any]) -> Computer:
    return Computer(
        id=row.id,
        instance_id=row.instance_id,
        account=row.account,
        name=row.name,
        ref=Ref.parse(row.ref),
        status=ComputerStatus(row.status),
        spec=MachineSpec(**json.loads(row.spec_json)),
        created_ms=row.created_ms,
        workspace=row.workspace,
        auto_stop_minutes=row.auto_stop_minutes,
        ports=tuple(json.loads(row.ports_json)),
        error=row.error,
        golden_key=row.golden_key,
        layers=tuple(json.loads(row.layers_json)),
        machine=row.machine,
        wanted=row.wanted,
        vnc_password=row.vnc_password,
    )
