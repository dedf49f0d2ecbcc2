"""What the API answers, as frozen values. Each keeps the JSON it was read from in `raw`, for `--json`.

Reading is lenient where a newer server may say more, and strict where the value decides what we do: a missing or
wrong field raises ServerError naming it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ingot.errors import ServerError
from ingot.records.build import BuildStatus, Failure, FailureCode
from ingot.records.problem import Problem, ProblemCode

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Published:
    """`auto_build` is the build's status when one was asked for; `warnings` are told, not errors."""

    ref: str
    digest: str
    published: str
    auto_build: str | None
    warnings: tuple[str, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class SignInCode:
    """Opens one session of the console, until `expires_at` (ISO 8601)."""

    code: str = field(repr=False)
    expires_at: str


@dataclass(frozen=True, slots=True)
class Item:
    """A published template. `published` is ISO 8601, `template` the canonical document."""

    ref: str
    digest: str
    published: str
    template: Json = field(repr=False)
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class BuildAnswer:
    """A ref's build as the API shows it; `attempt` 0 means that none was ever made. Times are ISO 8601."""

    ref: str
    digest: str
    status: BuildStatus
    attempt: int
    reused: bool
    phase: str | None
    step: str | None
    queue_position: int | None
    build_time_ms: int | None
    failure: Failure | None
    error: str | None
    golden: str | None
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """The machine of a failed build that is kept. `expires_at` is ISO 8601."""

    ref: str
    attempt: int
    phase: str
    step: str
    expires_at: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """`action` is `reuse` or `run`, `reason` why, in words."""

    index: int
    title: str
    action: str
    reason: str


@dataclass(frozen=True, slots=True)
class PlanAnswer:
    ref: str
    digest: str
    steps: tuple[PlannedStep, ...]
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class ComputerAnswer:
    """A computer, or a test run, whose answer says less: `name`, `ref` and `created_at` are then empty. `instance_id`
    is the short id that people use."""

    id: str
    desktop_id: str
    instance_id: str
    name: str
    ref: str
    status: str
    error: str | None
    created_at: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class ServiceAnswer:
    """What a computer's supervisor runs. `state` is supervisord's word in lower case."""

    name: str
    app: str | None
    state: str
    detail: str
    pid: int | None
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class WorkspaceAnswer:
    id: str
    name: str
    created_at: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class BashAnswer:
    output: str
    exit_code: int
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyAnswer:
    """An API key as it may be shown; `key` is the key itself, in the answer that made it and never again."""

    id: str
    name: str
    prefix: str
    scopes: tuple[str, ...]
    created_at: str
    last_used_at: str | None
    revoked_at: str | None
    key: str | None = field(repr=False)
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class SecretEntry:
    name: str
    created_at: str
    updated_at: str
    raw: Json = field(repr=False)


@dataclass(frozen=True, slots=True)
class FindingAnswer:
    """One thing the doctor of the server's host looked at."""

    name: str
    ok: bool
    detail: str
    remedy: str | None
    needed: bool
    raw: Json = field(repr=False)


def published_from(raw: Json) -> Published:
    warnings = tuple(str(warning) for warning in raw.get("warnings") or ())
    return Published(
        _text(raw, "ref"), _text(raw, "digest"), _text(raw, "published"), _maybe(raw, "auto_build"), warnings, raw
    )


def item_from(raw: Json) -> Item:
    return Item(_text(raw, "ref"), _text(raw, "digest"), _text(raw, "published"), raw.get("template") or {}, raw)


def build_from(raw: Json) -> BuildAnswer:
    try:
        status = BuildStatus(raw.get("status", ""))
    except ValueError:
        raise ServerError(f"the server answered the build status {raw.get('status')!r}", hint=_UPDATE) from None
    return BuildAnswer(
        ref=_text(raw, "ref"),
        digest=_text(raw, "digest"),
        status=status,
        attempt=_number(raw, "attempt") or 0,
        reused=bool(raw.get("reused")),
        phase=_maybe(raw, "phase"),
        step=_maybe(raw, "step"),
        queue_position=_number(raw, "queue_position"),
        build_time_ms=_number(raw, "build_time_ms"),
        failure=failure_from(raw["failure"]) if raw.get("failure") else None,
        error=_maybe(raw, "error"),
        golden=_maybe(raw, "golden_dir"),
        raw=raw,
    )


def held_from(raw: Json) -> HeldAnswer:
    return HeldAnswer(
        ref=_text(raw, "ref"),
        attempt=_number(raw, "attempt") or 0,
        phase=str(raw.get("phase") or ""),
        step=_text(raw, "step"),
        expires_at=_text(raw, "expires_at"),
        raw=raw,
    )


def failure_from(raw: Json) -> Failure:
    """The build object's `failure` or the terminal frame's `error`; a code that we do not know is `internal`."""
    code = raw.get("code")
    return Failure(
        code=FailureCode(code) if code in set(FailureCode) else FailureCode.INTERNAL,
        message=str(raw.get("message") or "the server does not say why"),
        step=_maybe(raw, "step"),
        exit_code=_number(raw, "exit_code"),
        last_lines=tuple(str(line) for line in raw.get("last_lines") or ()),
    )


def plan_from(raw: Json) -> PlanAnswer:
    steps = tuple(
        PlannedStep(
            index=place,
            title=_text(step, "title"),
            action=_text(step, "action"),
            reason=str(step.get("reason") or ""),
        )
        for place, step in enumerate(list_of(raw, "steps"), start=1)
    )
    return PlanAnswer(str(raw.get("ref") or ""), str(raw.get("digest") or ""), steps, raw)


def computer_from(raw: Json) -> ComputerAnswer:
    identity = _text(raw, "id")
    desktop = _maybe(raw, "desktop_id") or identity
    return ComputerAnswer(
        id=identity,
        desktop_id=desktop,
        instance_id=_maybe(raw, "instance_id") or desktop,
        name=str(raw.get("name") or ""),
        ref=str(raw.get("template_ref") or ""),
        status=_text(raw, "status"),
        error=_maybe(raw, "error"),
        created_at=str(raw.get("created_at") or ""),
        raw=raw,
    )


def service_from(raw: Json) -> ServiceAnswer:
    return ServiceAnswer(
        name=_text(raw, "name"),
        app=_maybe(raw, "app"),
        state=_text(raw, "state"),
        detail=str(raw.get("detail") or ""),
        pid=_number(raw, "pid"),
        raw=raw,
    )


def workspace_from(raw: Json) -> WorkspaceAnswer:
    return WorkspaceAnswer(_text(raw, "id"), str(raw.get("name") or ""), str(raw.get("created_at") or ""), raw)


def bash_from(raw: Json) -> BashAnswer:
    code = _number(raw, "exit_code")
    if code is None:
        code = 0 if raw.get("success") else 1
    return BashAnswer(str(raw.get("output") or ""), code, raw)


def key_from(raw: Json) -> KeyAnswer:
    scopes = tuple(str(scope) for scope in raw.get("scopes") or ())
    return KeyAnswer(
        id=_text(raw, "id"),
        name=str(raw.get("name") or ""),
        prefix=str(raw.get("prefix") or ""),
        scopes=scopes,
        created_at=str(raw.get("created_at") or ""),
        last_used_at=_maybe(raw, "last_used_at"),
        revoked_at=_maybe(raw, "revoked_at"),
        key=_maybe(raw, "key"),
        raw=raw,
    )


def secret_from(raw: Json) -> SecretEntry:
    return SecretEntry(_text(raw, "name"), str(raw.get("created_at") or ""), str(raw.get("updated_at") or ""), raw)


def code_from(raw: Json) -> SignInCode:
    return SignInCode(_text(raw, "code"), _text(raw, "expires_at"))


def finding_from(raw: Json) -> FindingAnswer:
    ok, needed = bool(raw.get("ok")), bool(raw.get("needed", True))
    return FindingAnswer(_text(raw, "name"), ok, str(raw.get("detail") or ""), _maybe(raw, "remedy"), needed, raw)


def problems_from(raw: object) -> tuple[Problem, ...]:
    """The `errors` of a 422; empty for anything else."""
    if not isinstance(raw, list):
        return ()
    return tuple(_problem_from(entry) for entry in raw if isinstance(entry, Mapping))


def _problem_from(raw: Json) -> Problem:
    code = raw.get("code")
    return Problem(
        field=str(raw.get("field") or ""),
        code=ProblemCode(code) if code in set(ProblemCode) else ProblemCode.INVALID_FORMAT,
        message=str(raw.get("message") or "not valid"),
        hint=_maybe(raw, "hint"),
        line=_number(raw, "line"),
        column=_number(raw, "column"),
    )


_UPDATE = "is this server newer than the command? update with the same version on both sides"


def _text(raw: Json, name: str) -> str:
    value = raw.get(name)
    if not isinstance(value, str):
        raise ServerError(f"the server's answer has no text `{name}`", hint=_UPDATE)
    return value


def _maybe(raw: Json, name: str) -> str | None:
    value = raw.get(name)
    return value if isinstance(value, str) and value else None


def _number(raw: Json, name: str) -> int | None:
    value = raw.get(name)
    return int(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def list_of(raw: Json, name: str) -> list[Json]:
    """The list of objects called `name` in an answer."""
    value = raw.get(name)
    if not isinstance(value, list) or not all(isinstance(entry, Mapping) for entry in value):
        raise ServerError(f"the server's answer has no list `{name}`", hint=_UPDATE)
    return value
