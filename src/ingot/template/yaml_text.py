"""Reads YAML 1.2 text into a tree of nodes.

libyaml's event stream (bounded in depth and nodes while it is read) is composed here, and scalars follow
the YAML 1.2 core schema: `no` and `on` are text. Anchors, aliases, tags and duplicate keys are problems;
no value is ever constructed from anything but text, numbers, booleans and null.
"""

from __future__ import annotations

import re
from typing import Any

import yaml  # type: ignore[import-untyped] # ships no types; only its event stream is used
from yaml._yaml import CParser  # type: ignore[import-untyped] # the libyaml binding

from ingot.errors import RequestError, TemplateError
from ingot.records.problem import Problem, ProblemCode
from ingot.template.tree import MAX_DEPTH, MAX_NODES, Node, Reading, check_key, check_scalar, read_integer, show

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff]")
_DIRECTIVE = re.compile(r"^%(?!YAML[ \t])", re.MULTILINE)
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_REPEAT = "repeat the value, or use vars and ${var.NAME}"
_NUMERIC = frozenset("+-.0123456789")


def read_yaml(text: str) -> Reading:
    """Reads one document. Raises RequestError `bad_body` where the text is no YAML (with line and column), and
    TemplateError where its nesting or size passes the bounds."""
    _refuse_characters(text)
    parser = CParser(text)
    composer = _Composer()
    try:
        while (event := parser.get_event()) is not None:
            composer.take(event)
    except yaml.YAMLError as error:
        raise RequestError(_explain(error), code="bad_body") from error
    finally:
        parser.dispose()
    if composer.root is None or composer.root.value is None:
        raise RequestError("the body is empty: send a template as YAML or JSON", code="bad_body")
    return Reading(composer.root, composer.problems)


def resolve_scalar(text: str) -> str | int | float | bool | None:
    """A bare scalar by the YAML 1.2 core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.fullmatch(text):
        return read_integer(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


class _Composer:
    """Builds the tree from events, in one pass and without recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._open: list[Node] = []
        self._keys: list[Node | None] = []
        self._nodes = 0
        self._handlers = {
            yaml.ScalarEvent: self._scalar,
            yaml.MappingStartEvent: self._mapping,
            yaml.SequenceStartEvent: self._sequence,
            yaml.MappingEndEvent: self._end,
            yaml.SequenceEndEvent: self._end,
            yaml.AliasEvent: self._alias,
            yaml.DocumentStartEvent: self._document,
        }

    def take(self, event: Any) -> None:
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def _document(self, event: Any) -> None:
        if self.root is not None:
            line = event.start_mark.line + 1
            raise RequestError(
                f"the body holds a second YAML document at line {line}; send one template at a time", code="bad_body"
            )

    def _scalar(self, event: Any) -> None:
        bare = event.style == "" or event.style is None
        node = self._place(event, resolve_scalar(event.value) if bare else event.value)
        if bare:
            node.raw = event.value
        if self._attach(node, event):
            self._note(check_scalar(node))

    def _mapping(self, event: Any) -> None:
        self._begin(self._place(event, {}), event)

    def _sequence(self, event: Any) -> None:
        self._begin(self._place(event, []), event)

    def _begin(self, node: Node, event: Any) -> None:
        if not self._attach(node, event):
            message = "a key must be text, and this one is a mapping or list"
            raise self._give_up(Problem("", ProblemCode.INVALID_TYPE, message, None, node.line, node.column))
        self._open.append(node)
        self._keys.append(None)
        if len(self._open) > MAX_DEPTH:
            message = f"the document is nested deeper than {MAX_DEPTH} levels"
            raise self._give_up(Problem("", ProblemCode.TOO_MANY, message, None, node.line, node.column))

    def _end(self, _event: Any) -> None:
        self._open.pop()
        self._keys.pop()

    def _alias(self, event: Any) -> None:
        node = self._place(event, None)
        if self._attach(node, event):
            self._object(node, f"the alias *{event.anchor} is not supported: aliases can grow without bound", _REPEAT)

    def _place(self, event: Any, value: str | int | float | bool | dict[str, Node] | list[Node] | None) -> Node:
        self._nodes += 1
        mark = event.start_mark
        node = Node(value, mark.line + 1, mark.column + 1)
        if self._nodes > MAX_NODES:
            message = f"the document has more than {MAX_NODES:,} values"
            raise self._give_up(Problem("", ProblemCode.TOO_MANY, message, None, node.line, node.column))
        return node

    def _attach(self, node: Node, event: Any) -> bool:
        """Puts the node where it belongs; False when it was taken as the next value's key."""
        if not self._open:
            self.root = node
        else:
            container = self._open[-1]
            node.parent = container
            if isinstance(container.value, list):
                node.key = len(container.value)
                container.value.append(node)
            elif self._keys[-1] is None:
                self._keys[-1] = node
                return False
            else:
                self._enter(container, self._keys[-1], node)
                self._keys[-1] = None
        self._check_properties(node, event)
        return True

    def _enter(self, container: Node, key: Node, node: Node) -> None:
        """Puts a value under its key; a key that was there already keeps its first value."""
        entries = container.value
        assert isinstance(entries, dict)
        name = key.value if isinstance(key.value, str) else key.raw
        node.key, node.key_line, node.key_column = name, key.line, key.column
        if not isinstance(key.value, str):
            message = f"a key must be text, and {key.raw or 'this one'} is {_kind(key.value)}"
            hint = f'quote it: "{key.raw}"' if key.raw else None
            self._note(Problem(node.path(), ProblemCode.INVALID_TYPE, message, hint, key.line, key.column))
        else:
            name, problem = check_key(node, name)
            self._note(problem)
        first = entries.setdefault(name, node)
        if first is not node:
            message = f"the key {show(name)} is there twice, first at line {first.key_line}"
            hint = "keep one of the two"
            self._note(Problem(node.path(), ProblemCode.DUPLICATE, message, hint, key.line, key.column))

    def _check_properties(self, node: Node, event: Any) -> None:
        if type(event) is yaml.AliasEvent:
            return
        if event.anchor is not None:
            self._object(node, f"the anchor &{event.anchor} is not supported", _REPEAT)
        if event.tag is not None:
            self._object(
                node, f"the tag {show(event.tag)} is not supported", "write the value without a tag; quote text"
            )

    def _object(self, node: Node, message: str, hint: str) -> None:
        self.problems.append(Problem(node.path(), ProblemCode.INVALID_FORMAT, message, hint, node.line, node.column))

    def _note(self, problem: Problem | None) -> None:
        if problem is not None:
            self.problems.append(problem)

    def _give_up(self, problem: Problem) -> TemplateError:
        return TemplateError([*self.problems, problem])


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    return "a boolean" if isinstance(value, bool) else "a number"


def _refuse_characters(text: str) -> None:
    """What libyaml (a YAML 1.1 scanner) would refuse without a place, or read otherwise than YAML 1.2 does."""
    found = _CONTROL.search(text)
    if found is not None:
        code = ord(found.group())
        place = _place_of(text, found.start())
        hint = f'write it as an escape in double quotes, "\\u{code:04x}", or send JSON' if code else "remove it"
        raise RequestError(
            f"the body has the character U+{code:04X} at {place}, which YAML text cannot hold",
            hint=hint,
            code="bad_body",
        )
    if (directive := _DIRECTIVE.search(text)) is not None:
        place = _place_of(text, directive.start())
        raise RequestError(f"the body has a YAML directive at {place}; only %YAML is supported", code="bad_body")


def _place_of(text: str, offset: int) -> str:
    line = text.count("\n", 0, offset) + 1
    return f"line {line}, column {offset - (text.rfind(chr(10), 0, offset) + 1) + 1}"


def _explain(error: Any) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    words = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
    context = getattr(error, "context", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""
    return f"the body is not YAML: {words}{place}" + (f" ({context})" if context else "")
