"""The server itself: garbage collection, what the host can do, settings. All of it needs the scope `admin`."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter

from ingot import __version__
from ingot.api import admin_answers as answers
from ingot.api.describe import Flag, is_set, keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use, look_at_activity
from ingot.records.account import Scope
from ingot.records.computer import ComputerStatus
from ingot.records.wire import Json, iso_time, listing, settings_json
from ingot.vitals import EVERY_SECONDS, HostNow, Sample

_COUNTED = (ComputerStatus.RUNNING, ComputerStatus.STOPPED, ComputerStatus.ERROR)

router = APIRouter(prefix="/api/admin", route_class=KeyedRoute, tags=["admin"])


@router.post("/gc", **keyed(Scope.ADMIN, answers.Garbage, 400))
async def collect_garbage(caller: Caller, use: Use, dry_run: Flag = "false") -> Json:
    """Removes what no ref, computer or build needs; `dry_run` only says what and why."""
    return {**await use.builds.collect_garbage(is_set(dry_run)), "dry_run": is_set(dry_run)}


@router.get("/overview", **keyed(Scope.ADMIN, answers.Overview))
async def show_overview(caller: Caller, use: Use) -> Json:
    """How the server and its host fare, and have fared for the last hour."""
    activity = await look_at_activity(use.queue, use.stream)
    counts, now = use.computers.counts(), await use.vitals.now()
    return {
        "version": __version__,
        "backend": use.made_by.backend,
        "backend_reason": use.made_by.reason,
        "started_at": iso_time(use.vitals.started_ms),
        "slots": use.made_by.slots,
        **asdict(activity),
        "computers": {status.value: counts.get(status, 0) for status in _COUNTED},
        **_host_json(now),
        "history": {"every_s": EVERY_SECONDS, "samples": [_sample_json(sample) for sample in use.vitals.history]},
    }


@router.get("/host", **keyed(Scope.ADMIN, answers.Findings))
async def look_at_host(caller: Caller, use: Use) -> Json:
    """What this host can do, and the command that mends what it lacks."""
    return listing("findings", [dict(finding) for finding in await use.builds.findings()])


@router.get("/settings", **keyed(Scope.ADMIN, answers.SettingsShown))
async def show_settings(caller: Caller, use: Use) -> Json:
    """Every setting with where it came from; secrets show as `***`."""
    return settings_json(use.settings)


def _host_json(now: HostNow) -> Json:
    return {
        "cpu": {"count": now.cpu_count, "busy": now.cpu_busy, "load_1m": now.load_1m},
        "memory": {"total_bytes": now.memory_total_bytes, "available_bytes": now.memory_available_bytes},
        "disk": {
            "total_bytes": now.disk_total_bytes,
            "free_bytes": now.disk_free_bytes,
            "data_bytes": now.data_bytes,
        },
    }


def _sample_json(sample: Sample) -> Json:
    return {
        "at": iso_time(sample.at_ms),
        "cpu_busy": sample.cpu_busy,
        "memory_used_bytes": sample.memory_used_bytes,
        "disk_used_bytes": sample.disk_used_bytes,
        **asdict(sample.activity),
    }
