"""The JSON Schema (draft 2020-12) of a document as authors write it, made from the models.

Canonical keys come from the models as they are; the sugar that sugar.py expands is added beside them. What
only the rules can tell (unknown references, circles, reserved targets) is not in the schema.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from ingot.template.document import API_VERSION, Document
from ingot.template.meanings import MEANINGS

DRAFT = "https://json-schema.org/draft/2020-12/schema"
_HOOKS = ("on_first_boot", "on_every_boot", "on_pre_snapshot", "on_resume", "on_shutdown")


def json_schema() -> dict[str, Any]:
    """A fresh copy of the schema; fields that are ours carry `x-ingot-extension: true`."""
    return copy.deepcopy(_schema())


@cache
def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = Document.model_json_schema(by_alias=True)
    properties, definitions = schema["properties"], schema["$defs"]
    _explain({**definitions, "Document": schema})
    sugar = _sugar(definitions)
    properties.update(sugar)
    properties["files"] = _files(properties["files"], definitions["File"])
    _close(schema)
    due = definitions["TemplateSection"].pop("required")
    _restrict_file(definitions["File"])
    return {
        "$schema": DRAFT,
        "title": API_VERSION,
        "description": "A machine template; see the template reference.",
        **{key: value for key, value in schema.items() if key not in ("title", "description", "required")},
        "required": ["api_version"],
        "if": {"required": ["name"]},
        "then": {
            "if": {"properties": {"name": {"not": {"pattern": "@"}}}},
            "then": {"required": ["template"], "properties": {"template": {"required": ["version"]}}},
        },
        "else": {"required": ["template"], "properties": {"template": {"required": due}}},
    }


def _explain(definitions: dict[str, Any]) -> None:
    for name, meanings in MEANINGS.items():
        for field, meaning in meanings.items():
            definitions[name]["properties"][field]["description"] = meaning


def _sugar(definitions: dict[str, Any]) -> dict[str, Any]:
    hardware = definitions["Hardware"]["properties"]
    name = {"type": "string", "description": "Short for template.name, with @version for template.version."}
    return {
        "name": name,
        "cpu": {**hardware["cpu"], "description": "Short for hardware.cpu."},
        "ram": {
            "description": "Short for hardware.ram_gb: 4gb or 4.",
            "anyOf": [hardware["ram_gb"], {"type": "string", "pattern": "^ *[0-9]{1,4} *([gG][bB])? *$"}],
        },
        "display": {
            "type": "string",
            "pattern": "^[0-9]+x[0-9]+(x[0-9]+)?$",
            "description": "Short for hardware.resolution; the depth is 24 unless it is given.",
        },
        **{hook: {"type": "string", "description": f"Short for hooks.{hook}."} for hook in _HOOKS},
    }


def _files(listed: dict[str, Any], file: dict[str, Any]) -> dict[str, Any]:
    """A list of files, or a map from target to text or to a file without its target."""
    entry = copy.deepcopy(file)
    entry["required"] = [key for key in entry["required"] if key != "to"]
    _restrict_file(entry)
    by_target = {
        "type": "object",
        "maxProperties": listed["maxItems"],
        "additionalProperties": {"anyOf": [{"type": "string"}, entry]},
    }
    shared: dict[str, Any] = {key: listed[key] for key in ("title", "description", "default") if key in listed}
    return {**shared, "anyOf": [{key: value for key, value in listed.items() if key not in shared}, by_target]}


def _restrict_file(file: dict[str, Any]) -> None:
    file["oneOf"] = [{"required": ["from"]}, {"required": ["inline"]}]


def _close(schema: Any) -> None:
    """What the parser refuses and the models' own schema lets pass: null, and keys that fit no pattern."""
    if isinstance(schema, list):
        for entry in schema:
            _close(entry)
    if not isinstance(schema, dict):
        return
    for entry in schema.values():
        _close(entry)
    if "patternProperties" in schema:
        schema["additionalProperties"] = False
    branches = schema.get("anyOf", [])
    if {"type": "null"} in branches:
        branches.remove({"type": "null"})
        if schema.get("default", ...) is None:
            del schema["default"]
        if len(branches) == 1:
            schema.update(branches[0])
            del schema["anyOf"]
