"""Every error answer of the API, in one envelope: `{"error", "code", "request_id"}`, and `X-Request-Id`.

The only place that maps errors to HTTP statuses. A document's problems are added as `errors`. It never shows what
is not meant for a caller: an error that is none of ours is 500 and says only where to look, unless this host's disk is
full, which an operator can change: 507.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ingot.errors import (
    HOST_FULL,
    MAKE_ROOM,
    CapacityError,
    ConflictError,
    ForbiddenError,
    GoneError,
    MachineDiskError,
    NotFoundError,
    RequestError,
    TemplateError,
    TooLargeError,
    UnauthenticatedError,
    UnprocessableError,
    lacks_room,
)
from ingot.records.wire import problem_json

_STATUS: dict[type[Exception], int] = {
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    GoneError: 410,
    ConflictError: 409,
    TooLargeError: 413,
    UnprocessableError: 422,
    TemplateError: 422,
    CapacityError: 429,
    RequestError: 400,
}
_HTTP_TEXTS = {
    400: ("bad_request", "the request cannot be read"),
    404: ("not_found", "there is nothing at this address; see docs/http-api.md"),
    405: ("method_not_allowed", "this address does not take this method; the Allow header names those it takes"),
}


class UnavailableError(CapacityError):
    """The server cannot take requests yet, or no longer: 503."""

    code = "unavailable"


def error_body(error: Exception, request_id: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """(status, JSON body, headers) of the answer to a request that ended in `error`."""
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            assert isinstance(error, (RequestError, TemplateError))
            body: dict[str, Any] = {"error": str(error), "code": error.code, "request_id": request_id}
            if isinstance(error, TemplateError):
                body["errors"] = [problem_json(problem) for problem in error.problems]
            if isinstance(error, UnauthenticatedError):
                headers["WWW-Authenticate"] = "Bearer"
            if isinstance(error, CapacityError):
                headers["Retry-After"] = str(error.retry_after)
                status = 503 if isinstance(error, UnavailableError) else status
            return status, body, headers
    if isinstance(error, RequestValidationError):
        return 400, {"error": explain_validation(error), "code": "bad_request", "request_id": request_id}, headers
    if isinstance(error, HTTPException):
        code, text = _HTTP_TEXTS.get(error.status_code, ("http", str(error.detail)))
        return error.status_code, {"error": text, "code": code, "request_id": request_id}, headers
    if lacks_room(error):
        message = f"{HOST_FULL}; {MAKE_ROOM}"
        return 507, {"error": message, "code": MachineDiskError.code, "request_id": request_id}, headers
    message = "the server failed to answer this request; its log names the request id"
    return 500, {"error": message, "code": "internal", "request_id": request_id}, headers


def error_response(error: Exception, request_id: str | None = None) -> Response:
    """The same as a response, which is an ASGI application as well."""
    status, body, headers = error_body(error, request_id or new_request_id())
    return Response(json.dumps(body), status, headers, "application/json")


def new_request_id() -> str:
    """A random UUID. It names a request in logs and opens nothing, so a quick generator will do."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def explain_validation(error: RequestValidationError) -> str:
    """What is wrong with the parameters or the body, in one line: `body.command: Field required; …`."""
    told = []
    for entry in list(error.errors())[:10]:
        place = ".".join(_printable(str(part)) for part in entry["loc"])
        told.append(f"{place}: {_printable(str(entry['msg']))}")
    return "; ".join(told) or "the request is not valid"


def _printable(text: str) -> str:
    return re.sub(r"[^\x20-\x7e]+", "?", text)[:200]
