"""Ways through a document of unknown shape: what is not as expected is left out, never an error."""

from __future__ import annotations

from collections.abc import Iterator

from ingot.template.tree import Loc

Mapped = dict[str, object]


def get_map(value: object, key: str) -> Mapped:
    """The mapping below `key`, or an empty one."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else {}


def get_text(value: Mapped, key: str) -> str:
    """The text below `key`, or ""."""
    found = value.get(key)
    return found if isinstance(found, str) else ""


def get_integer(value: Mapped, key: str) -> int | None:
    found = value.get(key)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def list_maps(value: Mapped, key: str, loc: Loc = ()) -> Iterator[tuple[Loc, Mapped]]:
    """The mappings in the list below `key`, each with where it is."""
    found = value.get(key)
    for place, entry in enumerate(found if isinstance(found, list) else ()):
        if isinstance(entry, dict):
            yield (*loc, key, place), entry


def list_texts(value: Mapped, key: str, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """The texts in the list below `key`, each with where it is."""
    found = value.get(key)
    for place, entry in enumerate(found if isinstance(found, list) else ()):
        if isinstance(entry, str):
            yield (*loc, key, place), entry


def list_services(document: Mapped) -> Iterator[tuple[Loc, Mapped]]:
    """All services of all apps."""
    for loc, app in list_maps(document, "apps"):
        yield from list_maps(app, "services", loc)


def names_of(entries: Iterator[tuple[Loc, Mapped]]) -> list[str]:
    names = (entry.get("name") for _, entry in entries)
    return [name for name in names if isinstance(name, str)]


def list_all_texts(value: object, loc: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Every text in the document."""
    if isinstance(value, str):
        yield loc, value
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from list_all_texts(child, (*loc, key))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from list_all_texts(child, (*loc, place))
