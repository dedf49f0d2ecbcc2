"""The server itself: garbage collection, what the host can do, settings. All of it needs the scope `admin`."""

from __future__ import annotations

from fastapi import APIRouter

from ingot.api import answers
from ingot.api.describe import Flag, is_set, keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.records.account import Scope
from ingot.records.wire import Json, listing, settings_json

router = APIRouter(prefix="/api/admin", route_class=KeyedRoute, tags=["admin"])


@router.post("/gc", **keyed(Scope.ADMIN, answers.Garbage, 400))
async def collect_garbage(caller: Caller, use: Use, dry_run: Flag = "false") -> Json:
    """Removes what no ref, computer or build needs; `dry_run` only says what and why."""
    return {**await use.builds.collect_garbage(is_set(dry_run)), "dry_run": is_set(dry_run)}


@router.get("/host", **keyed(Scope.ADMIN, answers.Findings))
async def look_at_host(caller: Caller, use: Use) -> Json:
    """What this host can do, and the command that mends what it lacks."""
    return listing("findings", [dict(finding) for finding in await use.builds.findings()])


@router.get("/settings", **keyed(Scope.ADMIN, answers.SettingsShown))
async def show_settings(caller: Caller, use: Use) -> Json:
    """Every setting with where it came from; secrets show as `***`."""
    return settings_json(use.settings)
