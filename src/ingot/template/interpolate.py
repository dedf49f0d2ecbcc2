"""Fills `${var.X}` and `${env.X}` into a document's text; `$${var.X}` stays as `${var.X}`.

Everything else with a dollar sign is left alone: it belongs to the shells and servers that will read it.
Names, versions and the values of `vars` are literal; a value of `env` may use variables only. So nothing is
ever filled in twice, and the whole result is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ingot.records.problem import ProblemCode
from ingot.template.hints import suggest
from ingot.template.tree import Finding, Loc, show

MAX_FILLED_CHARACTERS = 16 * 1024 * 1024

LONGEST_NAME = 256

_REFERENCE = re.compile(rf"(\$?)\$\{{(var|env)\.([^$}}\n]{{0,{LONGEST_NAME}}})\}}")
_LITERAL_SECTIONS = frozenset(("api_version", "template", "secrets", "vars"))


def fill_in(document: object) -> tuple[object, list[Finding]]:
    """The document with its references filled in, and what could not be filled. The shape may be anything:
    what the models refuse is passed over."""
    if not isinstance(document, Mapping):
        return document, []
    filler = _Filler(_texts(document.get("vars")))
    filler.check_variables()
    env = document.get("env")
    filled_env = filler.fill(env, ("env",), in_env=True)
    filler.env = _texts(filled_env)
    if isinstance(env, Mapping):
        filler.secret_env = {name for name, value in env.items() if isinstance(value, Mapping)}
    filled: dict[object, object] = {}
    for section, value in document.items():
        if section == "env":
            filled[section] = filled_env
        elif section in _LITERAL_SECTIONS:
            filled[section] = value
        else:
            filled[section] = filler.fill(value, (str(section),))
    return filled, filler.findings


def _texts(section: object) -> dict[str, str]:
    if not isinstance(section, Mapping):
        return {}
    return {name: value for name, value in section.items() if isinstance(value, str)}


class _Filler:
    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.env: dict[str, str] = {}
        self.secret_env: set[str] = set()
        self.findings: list[Finding] = []
        self._told: set[tuple[Loc, str, str]] = set()
        self._room = MAX_FILLED_CHARACTERS

    def check_variables(self) -> None:
        for name, value in self.variables.items():
            found = _REFERENCE.search(value)
            if found is not None and not found.group(1):
                message = f"a variable's value is literal, and {show(found.group())} would not be filled in"
                self.findings.append(
                    Finding(("vars", name), ProblemCode.UNKNOWN_REF, message, "write the value itself")
                )

    def fill(self, value: object, loc: Loc, *, in_env: bool = False) -> object:
        """The value with every text in it filled in."""
        if isinstance(value, str):
            return self._fill_text(value, loc, in_env) if "${" in value else value
        if isinstance(value, Mapping):
            return {key: self.fill(child, (*loc, key), in_env=in_env) for key, child in value.items()}
        if isinstance(value, list):
            return [self.fill(child, (*loc, place), in_env=in_env) for place, child in enumerate(value)]
        return value

    def _fill_text(self, text: str, loc: Loc, in_env: bool) -> str:
        parts: list[str] = []
        end = 0
        for found in _REFERENCE.finditer(text):
            parts += (text[end : found.start()], self._replacement(found, loc, in_env))
            end = found.end()
        return "".join((*parts, text[end:]))

    def _replacement(self, found: re.Match[str], loc: Loc, in_env: bool) -> str:
        escaped, kind, name = found.groups()
        if escaped:
            return found.group()[1:]
        value = self._value(kind, name, in_env)
        if value is None:
            if (loc, kind, name) not in self._told:
                self._told.add((loc, kind, name))
                self.findings.append(self._unknown(kind, name, loc, in_env))
            return found.group()
        return self._take_room(value, loc)

    def _value(self, kind: str, name: str, in_env: bool) -> str | None:
        if kind == "var":
            return self.variables.get(name)
        return None if in_env else self.env.get(name)

    def _take_room(self, value: str, loc: Loc) -> str:
        """The value while the whole document stays bounded, else nothing and one finding."""
        if self._room < 0:
            return ""
        self._room -= len(value)
        if self._room < 0:
            message = f"the text with its variables filled in passes {MAX_FILLED_CHARACTERS:,} characters"
            self.findings.append(Finding(loc, ProblemCode.TOO_MANY, message))
            return ""
        return value

    def _unknown(self, kind: str, name: str, loc: Loc, in_env: bool) -> Finding:
        shown = show(f"${{{kind}.{name}}}")
        if kind == "env" and in_env:
            message = f"{shown} cannot be used in env itself"
            return Finding(loc, ProblemCode.UNKNOWN_REF, message, "use a variable of vars")
        if kind == "env" and name in self.secret_env:
            message = f"{shown} is a secret, which is never written into a template"
            return Finding(loc, ProblemCode.UNKNOWN_REF, message, f"read ${name} from the environment at run time")
        known = self.variables if kind == "var" else self.env
        section = "vars" if kind == "var" else "env"
        hint = suggest(name, known, f"{section} has") or f"declare it in {section}; write $${{…}} for the text itself"
        return Finding(loc, ProblemCode.UNKNOWN_REF, f"{shown} is not declared in {section}", hint)
