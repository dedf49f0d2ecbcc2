"""The OpenAPI document: what FastAPI derives from the endpoints, made true where it does not know better.

`python -m ingot.api.openapi > docs/openapi.json` writes the document that the repository carries.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingot.api.address import DOCUMENT_SCHEMA
from ingot.api.keyed import SCOPE_KEY, SECURITY_SCHEME
from ingot.api.session_cookie import COOKIE
from ingot.template import json_schema

STREAM_PATH = "/api/templates/{namespace}/{name}/{version}/build/events"
_SESSION_SCHEME = "session"
_SECURITY: list[dict[str, list[str]]] = [{SECURITY_SCHEME: []}, {_SESSION_SCHEME: []}]
_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Envelope"}}}


def describe_api(api: FastAPI) -> dict[str, Any]:
    """Made once for an application."""
    if api.openapi_schema is None:
        api.openapi_schema = _describe(api)
    return api.openapi_schema


def _describe(api: FastAPI) -> dict[str, Any]:
    document = get_openapi(title=api.title, version=api.version, description=api.description, routes=api.routes)
    schemas: dict[str, Any] = document["components"]["schemas"]
    shared: dict[str, Any] = {}
    for path in document["paths"].values():
        for operation in path.values():
            _correct(operation)
            operation["responses"] = _share(operation["responses"], shared)
    document["components"]["responses"] = dict(sorted(shared.items()))
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    schemas.update(_document_schemas())
    described = "What `POST /api/session` sets; a change needs a page of this server as well."
    cookie = {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": described}
    document["components"]["securitySchemes"][_SESSION_SCHEME] = cookie
    document["paths"][STREAM_PATH] = {"get": _stream("stream_build"), "head": _stream("probe_stream")}
    return document


def _correct(operation: dict[str, Any]) -> None:
    """FastAPI tells a 422 of its own that this API never gives: what cannot be read is 400."""
    unread = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
    if unread.get("$ref", "").endswith("/HTTPValidationError"):
        del operation["responses"]["422"]
    if SCOPE_KEY in operation:
        operation["security"] = _SECURITY


def _share(responses: dict[str, Any], shared: dict[str, Any]) -> dict[str, Any]:
    """Failures are the same nearly everywhere: they are told once, as components."""
    told = {}
    for code, answer in responses.items():
        if not code.startswith(("4", "5")):
            told[code] = answer
            continue
        schema = answer["content"]["application/json"]["schema"]
        model = schema.get("$ref", "IdleOrEnvelope").rpartition("/")[2]
        name = f"Status{code}{model}"
        assert shared.setdefault(name, answer) == answer, f"{name} is two different answers"
        told[code] = {"$ref": f"#/components/responses/{name}"}
    return told


def _document_schemas() -> dict[str, Any]:
    """The document's own schema and its parts, as components."""
    schema = _rebased(json_schema())
    parts = schema.pop("$defs", {})
    schema.pop("$schema", None)
    return {DOCUMENT_SCHEMA: schema, **{f"{DOCUMENT_SCHEMA}{name}": part for name, part in parts.items()}}


def _rebased(node: Any) -> Any:
    if isinstance(node, list):
        return [_rebased(entry) for entry in node]
    if not isinstance(node, dict):
        return node
    rebased = {key: _rebased(value) for key, value in node.items()}
    reference = rebased.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/$defs/"):
        rebased["$ref"] = f"#/components/schemas/{DOCUMENT_SCHEMA}{reference.removeprefix('#/$defs/')}"
    return rebased


def _stream(operation_id: str) -> dict[str, Any]:
    """The event stream is no endpoint of FastAPI's; docs/stream-contract.md says the rest."""
    header = {"schema": {"type": "string"}}
    headers = dict.fromkeys(("X-Request-Id", "X-Build-Attempt", "X-Build-Resumed-From"), header)
    fails = {
        400: "A parameter is nonsense.",
        401: "No valid API key.",
        403: "The key lacks the scope.",
        404: "No such version, or no build of it.",
        410: "The log is older than the operator keeps it.",
    }
    return {
        "operationId": operation_id,
        "tags": ["builds"],
        "summary": "A build's events as server-sent events",
        "description": (
            "Every line of an attempt, from the first to the last, then live until the terminal frame. Comes back "
            "after a broken connection with Last-Event-ID. See docs/stream-contract.md."
        ),
        "security": _SECURITY,
        SCOPE_KEY: "read",
        "parameters": [
            *({"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _PLACE),
            _query("attempt", {"type": "integer", "minimum": 1}, "An earlier attempt; the current one without it."),
            _query("follow", _FLAG, "0: what exists now, then the end."),
            _query("wait", _FLAG, "1: a version that was never built is waited for."),
            _query("tail", {"type": "integer", "minimum": 0}, "The last frames only."),
            _query("last_event_id", {"type": "string"}, "As the header, which wins."),
            {"name": "Last-Event-ID", "in": "header", "schema": {"type": "string"}},
        ],
        "responses": {
            "200": {
                "description": "The stream.",
                "headers": headers,
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            },
            "204": {"description": "The caller has all of it already: do not come back.", "headers": headers},
            **{str(code): {"description": text, "content": _ERROR} for code, text in fails.items()},
        },
    }


_PLACE = ("namespace", "name", "version")
_FLAG: dict[str, Any] = {"type": "string", "enum": ["1", "0", "true", "false"]}


def _query(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def render() -> str:
    """The document as it is kept in the repository."""
    from ingot.api.app import build_api

    return json.dumps(describe_api(build_api()), indent=2, ensure_ascii=False, sort_keys=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
