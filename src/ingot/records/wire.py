"""Records as JSON: the one place that says how each is shown by the API.

Pure: record in, plain dict out. Times are ISO 8601, UTC, whole seconds. What is not known is null; a key is never
left out, unless its docstring says so. Nothing here ever shows a secret of the vault's or a key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ingot.records.account import ApiKey, Principal, Scope
from ingot.records.build import Build, BuildStatus, Failure, HeldMachine, Standing, StepRecord, StepState
from ingot.records.computer import Computer, ServiceStatus, ShellResult, Workspace
from ingot.records.item import Item, SecretEntry
from ingot.records.problem import Problem

Json = dict[str, Any]

_MAX_MS = 253_402_300_799_000  # the last second of the year 9999


def iso_time(ms: int) -> str:
    """Milliseconds since the epoch as `2026-06-08T17:00:01Z`, rounded down."""
    moment = datetime.fromtimestamp(min(ms, _MAX_MS) // 1000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def item_json(item: Item) -> Json:
    return {**published_json(item), "template": dict(item.document)}


def published_json(item: Item) -> Json:
    """The answer to a publish, without `auto_build` and `warnings`."""
    return {"ref": str(item.ref), "digest": item.digest, "published": iso_time(item.published_ms)}


def build_json(
    item: Item, status: BuildStatus, last: Build | None, *, queue_position: int | None, golden_key: str | None
) -> Json:
    """The build object of what is published as `item`. `last` is the content's last attempt; `golden_key` is
    its golden, which an earlier attempt may have made. `attempt` is 0 when it was never built."""
    failure = last.failure if last is not None else None
    shown: Json = {
        "ref": str(item.ref),
        "digest": item.digest,
        "status": status.value,
        "build_time_ms": build_time_ms(last),
        "reused": last is not None and last.reused,
        "error": failure.message if failure is not None and status is BuildStatus.FAILED else None,
        "golden_dir": golden_key if status is BuildStatus.READY else None,
    }
    return {**shown, **_place_json(last), "queue_position": queue_position, "failure": _maybe_failure(failure)}


def standing_json(item: Item, standing: Standing) -> Json:
    """The same object, of what a list knows."""
    place = standing.queue_position
    return build_json(item, standing.status, standing.last, queue_position=place, golden_key=standing.golden_key)


def attempt_json(build: Build, *, queue_position: int | None = None) -> Json:
    """One attempt of a ref's history, without its steps and manifest."""
    return {
        "ref": str(build.ref),
        "digest": build.digest,
        "state": build.state.value,
        "result": _maybe(build.result),
        "reused": build.reused,
        **_place_json(build),
        "queue_position": queue_position,
        "build_time_ms": build_time_ms(build),
        "phases_ms": phases_ms(build),
        "steps_total": len(build.steps),
        "steps_cached": sum(step.state is StepState.REUSED for step in build.steps),
        "golden_dir": build.golden_key,
        "failure": _maybe_failure(build.failure),
    }


def attempt_detail_json(build: Build, *, queue_position: int | None = None) -> Json:
    """One attempt with everything: its steps, and the manifest once it is ready."""
    return {
        **attempt_json(build, queue_position=queue_position),
        "flags": asdict(build.flags),
        "steps": [step_json(step) for step in build.steps],
        "manifest": build.manifest,
    }


def build_time_ms(build: Build | None) -> int | None:
    """How long the attempt took, from its start (from when it was asked for, if it never started)."""
    if build is None or build.finished_ms is None:
        return None
    return max(0, build.finished_ms - (build.started_ms or build.queued_ms))


def phases_ms(build: Build) -> dict[str, int]:
    """How long the phases took, as far as it is known: of its manifest, or of the steps that ran. One that took an
    earlier golden has that one's manifest, and took no time itself."""
    if build.reused:
        return {}
    if build.manifest is not None:
        return dict(build.manifest.get("timings_ms", {}).get("phases", {}))
    spent: dict[str, int] = {}
    for step in build.steps:
        if step.duration_ms:
            spent[step.phase.value] = spent.get(step.phase.value, 0) + step.duration_ms
    return spent


def step_json(step: StepRecord) -> Json:
    return {
        "index": step.index,
        "title": step.title,
        "phase": step.phase.value,
        "source": step.source,
        "state": step.state.value,
        "cached": step.state is StepState.REUSED,
        "reason": step.reason,
        "started_at": iso_time(step.started_ms),
        "duration_ms": step.duration_ms,
        "layer": step.layer,
    }


def failure_json(failure: Failure) -> Json:
    return {
        "code": failure.code.value,
        "step": failure.step,
        "exit_code": failure.exit_code,
        "message": failure.message,
        "last_lines": list(failure.last_lines),
    }


def held_json(held: HeldMachine) -> Json:
    return {
        "ref": str(held.ref),
        "attempt": held.attempt,
        "phase": held.phase.value,
        "step": held.step,
        "held_at": iso_time(held.held_ms),
        "expires_at": iso_time(held.expires_ms),
    }


def problem_json(problem: Problem) -> Json:
    """`hint`, `line` and `column` are left out where there is none."""
    shown: Json = {"field": problem.field, "code": problem.code.value, "message": problem.message}
    rest = {"hint": problem.hint, "line": problem.line, "column": problem.column}
    return shown | {name: value for name, value in rest.items() if value is not None}


def key_json(key: ApiKey) -> Json:
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key.prefix,
        "scopes": [scope.value for scope in Scope if scope in key.scopes],
        "created_at": iso_time(key.created_ms),
        "last_used_at": _maybe_time(key.last_used_ms),
        "revoked_at": _maybe_time(key.revoked_ms),
    }


def session_json(caller: Principal, key: ApiKey) -> Json:
    """Who is calling with `key`. `expires_at` is null where no session stands for it."""
    return {
        "account": caller.account,
        "key": {"id": key.id, "name": key.name, "prefix": key.prefix},
        "scopes": [scope.value for scope in Scope if scope in caller.scopes],
        "expires_at": _maybe_time(caller.until_ms),
    }


def secret_json(entry: SecretEntry) -> Json:
    return {"name": entry.name, "created_at": iso_time(entry.created_ms), "updated_at": iso_time(entry.updated_ms)}


def computer_json(computer: Computer) -> Json:
    """`vnc_password` is null for one without a screen, `connection_url` always."""
    spec = computer.spec
    return {
        "id": computer.id,
        "instance_id": computer.instance_id,
        "name": computer.name,
        "workspace_id": computer.workspace,
        "template_ref": str(computer.ref),
        "status": computer.status.value,
        "error": computer.error,
        "cpu": spec.cpu,
        "ram": spec.memory_mb / 1024,
        "disk_size_gb": spec.disk_mb / 1024,
        "resolution": spec.resolution,
        "auto_stop_minutes": computer.auto_stop_minutes,
        "connection_url": None,
        "vnc_password": computer.vnc_password,
        "template_ports": [dict(port) for port in computer.ports],
        "test_run": computer.test_run,
        "created_at": iso_time(computer.created_ms),
    }


def workspace_json(workspace: Workspace) -> Json:
    return {"id": workspace.id, "name": workspace.name, "created_at": iso_time(workspace.created_ms)}


def run_json(computer: Computer) -> Json:
    """The answer to a test-run."""
    return {
        "id": computer.id,
        "desktop_id": computer.instance_id,
        "status": computer.status.value,
        "vnc_password": computer.vnc_password,
        "public_host": None,
        "resolution": computer.spec.resolution,
    }


def shell_json(result: ShellResult) -> Json:
    return {"success": result.exit_code == 0, "output": result.output, "exit_code": result.exit_code}


def service_json(service: ServiceStatus) -> Json:
    return asdict(service)


def settings_json(described: Mapping[str, Mapping[str, str]]) -> Json:
    """`settings.describe_settings` as it is shown."""
    return {"settings": {name: dict(entry) for name, entry in described.items()}}


def listing(name: str, entries: Sequence[Json]) -> Json:
    """A list under its plural name, as every list of the API is."""
    return {name: list(entries)}


def _place_json(build: Build | None) -> Json:
    """Which attempt, and where it is."""
    if build is None:
        nothing = dict.fromkeys(("phase", "step", "queued_at", "started_at", "finished_at"))
        return {"attempt": 0, **nothing}
    return {
        "attempt": build.attempt,
        "phase": _maybe(build.phase),
        "step": build.step,
        "queued_at": iso_time(build.queued_ms),
        "started_at": _maybe_time(build.started_ms),
        "finished_at": _maybe_time(build.finished_ms),
    }


def _maybe(value: StrEnum | None) -> str | None:
    return None if value is None else value.value


def _maybe_time(ms: int | None) -> str | None:
    return None if ms is None else iso_time(ms)


def _maybe_failure(failure: Failure | None) -> Json | None:
    return None if failure is None else failure_json(failure)
