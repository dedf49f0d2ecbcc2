"""The JSON Schema is sound, closed, marks what is ours, and accepts whatever the parser accepts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import pytest

from ingot.template import json_schema, parse_template
from ingot.template.source import read_source
from ingot.template.tree import to_plain

GOLDEN = Path(__file__).parent / "golden_documents"
EXAMPLES = Path(__file__).parents[2] / "examples"
SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
BARE: dict[str, Any] = {"api_version": "orgo.ai/v1", "template": {"name": "a", "version": "1.0.0"}}


def test_the_schema_is_valid_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_field_says_what_it_means() -> None:
    objects = {**SCHEMA["$defs"], "the root": SCHEMA}
    silent = [
        f"{name}.{field}"
        for name, schema in objects.items()
        for field, entry in schema.get("properties", {}).items()
        if not entry.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize("path", [*GOLDEN.glob("*.yaml"), *EXAMPLES.glob("*.yaml")], ids=lambda path: path.name)
def test_the_schema_accepts_what_the_parser_accepts_as_written_and_in_canonical_form(path: Path) -> None:
    publication = parse_template(path.read_bytes())
    VALIDATOR.validate(publication.canonical)
    VALIDATOR.validate(to_plain(read_source(path.read_bytes(), None).root))


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "a@1.0.0", "template": {"license": "MIT"}},
        {"ram": "4GB", "cpu": 0.5, "display": "800x600"},
        {"files": {"/a": "text", "/b": {"from": "https://x/y", "mode": "644"}}},
        {"on_resume": "x", "hooks": {"on_shutdown": "y"}},
    ],
)
def test_the_schema_accepts_sugar(fields: dict[str, Any]) -> None:
    document = {**BARE, **fields}
    parse_template(json.dumps(document).encode())
    VALIDATOR.validate(document)


@pytest.mark.parametrize(
    "fields",
    [
        {"bogus": 1},
        {"template": {"name": "a"}},
        {"template": {"name": "A", "version": "1.0.0"}},
        {"hardware": {"cpu": 3}},
        {"env": {"lower": "x"}},
        {"env": {"A": 1}},
        {"apps": [{"name": "a", "health": None}]},
        {"files": [{"to": "/a", "inline": None}]},
        {"files": [{"to": "/a"}]},
        {"files": [{"to": "/a", "inline": "x", "from": "https://x"}]},
        {"files": {"/a": {"mode": "0644"}}},
        {"build": {"run": ["x"] * 65}},
        {"apps": [{"name": "a", "health": {"type": "ping"}}]},
    ],
)
def test_the_schema_refuses_what_shape_alone_can_refuse(fields: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        VALIDATOR.validate({**BARE, **fields})


def test_every_object_of_the_schema_is_closed() -> None:
    assert SCHEMA["additionalProperties"] is False
    for name, definition in SCHEMA["$defs"].items():
        assert definition["additionalProperties"] is False, name


def test_what_is_ours_is_marked() -> None:
    build = SCHEMA["$defs"]["Build"]["properties"]
    assert [name for name, field in build.items() if field.get("x-ingot-extension")] == ["timeout", "secrets"]
    assert SCHEMA["$defs"]["Hardware"]["properties"]["ram_gb"]["x-ingot-extension-values"] == [1, 2]
    assert json.dumps(SCHEMA).count('"x-ingot-extension": true') == 2


def test_every_field_is_in_the_template_reference() -> None:
    reference = (Path(__file__).parents[2] / "docs" / "template-reference.md").read_text()
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    fields = {name for section in sections for name in section["properties"]}
    assert sorted(name for name in fields if f"`{name}" not in reference) == []


def test_each_call_gives_a_schema_of_its_own() -> None:
    json_schema()["properties"].clear()
    assert json_schema() == SCHEMA
