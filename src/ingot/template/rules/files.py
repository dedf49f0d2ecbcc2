"""Where files may go and what they are made from; and the other paths of a document."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from ingot.records.problem import ProblemCode
from ingot.template.hints import suggest
from ingot.template.rules.names import find_repeated
from ingot.template.rules.walk import Mapped, get_map, get_text, list_maps, list_services, list_texts
from ingot.template.tree import Finding, Loc, show

RESERVED_TARGETS = (
    "/proc",
    "/sys",
    "/boot",
    "/dev",
    "/tmp",  # noqa: S108 # a name that is refused, not a directory that is used
    "/run",
    "/etc/ingot",
    "/usr/lib/ingot",
    "/var/lib/ingot",
)
SOURCE_SCHEMES = ("http", "https", "git", "s3", "file", "secret")

_HOME = "/home/orgo"
_LINKS = (("/var/run", "/run"), ("/var/lock", "/run/lock"), ("/lib", "/usr/lib"), ("/bin", "/usr/bin"))


def resolve_target(target: str) -> str:
    """The target as one absolute path: `~` is the user's home, and Debian's own links are followed."""
    path = _HOME + target[1:] if target == "~" or target.startswith("~/") else target
    path = posixpath.normpath("/" + path.lstrip("/"))
    for link, destination in _LINKS:
        if path == link or path.startswith(link + "/"):
            path = destination + path[len(link) :]
    return path


def check_files(document: Mapped) -> Iterator[Finding]:
    targets: list[tuple[Loc, object]] = []
    for loc, entry in list_maps(document, "files"):
        yield from _check_content(entry, loc)
        target = get_text(entry, "to")
        if not target:
            continue
        wrong = _check_target(target, (*loc, "to"))
        if wrong is not None:
            yield wrong
        else:
            targets.append(((*loc, "to"), resolve_target(target)))
    yield from find_repeated(targets, "the target")
    yield from _check_paths(document)


def _check_content(entry: Mapped, loc: Loc) -> Iterator[Finding]:
    given = [key for key in ("from", "inline") if entry.get(key) is not None]
    if len(given) == 2:
        yield Finding((*loc, "from"), ProblemCode.CONFLICT, "from and inline are both given", "keep one of the two")
    elif not given:
        message = "the file has no content: one of from and inline is required"
        yield Finding((*loc, "inline"), ProblemCode.REQUIRED, message, "add inline: text, or from: https://…")
    source = get_text(entry, "from")
    scheme, separator, _ = source.partition("://")
    if source and (not separator or scheme.removeprefix("git+") not in SOURCE_SCHEMES):
        message = f"{show(source)} is not a source: write a URL that begins with {', '.join(SOURCE_SCHEMES)}"
        yield Finding((*loc, "from"), ProblemCode.INVALID_FORMAT, message, suggest(scheme, SOURCE_SCHEMES))


def _check_target(target: str, loc: Loc) -> Finding | None:
    wrong = _check_path(target, loc, "the target")
    if wrong is not None:
        return wrong
    path = resolve_target(target)
    if path in ("/", _HOME) or target.endswith("/"):
        hint = "add the file's name"
        return Finding(loc, ProblemCode.INVALID_FORMAT, f"the target {show(target)} names a directory", hint)
    for reserved in RESERVED_TARGETS:
        if path == reserved or path.startswith(reserved + "/"):
            message = f"the target {show(target)} is below {reserved}, which is reserved for the machine"
            return Finding(loc, ProblemCode.RESERVED, message, "choose a place such as /opt, /srv or ~/")
    return None


def _check_path(path: str, loc: Loc, what: str) -> Finding | None:
    if not path.startswith(("/", "~/")):
        message = f"{what} {show(path)} is not absolute: write /… or ~/…"
        return Finding(loc, ProblemCode.INVALID_FORMAT, message)
    if ".." in path.split("/"):
        return Finding(
            loc, ProblemCode.INVALID_FORMAT, f'{what} {show(path)} has a ".." in it', "write the path itself"
        )
    if "\n" in path:
        return Finding(loc, ProblemCode.INVALID_FORMAT, f"{what} {show(path)} has a line break in it")
    return None


def _check_paths(document: Mapped) -> Iterator[Finding]:
    """Working directories and data paths."""
    for loc, text in _paths(document):
        wrong = _check_path(text, loc, "the path") if text not in ("", "~") else None
        if wrong is not None:
            yield wrong


def _paths(document: Mapped) -> Iterator[tuple[Loc, str]]:
    for loc, service in list_services(document):
        yield (*loc, "cwd"), get_text(service, "cwd")
    for loc, terminal in list_maps(document, "terminal"):
        yield (*loc, "cwd"), get_text(terminal, "cwd")
    for loc, app in list_maps(document, "apps"):
        yield from list_texts(app, "data", loc)
    for loc, trigger in list_maps(document, "triggers"):
        yield (*loc, "source", "path"), get_text(get_map(trigger, "source"), "path")
        for place, action in list_maps(trigger, "actions", loc):
            yield (*place, "cwd"), get_text(action, "cwd")
