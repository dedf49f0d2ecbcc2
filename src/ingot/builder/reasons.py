"""Why a step is reused or run, in words for the build log: compared with the ref's previous attempt. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.builder.steps import Draft
from ingot.records.step_line import step_title


@dataclass(frozen=True, slots=True)
class Earlier:
    """A step of the previous attempt, as its layer remembers it. `base` is the base image it stood on. A step that
    left no layer has kind and key empty: its title alone is known."""

    kind: str
    title: str
    key: str
    content: Mapping[str, Any]
    base: str


def explain_reuse(draft: Draft, key: str, earlier: Sequence[Earlier]) -> str:
    if any(step.key == key for step in earlier):
        return "unchanged"
    return "shared by all templates" if draft.kind == "toolchain" else "known from another build"


def explain_run(
    draft: Draft, key: str, base: str, changed: str | None, earlier: Sequence[Earlier], *, ignored: bool
) -> str:
    """`changed` is the title of the first step below that is run, if any; `ignored` says that known layers are
    ignored on purpose."""
    if draft.kind == "toolchain":
        return "not on this host yet"
    if ignored:
        return "known layers are ignored, as asked"
    if not earlier:
        return "not built before"
    if any(step.key == key for step in earlier):
        return "its layer is gone"
    if (same := _same(draft, earlier)) is not None:
        if same.base != base:
            return "the base image changed"
        return f"a step below it changed: {changed}" if changed else "what it stands on changed"
    if any(not step.key and step.title == step_title(draft.title) for step in earlier):
        return "it did not finish last time"
    return _difference(draft, earlier)


def _same(draft: Draft, earlier: Sequence[Earlier]) -> Earlier | None:
    kind = _recorded_kind(draft)
    return next((step for step in earlier if step.kind == kind and step.content == draft.content), None)


def _recorded_kind(draft: Draft) -> str:
    """Health checks leave no layer; the layer that closes above them has the same content."""
    return "closing" if draft.kind == "ready" else draft.kind


def _difference(draft: Draft, earlier: Sequence[Earlier]) -> str:
    before = _counterpart(draft, earlier)
    if before is None:
        return "new step"
    if "packages" in draft.content:
        return _package_difference(draft.kind, before.content, draft.content)
    if "files" in draft.content:
        return "files changed: " + _file_difference(before.content["files"], draft.content["files"])
    return _script_difference(before.content, draft.content)


def _counterpart(draft: Draft, earlier: Sequence[Earlier]) -> Earlier | None:
    """The step of the same kind (for apps: of the same app) that this one most likely was; for one of several
    commands, the one with the same beginning."""
    alike = [step for step in earlier if step.kind == _recorded_kind(draft)]
    if draft.kind == "app":
        return next((step for step in alike if step.content.get("app") == draft.content.get("app")), None)
    if draft.kind != "run":
        return alike[0] if alike else None
    script = str(draft.content["script"])
    return max(alike, key=lambda step: _common_start(script, str(step.content.get("script", ""))), default=None)


def _common_start(one: str, other: str) -> int:
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _package_difference(kind: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    old, new = before.get("packages", []), now["packages"]
    if marks := _marks(old, new):
        return f"{kind} list changed: {marks}"
    if old != new:
        return f"{kind} list is in another order"
    return _env_difference(before, now) or f"{kind} changed"


def _script_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    reasons = []
    if before.get("script") != now.get("script") or before.get("hook") != now.get("hook"):
        reasons.append("command changed")
    if env := _env_difference(before, now):
        reasons.append(env)
    old, new = before.get("secrets", {}), now.get("secrets", {})
    if names := sorted(name for name in {*old, *new} if old.get(name) != new.get(name)):
        reasons.append(f"secret changed: {', '.join(names)}")
    return "; ".join(reasons) or "changed"


def _env_difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    old, new = before.get("env", {}), now.get("env", {})
    names = sorted(name for name in {*old, *new} if old.get(name) != new.get(name))
    return f"environment changed: {', '.join(names)}" if names else ""


def _file_difference(old: Iterable[Mapping[str, str]], new: Iterable[Mapping[str, str]]) -> str:
    before, now = {file["to"]: file for file in old}, {file["to"]: file for file in new}
    touched = [path for path in now if path in before and now[path] != before[path]]
    marks = [*touched, *([m] if (m := _marks(list(before), list(now))) else [])]
    return ", ".join(marks) or "in another order"


def _marks(old: Sequence[str], new: Sequence[str]) -> str:
    added = [f"+ {item}" for item in new if item not in old]
    removed = [f"- {item}" for item in old if item not in new]
    return ", ".join((*added, *removed))
