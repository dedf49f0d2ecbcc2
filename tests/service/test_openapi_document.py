"""The OpenAPI document tells the truth: it is the one in the repository, and generated requests agree with it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import schemathesis
from api_server import Server, path_of, running_server
from schemathesis import BaseSchema
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import StopReason, events, from_schema

from ingot.api.openapi import STREAM_PATH, render

ROOT = Path(__file__).parents[2]
DOCUMENT_PATHS = ["/api/templates", "/api/templates/validate", "/api/templates/plan"]
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


def test_every_endpoint_and_every_endpoint_only_is_in_the_page_about_the_api() -> None:
    page = (ROOT / "docs/http-api.md").read_text()
    told = set(re.findall(r"`(GET|POST|PUT|DELETE) (/[^`? ]+)", page))
    paths = json.loads(render())["paths"]
    assert told == {(method.upper(), path) for path in paths for method in paths[path] if method != "head"}


async def test_requests_about_nothing_get_the_answers_that_the_document_promises(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        failures = await asyncio.to_thread(_explore, server, _without_documents)
    assert not failures, "\n\n".join(failures)


async def test_requests_about_what_exists_get_the_answers_that_the_document_promises(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        ref = await server.ready_template()
        assert (await server.http.post(f"{path_of(ref)}/build?force=1")).status_code == 202
        computer = (await server.http.post("/api/computers", json={"template_ref": ref})).json()["id"]
        workspace = (await server.http.post("/api/workspaces", json={"name": "shop"})).json()["id"]
        known = {"namespace": "default", "name": "hello", "version": "1.0.0", "attempt": 1}
        known |= {"computer_id": computer, "workspace_id": workspace}
        settings = {"parameters": {f"path.{name}": value for name, value in known.items()}}
        failures = await asyncio.to_thread(_explore, server, _about_what_exists, settings)
    assert not failures, "\n\n".join(failures)


async def test_generated_documents_get_the_answers_that_the_document_promises(tmp_path: Path) -> None:
    settings = {
        "generation": {"max-examples": 40, "database": "none"},
        "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": False}},
    }
    async with running_server(tmp_path) as server:
        failures = await asyncio.to_thread(_explore, server, _with_documents, settings)
    assert not failures, "\n\n".join(failures)


def _with_documents(schema: BaseSchema) -> BaseSchema:
    return schema.include(path=DOCUMENT_PATHS, method="POST")


def _without_documents(schema: BaseSchema) -> BaseSchema:
    """Bodies that are documents make far more cases than everything else: they have a test of their own."""
    return schema.exclude(path=DOCUMENT_PATHS, method="POST").exclude(path=STREAM_PATH)


def _about_what_exists(schema: BaseSchema) -> BaseSchema:
    return (
        _without_documents(schema)
        .exclude(method="DELETE")
        .include(path_regex=r"\{(version|computer_id|workspace_id)\}")
    )


def _explore(
    server: Server, choose: Callable[[BaseSchema], BaseSchema], settings: Mapping[str, object] | None = None
) -> list[str]:
    """Generates requests, good and bad ones, to each chosen endpoint; tells what contradicts the document."""
    config = {
        "base-url": server.url,
        "seed": 1,
        "request-timeout": 60,
        "suppress-health-check": ["too_slow"],
        "cache": {"enabled": False},
        "continue-on-failure": True,
        "headers": {"Authorization": server.http.headers["Authorization"]},
        "generation": {"max-examples": 20, "database": "none"},
        "checks": {
            "enabled": False,
            **{name: {"enabled": True} for name in CHECKS},
            "negative_data_rejection": {"enabled": True, "expected-statuses": REFUSALS},
        },
        "phases": {"stateful": {"enabled": False}},
    }
    described = schemathesis.openapi.from_dict(
        json.loads(render()), config=SchemathesisConfig.from_dict({**config, **(settings or {})})
    )
    told: list[str] = []
    calls = 0
    for event in from_schema(choose(described)).execute():
        if isinstance(event, events.ScenarioFinished):
            calls += len(event.recorder.interactions)
            told += _failures(event)
        elif isinstance(event, (events.NonFatalError, events.FatalError)):
            told.append(repr(event))
        elif isinstance(event, events.EngineFinished):
            assert event.stop_reason is StopReason.COMPLETED, f"stopped after {calls} requests: {event.stop_reason}"
    assert calls > 100, f"only {calls} requests were made"
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
