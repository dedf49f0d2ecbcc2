"""From the bytes of a publish, a validate or a file to a template: every problem is told at once.

Three shapes are taken: the document itself, `{template: document}`, and an envelope of namespace, name,
version and template. Fields of problems are told relative to the document.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from ingot.errors import TemplateError
from ingot.records.problem import Problem, ProblemCode
from ingot.records.ref import RESERVED_NAMESPACES, is_name, is_version
from ingot.records.template import Template
from ingot.template.canonical import canonical_of
from ingot.template.hints import suggest
from ingot.template.interpolate import fill_in
from ingot.template.rules import check_rules
from ingot.template.shape import check_shape, find_empty
from ingot.template.source import read_source
from ingot.template.sugar import expand_sugar
from ingot.template.tree import Finding, Node, find_node, locate, show, to_plain
from ingot.template.typed import load_canonical, warnings_of

MAX_PROBLEMS = 200

_ENVELOPE_KEYS = ("namespace", "name", "version", "template")


@dataclass(frozen=True, slots=True)
class Publication:
    """A document that can be published. `namespace` is the envelope's, None without one; `warnings` tell what
    a build cannot do yet."""

    namespace: str | None
    template: Template
    canonical: dict[str, Any]
    warnings: tuple[str, ...] = ()


def parse_publication(body: bytes, content_type: str | None) -> Publication:
    """Reads a request body in any of the three shapes.

    Raises TemplateError with all problems; RequestError (`bad_body`) for a body that is empty, not UTF-8 or
    neither YAML nor JSON; TooLargeError above 4 MiB.
    """
    return _publish(body, content_type, "")


def parse_template(body: bytes, content_type: str | None = None, file_name: str = "") -> Publication:
    """Reads a file, whose name may tell its format; otherwise as `parse_publication`."""
    return _publish(body, content_type, file_name)


def _publish(body: bytes, content_type: str | None, file_name: str) -> Publication:
    reading = read_source(body, content_type, file_name)
    envelope, written = _split(reading.root)
    problems = _Problems(reading.problems if envelope is None else [_inside(found) for found in reading.problems])
    root, conflicts = expand_sugar(written)
    problems.add(conflicts)
    plain = to_plain(root)
    problems.add(locate(root, finding) for finding in find_empty(plain))
    document, misfits = check_shape(root, plain)
    problems.add(locate(root, finding) for finding in misfits)
    filled, unfilled = fill_in(plain)
    problems.add(locate(root, finding) for finding in unfilled)
    problems.add(locate(root, finding) for finding in check_rules(filled))
    if envelope is not None:
        problems.add(_check_envelope(envelope, root))
    if problems.found or document is None:
        raise TemplateError(problems.in_order())
    canonical = canonical_of(document)
    template = load_canonical(canonical)
    namespace = envelope.value.get("namespace") if envelope is not None and isinstance(envelope.value, dict) else None
    return Publication(
        str(namespace.value) if namespace is not None else None, template, canonical, warnings_of(template)
    )


class _Problems:
    """Problems of all stages. A stage says nothing more about a field that an earlier one objected to, since
    one mistake should be told once; keys given twice are apart from what their first value is."""

    def __init__(self, found: Iterable[Problem]) -> None:
        self.found = list(found)

    def add(self, more: Iterable[Problem]) -> None:
        told = {problem.field for problem in self.found if problem.code is not ProblemCode.DUPLICATE}
        self.found += [problem for problem in more if problem.field not in told or not problem.field]

    def in_order(self) -> list[Problem]:
        """In the order of the source; what passes 200 is told as a number."""
        ordered = sorted(self.found, key=lambda problem: (problem.line or 0, problem.column or 0))
        if len(ordered) > MAX_PROBLEMS:
            message = f"and {len(ordered) - MAX_PROBLEMS} more problems"
            return [*ordered[:MAX_PROBLEMS], Problem("", ProblemCode.TOO_MANY, message)]
        return ordered


def _split(root: Node) -> tuple[Node | None, Node]:
    """The envelope, where there is one, and the document, made the root of its own tree."""
    fields = root.value
    if not isinstance(fields, dict) or "api_version" in fields:
        return None, root
    inner = fields.get("template")
    if inner is None:
        return None, root
    holds = inner.value if isinstance(inner.value, dict) else {}
    if "namespace" not in fields and not {"api_version", "template"} & holds.keys():
        return None, root
    inner.parent, inner.key = None, ""
    return root, inner


def _inside(problem: Problem) -> Problem:
    """Readers name fields before it is known that the document is inside an envelope."""
    return replace(problem, field=problem.field.removeprefix("template").removeprefix("."))


def _check_envelope(envelope: Node, root: Node) -> Iterator[Problem]:
    fields = envelope.value
    assert isinstance(fields, dict)
    for key, node in fields.items():
        if key not in _ENVELOPE_KEYS:
            message = f"there is no field {show(key)} in the envelope"
            hint = suggest(key, _ENVELOPE_KEYS)
            yield Problem(key, ProblemCode.UNKNOWN_FIELD, message, hint, *node.key_place())
        elif key != "template":
            yield from _check_envelope_field(key, node, root)


def _check_envelope_field(key: str, node: Node, root: Node) -> Iterator[Problem]:
    value = node.value
    finding: Finding | None = None
    if not isinstance(value, str):
        hint = f'quote it: "{node.raw}"' if node.raw else None
        finding = Finding((), ProblemCode.INVALID_TYPE, f"the envelope's {key} must be text", hint)
    elif key == "version" and not is_version(value):
        message = f"the envelope's version {show(value)} is not a semantic version"
        finding = Finding((), ProblemCode.INVALID_FORMAT, message, "write three numbers, such as 1.0.0")
    elif key != "version" and not is_name(value):
        message = f"the envelope's {key} {show(value)} does not fit: write lower-case letters, digits and inner dashes"
        finding = Finding((), ProblemCode.INVALID_FORMAT, message)
    elif key == "namespace":
        if value in RESERVED_NAMESPACES:
            message = f"the namespace {show(value)} is reserved"
            finding = Finding(
                (), ProblemCode.RESERVED, message, "publish into a namespace of your own, such as default"
            )
    else:
        stated = find_node(root, ("template", key))
        if stated is not None and isinstance(stated.value, str) and stated.value != value:
            message = f"the envelope's {key} {show(value)} disagrees with the document's {show(stated.value)}"
            finding = Finding((), ProblemCode.CONFLICT, message, "make them the same, or leave the envelope's out")
    if finding is not None:
        yield Problem(key, finding.code, finding.message, finding.hint, node.line, node.column)
