"""Names that must be declared where they are meant: apps, services and secrets."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from ingot.records.problem import ProblemCode
from ingot.template.hints import suggest
from ingot.template.rules.walk import (
    Mapped,
    get_map,
    get_text,
    list_all_texts,
    list_maps,
    list_services,
    list_texts,
    names_of,
)
from ingot.template.tree import Finding, Loc, show

RESTART_SERVICE = "restart_service:"
ON_FAIL = ("restart_service:NAME", "restart_vm", "alert", "none")

_SECRET_URL = re.compile(r"secret://([^/?#\s]+)")


def check_references(document: Mapped) -> Iterator[Finding]:
    yield from _check_secrets(document)
    services = names_of(list_services(document))
    for loc, app in list_maps(document, "apps"):
        yield from _check_on_fail(get_map(app, "health"), (*loc, "health", "on_fail"), services)


def check_requires(document: Mapped) -> Iterator[Finding]:
    """`requires` names other apps, and never in a circle."""
    apps = names_of(list_maps(document, "apps"))
    edges: dict[str, list[tuple[Loc, str]]] = {}
    for loc, app in list_maps(document, "apps"):
        name = get_text(app, "name")
        for place, required in list_texts(app, "requires", loc):
            if required == name:
                yield Finding(place, ProblemCode.CONFLICT, f"the app {show(name)} requires itself", "remove it")
            elif required not in apps:
                yield unknown(place, "app", required, apps)
            else:
                edges.setdefault(name, []).append((place, required))
    yield from _find_circles(edges)


def unknown(loc: Loc, what: str, name: str, known: Collection[str]) -> Finding:
    """`name` is not among the declared ones."""
    hint = suggest(name, known) or f"declare the {what}, or remove the reference"
    return Finding(loc, ProblemCode.UNKNOWN_REF, f"there is no {what} {show(name)}", hint)


def _check_secrets(document: Mapped) -> Iterator[Finding]:
    declared = names_of(list_maps(document, "secrets"))
    for loc, name in _secret_references(document):
        if name not in declared:
            hint = suggest(name, declared, "declared are") or f"declare it: secrets: [{{name: {name[:64]}}}]"
            message = f"the secret {show(name)} is not declared in secrets"
            yield Finding(loc, ProblemCode.UNKNOWN_REF, message, hint)


def _secret_references(document: Mapped) -> Iterator[tuple[Loc, str]]:
    yield from _secrets_in(get_map(document, "env"), ("env",))
    for loc, service in list_services(document):
        yield from _secrets_in(get_map(service, "env"), (*loc, "env"))
    yield from list_texts(get_map(document, "build"), "secrets", ("build",))
    for loc, stream in list_maps(document, "streaming"):
        yield from _secrets_in(stream, loc)
    for loc, trigger in list_maps(document, "triggers"):
        for place, action in list_maps(trigger, "actions", loc):
            yield from _secrets_in(get_map(action, "headers"), (*place, "headers"))
    for loc, text in list_all_texts(document):
        found = _SECRET_URL.fullmatch(text) if text.startswith("secret://") else None
        if found is not None:
            yield loc, found.group(1)


def _secrets_in(values: Mapped, loc: Loc) -> Iterator[tuple[Loc, str]]:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(value.get("secret"), str):
            yield (*loc, key, "secret"), value["secret"]


def _check_on_fail(health: Mapped, loc: Loc, services: list[str]) -> Iterator[Finding]:
    action = get_text(health, "on_fail")
    if action.startswith(RESTART_SERVICE):
        name = action.removeprefix(RESTART_SERVICE)
        if name not in services:
            yield unknown(loc, "service", name, services)
    elif isinstance(health.get("on_fail"), str) and action not in ON_FAIL[1:]:
        message = f"{show(action)} is not one of {', '.join(ON_FAIL)}"
        yield Finding(loc, ProblemCode.INVALID_ENUM, message, suggest(action, ON_FAIL, None))


def _find_circles(edges: dict[str, list[tuple[Loc, str]]]) -> Iterator[Finding]:
    """One finding for each edge that closes a circle, without recursion (64 apps, any shape)."""
    done: set[str] = set()
    for start in edges:
        path: list[str] = []
        pending: list[tuple[str, int]] = [(start, 0)]
        while pending:
            name, place = pending.pop()
            if place == 0 and name in done:
                continue
            if place == 0:
                path.append(name)
            follow = edges.get(name, [])
            if place == len(follow):
                done.add(path.pop())
                continue
            pending.append((name, place + 1))
            loc, required = follow[place]
            if required in path:
                circle = " → ".join((*path[path.index(required) :], required))
                message = f"the apps require each other in a circle: {circle}"
                yield Finding(loc, ProblemCode.CONFLICT, message, "remove one of the requires")
            else:
                pending.append((required, 0))
