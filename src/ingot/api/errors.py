"""Every error answer of the API, in one envelope: `{"error", "code", "request_id"}`, and `X-Request-Id`.

The only place that maps errors to HTTP statuses. It never shows what is not meant for a caller.
"""

from __future__ import annotations

from typing import Any

from ingot.errors import (
    CapacityError,
    ConflictError,
    ForbiddenError,
    NotFoundError,
    RequestError,
    TooLargeError,
    UnauthenticatedError,
    UnprocessableError,
)

_STATUS: dict[type[Exception], int] = {
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    TooLargeError: 413,
    UnprocessableError: 422,
    CapacityError: 429,
    RequestError: 400,
}


def error_body(error: Exception, request_id: str) -> tuple[int, dict[str, Any], dict[str, str]]:
    """(status, JSON body, headers) of the answer to a request that ended in `error`."""
    headers = {"X-Request-Id": request_id, "Cache-Control": "no-store"}
    for kind, status in _STATUS.items():
        if isinstance(error, kind):
            assert isinstance(error, RequestError)
            if isinstance(error, CapacityError):
                headers["Retry-After"] = str(error.retry_after)
            return status, {"error": str(error), "code": error.code, "request_id": request_id}, headers
    message = "the server failed to answer this request; its log names the request id"
    return 500, {"error": message, "code": "internal", "request_id": request_id}, headers
