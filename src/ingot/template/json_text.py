"""Reads JSON text into a tree of nodes, with the place of every value and every duplicate key.

JSON has its own reader because YAML is not quite its superset (surrogate pairs, long keys, tabs). It is
bounded in depth and nodes like the YAML reader and makes the same tree.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined] # not in the stubs
from typing import NoReturn

from ingot.errors import RequestError, TemplateError
from ingot.records.problem import Problem, ProblemCode
from ingot.template.tree import MAX_DEPTH, MAX_NODES, Node, Reading, Scalar, check_key, check_scalar, read_integer, show

_BLANK = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*))(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar] = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}
_WORD = re.compile("|".join(_WORDS))


def read_json(text: str) -> Reading:
    """Reads one JSON value. Raises RequestError `bad_body` with line and column where the text is no JSON, and
    TemplateError where its nesting or size passes the bounds. NaN and Infinity are problems of their field."""
    reader = _Reader(text)
    root, position = reader.value(reader.skip(0), None, "")
    if reader.skip(position) != len(text):
        reader.refuse("the JSON value ends here, and more text follows", reader.skip(position))
    if root.value is None:
        raise RequestError("the body is empty: send a template as YAML or JSON", code="bad_body")
    return Reading(root, reader.problems)


class _Reader:
    def __init__(self, text: str) -> None:
        self.problems: list[Problem] = []
        self._text = text
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]
        self._nodes = 0
        self._depth = 0

    def skip(self, position: int) -> int:
        found = _BLANK.match(self._text, position)
        assert found is not None  # it matches the empty text
        return found.end()

    def value(self, position: int, parent: Node | None, key: str | int) -> tuple[Node, int]:
        """Reads the value at `position`; returns its node and the position behind it."""
        line, column = self._place(position)
        node = Node(None, line, column, parent=parent, key=key)
        self._count(node)
        opening = self._text[position : position + 1]
        if opening in ("{", "["):
            self._depth += 1
            self._check_depth(node)
            position = self._object(position, node) if opening == "{" else self._array(position, node)
            self._depth -= 1
            return node, position
        if opening == '"':
            node.value, position = self._string(position)
        else:
            position = self._word_or_number(position, node)
        self._note(check_scalar(node))
        return node, position

    def _object(self, position: int, node: Node) -> int:
        entries: dict[str, Node] = {}
        node.value = entries
        position = self.skip(position + 1)
        if self._text[position : position + 1] == "}":
            return position + 1
        while True:
            position = self._entry(position, node, entries)
            if self._text[position : position + 1] == "}":
                return position + 1
            position = self._comma(position, "}")

    def _entry(self, position: int, node: Node, entries: dict[str, Node]) -> int:
        if self._text[position : position + 1] != '"':
            self.refuse("a key in double quotes is due here", position)
        place = self._place(position)
        key, position = self._string(position)
        position = self.skip(position)
        if self._text[position : position + 1] != ":":
            self.refuse("a colon is due behind the key", position)
        child, position = self.value(self.skip(position + 1), node, key)
        child.key_line, child.key_column = place
        key, problem = check_key(child, key)
        self._note(problem)
        first = entries.setdefault(key, child)
        if first is not child:
            message = f"the key {show(key)} is there twice, first at line {first.key_line}"
            self._note(Problem(child.path(), ProblemCode.DUPLICATE, message, "keep one of the two", *place))
        return self.skip(position)

    def _array(self, position: int, node: Node) -> int:
        items: list[Node] = []
        node.value = items
        position = self.skip(position + 1)
        if self._text[position : position + 1] == "]":
            return position + 1
        while True:
            child, position = self.value(position, node, len(items))
            items.append(child)
            position = self.skip(position)
            if self._text[position : position + 1] == "]":
                return position + 1
            position = self._comma(position, "]")

    def _comma(self, position: int, closing: str) -> int:
        if self._text[position : position + 1] != ",":
            self.refuse(f"a comma or {closing} is due here", position)
        return self.skip(position + 1)

    def _string(self, position: int) -> tuple[str, int]:
        try:
            scanned: tuple[str, int] = scanstring(self._text, position + 1, True)
        except JSONDecodeError as error:
            self.refuse(error.msg[:1].lower() + error.msg[1:].removesuffix(" at"), error.pos)
        return scanned

    def _word_or_number(self, position: int, node: Node) -> int:
        word = _WORD.match(self._text, position)
        if word is not None:
            node.value, node.raw = _WORDS[word.group()], word.group()
            return word.end()
        number = _NUMBER.match(self._text, position)
        if number is None:
            self.refuse("a JSON value is due here", position)
        node.raw = number.group()
        whole, fraction, exponent = number.groups()
        node.value = read_integer(whole) if fraction is None and exponent is None else float(node.raw)
        return number.end()

    def _count(self, node: Node) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._give_up(node, f"the document has more than {MAX_NODES:,} values")

    def _check_depth(self, node: Node) -> None:
        if self._depth > MAX_DEPTH:
            self._give_up(node, f"the document is nested deeper than {MAX_DEPTH} levels")

    def _give_up(self, node: Node, message: str) -> NoReturn:
        problem = Problem("", ProblemCode.TOO_MANY, message, None, node.line, node.column)
        raise TemplateError([*self.problems, problem])

    def _note(self, problem: Problem | None) -> None:
        if problem is not None:
            self.problems.append(problem)

    def _place(self, position: int) -> tuple[int, int]:
        line = bisect_right(self._starts, position)
        return line, position - self._starts[line - 1] + 1

    def refuse(self, why: str, position: int) -> NoReturn:
        line, column = self._place(position)
        raise RequestError(f"the body is not JSON: {why} (line {line}, column {column})", code="bad_body")
