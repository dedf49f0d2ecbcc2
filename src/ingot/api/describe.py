"""How an endpoint is declared: its scope, its answer, and every failure it can give, each with its body.

`keyed` and `public` make the keyword arguments of a route, so that code and OpenAPI say the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import BaseModel

from ingot.api import answers
from ingot.api.keyed import ANY_SCOPE, SCOPE_KEY
from ingot.records.account import Scope

_REQUEST_ID = {"X-Request-Id": {"description": "Names this request in the server's log.", "schema": {"type": "string"}}}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "string", "pattern": "^[0-9]+$"}}}
_TEXTS = {
    400: "A parameter or the body cannot be read.",
    401: "No API key or session, or one that is not valid.",
    403: "The key lacks the scope, or a foreign page asks.",
    404: "It is not there, or not for this account.",
    409: "It contradicts what is there.",
    413: "The body is larger than 4 MiB.",
    422: "The document is not valid: all its problems.",
    429: "The queue, a quota or the host is full.",
    500: "The server failed.",
    503: "The server does not take requests yet, or no longer.",
    507: "The server's disk is full, and what the request would change has to be written.",
}
_MODELS: dict[int, Any] = {422: answers.InvalidTemplate}
_HEADERS: dict[int, dict[str, Any]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}

PICTURE = {"responses": {"200": {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}}}
"""The `extra` of an endpoint that answers with a PNG."""

FlagText = Literal["true", "false", "1", "0"]
Flag = Annotated[FlagText, Query()]


def is_set(flag: FlagText) -> bool:
    return flag in ("true", "1")


def keyed(
    scope: Scope | None,
    answer: type[BaseModel] | None,
    *fails: int,
    status: int = 200,
    bodies: dict[int, Any] | None = None,
    extra: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """An endpoint whose callers need a key with `scope`, with None any key. `fails` are its failures beside 401, 403,
    413, 500 and 507; `bodies` are those that differ from the envelope; `extra` is added to its OpenAPI."""
    return {
        "response_model": answer,
        "status_code": status,
        "responses": _responses(status, (401, 403, 413, 500, 507, *fails), bodies or {}),
        "openapi_extra": {SCOPE_KEY: scope.value if scope is not None else ANY_SCOPE, **(extra or {})},
    }


def public(answer: type[BaseModel] | None, *fails: int, status: int = 200) -> dict[str, Any]:
    """An endpoint that takes no key."""
    return {
        "response_model": answer,
        "status_code": status,
        "responses": _responses(status, (500, *fails), {}),
    }


def _responses(status: int, fails: Iterable[int], bodies: dict[int, Any]) -> dict[int | str, dict[str, Any]]:
    told: dict[int | str, dict[str, Any]] = {status: {"headers": _REQUEST_ID}}
    for code in sorted(fails):
        told[code] = {
            "model": bodies.get(code) or _MODELS.get(code, answers.Envelope),
            "description": _TEXTS[code],
            "headers": {**_REQUEST_ID, **_HEADERS.get(code, {})},
        }
    return told
