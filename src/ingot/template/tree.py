"""A document as it was written: plain values, each with the place it came from.

YAML and JSON are read into the same `Node` tree, so that everything behind the readers is told apart by
nothing but content. Sugar moves nodes to other places of the tree; a node keeps its own written path and
position, and problems are always told in the author's words. Nothing here knows what a template means.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from ingot.records.problem import Problem, ProblemCode

Key = str | int
Loc = tuple[Key, ...]
Scalar = str | int | float | bool | None

MAX_DEPTH = 32
MAX_NODES = 20_000
MAX_INTEGER = 2**53 - 1
"""The greatest integer that every JSON reader keeps exactly (RFC 8785 takes no other)."""

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_LARGEST_SHOWN = 60


@dataclass(slots=True, eq=False)
class Node:
    """One value. `raw` is a bare scalar's own text; `parent` and `key` say where it was written (the root has
    none); `line` and `column` count from 1 and are the value's, `key_line` and `key_column` its key's."""

    value: Scalar | dict[str, Node] | list[Node]
    line: int
    column: int
    raw: str = ""
    parent: Node | None = None
    key: Key = ""
    key_line: int = 0
    key_column: int = 0

    def path(self) -> str:
        """The written path, such as `apps[0].services[1].run`; "" for the root."""
        keys: list[Key] = []
        node = self
        while node.parent is not None:
            keys.append(node.key)
            node = node.parent
        return format_path(keys[::-1])

    def key_place(self) -> tuple[int, int]:
        return (self.key_line, self.key_column) if self.key_line else (self.line, self.column)


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at `loc` of the expanded document. `at_key`: the key itself is what is wrong."""

    loc: Loc
    code: ProblemCode
    message: str
    hint: str | None = None
    at_key: bool = False


@dataclass(slots=True)
class Reading:
    """What a reader made of a text: the tree, and what it had to object to without stopping."""

    root: Node
    problems: list[Problem] = field(default_factory=list)


def format_path(keys: Sequence[Key]) -> str:
    """Joins keys to a field name; keys that are not plain words are shown as `files["/etc/motd"]`."""
    parts: list[str] = []
    for key in keys:
        if isinstance(key, int):
            parts.append(f"[{key}]")
        elif _PLAIN_KEY.fullmatch(key):
            parts.append(f".{key}" if parts else key)
        else:
            parts.append(f"[{show(key)}]")
    return "".join(parts)


def show(value: object) -> str:
    """A value as a message may carry it: short, on one line, storable."""
    if isinstance(value, str):
        text = value if len(value) <= _LARGEST_SHOWN else value[: _LARGEST_SHOWN - 1] + "…"
        return json.dumps(text) if _is_odd(text) else f'"{text}"'
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_odd(text: str) -> bool:
    return not text.isprintable() or '"' in text


def to_plain(node: Node) -> object:
    """The tree's values as ordinary dicts, lists and scalars."""
    value = node.value
    if isinstance(value, dict):
        return {key: to_plain(child) for key, child in value.items()}
    if isinstance(value, list):
        return [to_plain(child) for child in value]
    return value


def locate(root: Node, finding: Finding) -> Problem:
    """Turns a finding into a problem in the author's words: written path, line and column."""
    node, rest = _walk(root, finding.loc)
    tail = format_path(rest)
    path = node.path()
    name = path + (tail if not path or tail.startswith("[") or not tail else f".{tail}")
    line, column = node.key_place() if finding.at_key or rest else (node.line, node.column)
    return Problem(name, finding.code, finding.message, finding.hint, line, column)


def _walk(root: Node, loc: Loc) -> tuple[Node, Loc]:
    """The deepest node on the way to `loc`, and what of `loc` is not there."""
    node = root
    for place, key in enumerate(loc):
        child = _child(node, key)
        if child is None:
            return node, loc[place:]
        node = child
    return node, ()


def _child(node: Node, key: Key) -> Node | None:
    value = node.value
    if isinstance(value, dict):
        return value.get(key) if isinstance(key, str) else None
    if isinstance(value, list) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def find_node(root: Node, loc: Loc) -> Node | None:
    """The node at `loc`, or None where there is none."""
    node, rest = _walk(root, loc)
    return None if rest else node


def check_scalar(node: Node) -> Problem | None:
    """What no field may hold: numbers that JSON cannot carry exactly, NUL, half a surrogate pair. Text that
    cannot be stored is replaced in the tree, so that everything behind the readers may rely on it."""
    value = node.value
    message = None
    code = ProblemCode.INVALID_FORMAT
    if isinstance(value, str):
        message = _check_text(value)
        if message is not None:
            node.value = _UNSTORABLE.sub("\ufffd", value)
    elif isinstance(value, float) and not math.isfinite(value):
        message = f"{node.raw or value} is not a number that a template can hold"
        code = ProblemCode.OUT_OF_RANGE
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        message = f"the number is beyond ±{MAX_INTEGER}, which JSON cannot carry exactly"
        code = ProblemCode.OUT_OF_RANGE
    if message is None:
        return None
    return Problem(node.path(), code, message, _quote_hint(node), node.line, node.column)


def check_key(node: Node, key: str) -> tuple[str, Problem | None]:
    """The key as the tree may hold it, and what is wrong with the one that was written."""
    message = _check_text(key)
    if message is None:
        return key, None
    clean = _UNSTORABLE.sub("\ufffd", key)
    node.key = clean
    text = f"the key cannot be used: {message}"
    return clean, Problem(node.path(), ProblemCode.INVALID_FORMAT, text, None, *node.key_place())


def _check_text(text: str) -> str | None:
    found = _UNSTORABLE.search(text)
    if found is None:
        return None
    if found.group() == "\x00":
        return f"the text has a NUL character at position {found.start()}, which no file or command can hold"
    code = f"U+{ord(found.group()):04X}"
    return f"the text has half a surrogate pair ({code}) at position {found.start()}, which is no character"


def _quote_hint(node: Node) -> str | None:
    return f'if text is meant, quote it: "{node.raw}"' if node.raw and len(node.raw) <= _LARGEST_SHOWN else None


def read_integer(text: str) -> int:
    """`text` as an integer (decimal, 0o, 0x); any that is too long to matter becomes one past the limit."""
    if len(text) > 40:
        return MAX_INTEGER + 1
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
