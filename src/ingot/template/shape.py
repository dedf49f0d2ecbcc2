"""Checks a document against the models and tells what does not fit in the author's words.

The models' error types are translated here and nowhere else; a message never shows pydantic's own text
unless a type appears that this table does not know.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import ValidationError

from ingot.records.problem import ProblemCode
from ingot.records.ref import NAME_PATTERN
from ingot.template.document import OTHER_TAG, SECRET_TAG, TEXT_TAG, Document
from ingot.template.hints import suggest
from ingot.template.tree import Finding, Loc, Node, find_node, show
from ingot.template.words import PATTERN_WORDS

SUGAR_KEYS = (
    "name",
    "cpu",
    "ram",
    "display",
    "on_first_boot",
    "on_every_boot",
    "on_pre_snapshot",
    "on_resume",
    "on_shutdown",
)
"""What may stand at the top level beside the canonical keys (sugar.py expands it)."""

_TAGS = frozenset((TEXT_TAG, SECRET_TAG, OTHER_TAG))
_EMPTY_HINT = "give it a value, or remove it"
_NAME_WORDS = "lower-case letters, digits and inner dashes, 1 to 64 characters"
_Schema = dict[str, Any]


def check_shape(root: Node, plain: object) -> tuple[Document | None, list[Finding]]:
    """The validated document, or None and everything that does not fit the models."""
    try:
        return Document.model_validate(plain), []
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return None, [_translate(root, entry) for entry in errors]


def find_empty(value: object, loc: Loc = ()) -> Iterator[Finding]:
    """Fields that are there and hold nothing: told wherever they are, since `apps:` alone is a slip. Only a
    request's body may hold null."""
    if value is None:
        yield Finding(loc, ProblemCode.INVALID_TYPE, "is empty", _EMPTY_HINT)
    elif isinstance(value, dict):
        for key, child in value.items():
            if key != "body" or not loc or loc[0] != "triggers" or child is None:
                yield from find_empty(child, (*loc, key))
    elif isinstance(value, list):
        for place, child in enumerate(value):
            yield from find_empty(child, (*loc, place))


@dataclass(frozen=True, slots=True)
class _Misfit:
    """One error of the models: where, the offending node where there is one, and the error's own numbers."""

    loc: Loc
    node: Node | None
    context: Mapping[str, Any]
    text: str

    @property
    def shown(self) -> str:
        """The offending value in words."""
        return _describe(self.node) if self.node is not None else "missing"


_Answer = tuple[ProblemCode, str, str | None]


def _translate(root: Node, error: Any) -> Finding:
    loc: Loc = tuple(key for key in error["loc"] if key not in _TAGS)
    at_key = bool(loc) and loc[-1] == "[key]"
    loc = loc[:-1] if at_key else loc
    misfit = _Misfit(loc, find_node(root, loc), error.get("ctx", {}), error["msg"])
    kind = error["type"]
    if at_key:
        code, message, hint = _bad_key(misfit)
    elif kind in _ANSWERS:
        code, message, hint = _ANSWERS[kind](misfit)
    elif kind in _TYPES:
        code, message, hint = _wrong_type(misfit, _TYPES[kind])
    else:
        code, message, hint = ProblemCode.INVALID_FORMAT, misfit.text, None
    return Finding(loc, code, message, hint, at_key or kind == "extra_forbidden")


def _describe(node: Node) -> str:
    value = node.value
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return f"the boolean {show(value)}"
    if isinstance(value, (int, float)):
        return f"the number {node.raw or value}"
    return "empty" if value is None else f"the text {show(value)}"


def _wrong_type(misfit: _Misfit, due: str) -> _Answer:
    return ProblemCode.INVALID_TYPE, f"must be {due}, and is {misfit.shown}", _type_hint(misfit, due)


def _type_hint(misfit: _Misfit, due: str) -> str | None:
    value = misfit.node.value if misfit.node is not None else None
    if value is None:
        return _EMPTY_HINT
    if due == "text" and misfit.node is not None and misfit.node.raw:
        return f'quote it: "{misfit.node.raw}"'
    if isinstance(value, str) and due != "text" and "${" in value:
        return "variables are text: write the value itself here"
    if isinstance(value, str) and due in ("a number", "a whole number", "true or false"):
        return "write it without quotes"
    return "write a list: [one, two]" if due == "a list" and isinstance(value, str) else None


def _missing(misfit: _Misfit) -> _Answer:
    return ProblemCode.REQUIRED, f'the field "{misfit.loc[-1]}" is required', _REQUIRED_HINTS.get(misfit.loc)


def _unknown(misfit: _Misfit) -> _Answer:
    known = set(_fields_at(misfit.loc[:-1]))
    if len(misfit.loc) == 1:
        known.update(SUGAR_KEYS)
    return ProblemCode.UNKNOWN_FIELD, f"there is no field {show(misfit.loc[-1])} here", suggest(misfit.loc[-1], known)


def _not_in_set(misfit: _Misfit) -> _Answer:
    options = [str(option) for option in _options_at(misfit.loc)]
    value = misfit.node.value if misfit.node is not None else None
    if not isinstance(value, (str, int, float)) or (isinstance(value, bool) and options):
        return _wrong_type(misfit, f"one of {', '.join(options)}")
    message = f"{show(value)} is not one of {', '.join(options)}"
    return ProblemCode.INVALID_ENUM, message, suggest(value, options, None)


def _custom_set(misfit: _Misfit) -> _Answer:
    shown = show(misfit.node.value) if misfit.node is not None else misfit.shown
    return ProblemCode.INVALID_ENUM, f"{shown} is not one of {misfit.context['expected']}", None


def _custom_format(misfit: _Misfit) -> _Answer:
    return ProblemCode.INVALID_FORMAT, misfit.text, misfit.context.get("hint")


def _bad_pattern(misfit: _Misfit) -> _Answer:
    value = misfit.node.value if misfit.node is not None else ""
    pattern = misfit.context.get("pattern", "")
    words = _NAME_WORDS if pattern == NAME_PATTERN else PATTERN_WORDS.get(pattern, f"text that matches {pattern}")
    hint = None
    if isinstance(value, str) and "${" in value:
        hint = "variables are not filled in here: write the value itself"
    elif isinstance(value, str) and pattern == NAME_PATTERN:
        slug = re.sub(r"[^a-z0-9]+", "-", value[:64].lower()).strip("-")
        hint = f'did you mean "{slug}"?' if slug else None
    return ProblemCode.INVALID_FORMAT, f"{show(value)} does not fit: write {words}", hint


def _bad_key(misfit: _Misfit) -> _Answer:
    key = str(misfit.loc[-1])
    if misfit.loc[-2:-1] == ("env",):
        upper = re.sub(r"[^A-Z0-9_]+", "_", key[:64].upper())
        hint = f'did you mean "{upper}"?' if re.fullmatch(r"[A-Z_][A-Z0-9_]*", upper) else None
        words = "capital letters, digits and underscores, such as LOG_LEVEL"
        return ProblemCode.INVALID_FORMAT, f"the name {show(key)} does not fit: write {words}", hint
    return ProblemCode.INVALID_FORMAT, f"the key {show(key)} does not fit: {misfit.text}", None


def _too_small(misfit: _Misfit) -> _Answer:
    return ProblemCode.OUT_OF_RANGE, f"must be at least {_limit(misfit, 'ge')}, and is {misfit.shown}", None


def _too_great(misfit: _Misfit) -> _Answer:
    return ProblemCode.OUT_OF_RANGE, f"must be at most {_limit(misfit, 'le')}, and is {misfit.shown}", None


def _limit(misfit: _Misfit, name: str) -> str:
    return f"{misfit.context[name]:g}" if abs(misfit.context[name]) >= 1e15 else f"{misfit.context[name]}"


def _too_many(misfit: _Misfit) -> _Answer:
    value = misfit.node.value if misfit.node is not None else ()
    count = len(value) if isinstance(value, (dict, list)) else misfit.context.get("actual_length")
    return ProblemCode.TOO_MANY, f"has {count} entries, and at most {misfit.context['max_length']} are allowed", None


def _too_few(misfit: _Misfit) -> _Answer:
    return ProblemCode.REQUIRED, "needs at least one entry", None


def _empty(misfit: _Misfit) -> _Answer:
    return ProblemCode.REQUIRED, "must not be empty", None


def _too_long(misfit: _Misfit) -> _Answer:
    return ProblemCode.OUT_OF_RANGE, f"is longer than {misfit.context['max_length']} characters", None


_REQUIRED_HINTS: dict[Loc, str] = {
    ("api_version",): "begin with api_version: orgo.ai/v1",
    ("template",): "add template: {name: my-machine, version: 1.0.0}, or name: my-machine@1.0.0",
    ("template", "version"): "add version: 1.0.0, or write name: my-machine@1.0.0",
    ("template", "name"): "add name: my-machine",
}

_TYPES: dict[str, str] = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_ANSWERS: dict[str, Callable[[_Misfit], _Answer]] = {
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _not_in_set,
    "invalid_enum": _custom_set,
    "invalid_format": _custom_format,
    "string_pattern_mismatch": _bad_pattern,
    "greater_than_equal": _too_small,
    "less_than_equal": _too_great,
    "too_long": _too_many,
    "too_short": _too_few,
    "string_too_short": _empty,
    "string_too_long": _too_long,
}


@cache
def _schema() -> _Schema:
    return Document.model_json_schema(by_alias=True)


def _schemas_at(loc: Loc) -> list[_Schema]:
    """The schemas that may stand at `loc`: the models' own answer to what is allowed there."""
    found = _resolve(_schema())
    for key in loc:
        found = [deeper for schema in found for deeper in _step(schema, key)]
    return found


def _step(schema: _Schema, key: str | int) -> list[_Schema]:
    if isinstance(key, int):
        return _resolve(schema.get("items", {}))
    if key in schema.get("properties", {}):
        return _resolve(schema["properties"][key])
    more = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), None)
    return _resolve(more) if isinstance(more, dict) else []


def _resolve(schema: _Schema) -> list[_Schema]:
    if "$ref" in schema:
        return _resolve(_schema()["$defs"][schema["$ref"].rpartition("/")[2]])
    branches = schema.get("anyOf") or schema.get("oneOf")
    return [one for branch in branches for one in _resolve(branch)] if branches else [schema]


def _fields_at(loc: Loc) -> list[str]:
    return [name for schema in _schemas_at(loc) for name in schema.get("properties", {})]


def _options_at(loc: Loc) -> list[object]:
    found: list[object] = []
    for schema in _schemas_at(loc):
        found.extend(schema.get("enum", [schema["const"]] if "const" in schema else []))
    return found
