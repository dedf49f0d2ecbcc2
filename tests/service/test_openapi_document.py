"""The OpenAPI document tells the truth: it is the one in the repository, and generated requests agree with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import schemathesis
from api_server import Server, path_of, running_server
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from ingot.api.openapi import STREAM_PATH, render

ROOT = Path(__file__).parents[2]
SECONDS = 40
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "ignored_auth",
)


REFUSALS = [400, 401, 403, 404, 405, 409, 413, 422]


def test_the_document_in_the_repository_is_the_one_of_the_code() -> None:
    kept = (ROOT / "docs/openapi.json").read_text()
    assert kept == render(), "run `python -m ingot.api.openapi > docs/openapi.json`"


def test_every_reference_in_the_document_leads_somewhere() -> None:
    document = json.loads(render())
    for reference in _references(document):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert {"get", "head"} == document["paths"][STREAM_PATH].keys()


async def test_generated_requests_get_the_answers_that_the_document_promises(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        failures = await asyncio.to_thread(_explore, server, {})
    assert not failures, "\n\n".join(failures)


async def test_generated_requests_about_what_exists_get_the_answers_that_the_document_promises(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        ref = await server.ready_template()
        assert (await server.http.post(f"{path_of(ref)}/build?force=1")).status_code == 202
        computer = (await server.http.post("/api/computers", json={"template_ref": ref})).json()
        await server.http.put("/api/secrets/token", json={"value": "correct horse"})
        known = {"namespace": "default", "name": "hello", "version": "1.0.0", "attempt": 1, "computer_id": computer["id"]}
        failures = await asyncio.to_thread(_explore, server, known)
    assert not failures, "\n\n".join(failures)


def _explore(server: Server, known: Mapping[str, object]) -> list[str]:
    """Generates requests for every endpoint but the stream, good and bad ones; tells what contradicts the document."""
    config = SchemathesisConfig.from_dict(
        {
            "base-url": server.url,
            "seed": 1,
            "max-time": SECONDS,
            "continue-on-failure": True,
            "headers": {"Authorization": server.http.headers["Authorization"]},
            "parameters": {f"path.{name}": value for name, value in known.items()},
            "generation": {"max-examples": 8, "database": "none"},
            "checks": {
                "enabled": False,
                **{name: {"enabled": True} for name in CHECKS},
                "negative_data_rejection": {"enabled": True, "expected-statuses": REFUSALS},
            },
            "phases": {"stateful": {"enabled": False}},
        }
    )
    document = json.loads(render())
    schema = schemathesis.openapi.from_dict(document, config=config).exclude(path=STREAM_PATH)
    if known:
        schema = schema.exclude(method="DELETE")
    told: list[str] = []
    calls = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            calls += len(event.recorder.interactions)
            told += _failures(event)
        elif isinstance(event, (events.NonFatalError, events.FatalError)):
            told.append(repr(event))
    assert calls > 500, f"only {calls} requests were made"
    return told


def _failures(event: events.ScenarioFinished) -> list[str]:
    return [
        f"{event.label}: {check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
        for checks in event.recorder.checks.values()
        for check in checks
        if check.failure_info is not None
    ]


def _references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [reference for entry in node for reference in _references(entry)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
    return own + [reference for entry in node.values() for reference in _references(entry)]
