"""What each type of trigger source and action needs, and what it may point at."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ingot.records.problem import ProblemCode
from ingot.template.rules.references import unknown
from ingot.template.rules.walk import Mapped, get_map, get_text, list_maps, list_services, names_of
from ingot.template.tree import Finding, Loc, show

_SOURCE_FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "file": (("path",),),
    "log": (("service", "path"),),
    "process": (("process", "service"),),
    "http": (("url",),),
    "cron": (("schedule",),),
    "metric": (("metric",), ("op",), ("value",)),
    "event": (("event",),),
}
_ACTION_FIELDS: dict[str, tuple[tuple[str, ...], ...]] = {
    "webhook": (("url",),),
    "command": (("run",),),
    "service": (("op",), ("target",)),
    "notify": (("title", "message"),),
    "log": (("message",),),
    "api": (("endpoint",),),
}
_METHOD = re.compile(r"[A-Z]{3,16}")
_CRON_FIELD = re.compile(r"[0-9A-Za-z*/,?#L-]+")
_CRON_WORDS = frozenset(("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"))


def check_triggers(document: Mapped) -> Iterator[Finding]:
    services = names_of(list_services(document))
    for loc, trigger in list_maps(document, "triggers"):
        yield from _check_dedup(get_map(trigger, "dedup"), (*loc, "dedup"))
        yield from _check_source(get_map(trigger, "source"), (*loc, "source"), services)
        for place, action in list_maps(trigger, "actions", loc):
            yield from _check_action(action, place, services)


def _check_source(source: Mapped, loc: Loc, services: list[str]) -> Iterator[Finding]:
    yield from _check_due(source, loc, _SOURCE_FIELDS, "a source")
    yield from _check_method(source, loc)
    name = get_text(source, "service")
    if name and name not in services:
        yield unknown((*loc, "service"), "service", name, services)
    schedule = get_text(source, "schedule")
    if schedule and not _is_schedule(schedule):
        message = f"{show(schedule)} is no schedule: write five fields (minute hour day month weekday) or @daily"
        yield Finding((*loc, "schedule"), ProblemCode.INVALID_FORMAT, message, 'such as "*/5 * * * *"')


def _check_action(action: Mapped, loc: Loc, services: list[str]) -> Iterator[Finding]:
    yield from _check_due(action, loc, _ACTION_FIELDS, "an action")
    yield from _check_method(action, loc)
    target = get_text(action, "target")
    if action.get("type") == "service" and target and target not in services:
        yield unknown((*loc, "target"), "service", target, services)


def _check_due(entry: Mapped, loc: Loc, due: dict[str, tuple[tuple[str, ...], ...]], what: str) -> Iterator[Finding]:
    """Of each group, one field at least is there."""
    kind = get_text(entry, "type")
    for group in due.get(kind, ()):
        if all(entry.get(field) in (None, "") for field in group):
            fields = " or ".join(f'"{field}"' for field in group)
            message = f"{what} of type {kind} requires the field {fields}"
            yield Finding((*loc, group[0]), ProblemCode.REQUIRED, message)


def _check_method(entry: Mapped, loc: Loc) -> Iterator[Finding]:
    method = entry.get("method")
    if isinstance(method, str) and _METHOD.fullmatch(method) is None:
        message = f"{show(method)} is no HTTP method: write GET, POST, PUT, PATCH or DELETE"
        yield Finding((*loc, "method"), ProblemCode.INVALID_FORMAT, message)


def _check_dedup(dedup: Mapped, loc: Loc) -> Iterator[Finding]:
    given = [field for field in ("debounce", "cooldown", "rate_limit") if dedup.get(field) is not None]
    if len(given) > 1:
        message = f"{' and '.join(given)} are given, and at most one of debounce, cooldown and rate_limit may be"
        yield Finding((*loc, given[1]), ProblemCode.CONFLICT, message, "keep one of them")


def _is_schedule(text: str) -> bool:
    fields = text.split()
    if len(fields) == 1:
        return fields[0] in _CRON_WORDS
    return len(fields) == 5 and all(_CRON_FIELD.fullmatch(field) for field in fields)
