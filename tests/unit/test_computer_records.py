"""Computers and workspaces in the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingot.computer_records import ComputerRecords, Workspaces
from ingot.errors import ConflictError, NotFoundError
from ingot.records.computer import Computer, ComputerStatus
from ingot.records.machine import MachineSpec
from ingot.records.ref import Ref
from ingot.storage.database import Database

COMPUTER = Computer(
    id="c-1",
    instance_id="1a2b3c4d",
    account="default",
    name="Web server №1",
    ref=Ref("default", "hello", "1.0.0+b"),
    status=ComputerStatus.RUNNING,
    spec=MachineSpec(0.5, 1024, 2048),
    created_ms=7,
    auto_stop_minutes=5,
    ports=({"internal": 8000},),
    error="a hook failed",
    golden_key="g" * 64,
    layers=("c-0/1", "c-1/1"),
    machine="abc",
    wanted=True,
)


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "ingot.db") as db:
        yield db


async def test_a_computer_is_after_a_restart_what_it_was(tmp_path: Path) -> None:
    async with Database(tmp_path / "ingot.db") as db:
        await ComputerRecords(db).add(COMPUTER)
    async with Database(tmp_path / "ingot.db") as db:
        assert await ComputerRecords(db).all() == [COMPUTER]


async def test_what_was_removed_is_not_brought_back_by_a_late_save(db: Database) -> None:
    records = ComputerRecords(db)
    await records.add(COMPUTER)
    stopped = replace(COMPUTER, status=ComputerStatus.STOPPED, machine=None, wanted=False)
    await records.save(stopped)
    assert await records.all() == [stopped]
    await records.remove(COMPUTER.id)
    await records.save(COMPUTER)
    assert await records.all() == []


async def test_a_workspace_with_computers_cannot_be_deleted(db: Database) -> None:
    records, workspaces = ComputerRecords(db), Workspaces(db, clock=lambda: 5)
    workspace = await workspaces.create("default", "shop")
    assert await workspaces.list("default") == [workspace]
    assert await workspaces.list("other") == []
    await records.add(replace(COMPUTER, workspace=workspace.id))
    with pytest.raises(ConflictError, match="the workspace has 1 computer: Web server №1; delete them first") as caught:
        await workspaces.delete("default", workspace.id)
    assert caught.value.code == "workspace_in_use"
    await records.remove(COMPUTER.id)
    await workspaces.delete("default", workspace.id)
    with pytest.raises(NotFoundError, match="there is no workspace"):
        await workspaces.get("default", workspace.id)


async def test_a_computer_of_no_workspace_of_the_account_is_refused(db: Database) -> None:
    records, workspaces = ComputerRecords(db), Workspaces(db)
    workspace = await workspaces.create("other", "theirs")
    for missing in (workspace.id, "nonsense"):
        with pytest.raises(NotFoundError, match=f"there is no workspace {missing}; GET /api/workspaces"):
            await records.add(replace(COMPUTER, workspace=missing))
    with pytest.raises(NotFoundError, match="there is no workspace"):
        await workspaces.delete("default", workspace.id)
    assert await records.all() == []


def test_a_hosts_name_is_like_the_computers_and_no_other_ones() -> None:
    assert COMPUTER.hostname == "web-server-1-1a2b3c4d"
    assert replace(COMPUTER, name="日本").hostname == "computer-1a2b3c4d"
    assert replace(COMPUTER, name="x" * 39 + "-" + "y" * 60).hostname == "x" * 39 + "-1a2b3c4d"
