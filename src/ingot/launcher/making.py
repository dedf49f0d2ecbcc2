"""The record of a new computer, from a golden and a wish or from another computer. Only chance and clock come in."""

from __future__ import annotations

import secrets
import time
import uuid
from dataclasses import replace
from typing import Any

from ingot.machine.contract import Backend
from ingot.records.computer import Computer, ComputerStatus, LaunchWish
from ingot.records.item import Item
from ingot.records.layer import Golden
from ingot.records.machine import MachineSpec


def new_computer(account: str, item: Item, wish: LaunchWish, spec: MachineSpec, golden: Golden) -> Computer:
    ports = [dict(port) for app in golden.document.get("apps") or () for port in app.get("ports") or ()]
    return Computer(
        **_identities(),
        account=account,
        name=wish.name or item.ref.name,
        ref=item.ref,
        status=ComputerStatus.CREATING,
        spec=spec,
        workspace=wish.workspace,
        auto_stop_minutes=wish.auto_stop_minutes,
        test_run=wish.test_run,
        ports=tuple(ports),
        golden_key=golden.key,
        wanted=True,
    )


def clone_of(source: Computer, name: str, workspace: str | None) -> Computer:
    """As the source is, with identities of its own; a clone of a test run is none."""
    return replace(
        source,
        **_identities(),
        name=name or f"{source.name}-clone",
        workspace=workspace or source.workspace,
        status=ComputerStatus.CREATING,
        test_run=False,
        machine=None,
        wanted=True,
        error=None,
    )


def screen_password(backend: Backend) -> str | None:
    """A new one, as long as the protocol takes; None where machines have no screen."""
    return secrets.token_urlsafe(6) if backend.has_screen else None


def _identities() -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "instance_id": secrets.token_hex(4), "created_ms": time.time_ns() // 1_000_000}
