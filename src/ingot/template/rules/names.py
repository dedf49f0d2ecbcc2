"""Names that must be there only once, and the template's reserved ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ingot.records.problem import ProblemCode
from ingot.template.rules.walk import Mapped, get_map, list_maps, list_services, list_texts
from ingot.template.tree import Finding, Loc, format_path, show


def check_names(document: Mapped) -> Iterator[Finding]:
    """Unique: secrets, apps, services over all apps, terminals, and the entries of lists of names."""
    yield from find_repeated(_names(list_maps(document, "secrets")), "the secret")
    yield from find_repeated(_names(list_maps(document, "apps")), "the app")
    yield from find_repeated(_names(list_services(document)), "the service", "services share one list over all apps")
    yield from find_repeated(_names(list_maps(document, "terminal")), "the terminal")
    yield from find_repeated(list_texts(get_map(document, "build"), "secrets", ("build",)), "the secret")
    for loc, app in list_maps(document, "apps"):
        yield from find_repeated(list_texts(app, "requires", loc), "the app")


def find_repeated(names: Iterable[tuple[Loc, object]], what: str, hint: str | None = None) -> Iterator[Finding]:
    """A finding for each name after its first."""
    first: dict[object, Loc] = {}
    for loc, name in names:
        if name in first:
            message = f"{what} {show(name)} is there twice, first at {format_path(first[name])}"
            yield Finding(loc, ProblemCode.DUPLICATE, message, hint)
        else:
            first[name] = loc


def _names(entries: Iterator[tuple[Loc, Mapped]]) -> Iterator[tuple[Loc, object]]:
    for loc, entry in entries:
        if isinstance(entry.get("name"), str):
            yield (*loc, "name"), entry["name"]
