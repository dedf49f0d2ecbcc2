"""Which web pages of other origins may read answers in a browser. Pure; none unless the operator names them.

Credentials are never allowed: a page of another origin sends a key or a ticket, not a cookie.
"""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

METHODS = "GET, HEAD, POST, PUT, DELETE"
REQUEST_HEADERS = "Authorization, Content-Type, Last-Event-ID, Cache-Control, Accept, Range"
EXPOSED = (
    "X-Request-Id, X-Build-Attempt, X-Build-Resumed-From, X-Build-Stream-Version, Retry-After, Content-Range,"
    " Content-Disposition"
)


class CorsPolicy:
    """`origins` are `scheme://host[:port]`, or `*` for any."""

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origins)

    def allows(self, origin: str | None) -> bool:
        """Whether a page of this origin may read and change."""
        return origin is not None and ("*" in self._origins or origin in self._origins)

    def headers_for(self, origin: str | None) -> list[Header]:
        """What an answer to a page of this origin carries; nothing when it is not allowed."""
        vary = [(b"vary", b"Origin")] if self._origins else []
        if origin is None or not self.allows(origin):
            return vary
        allowed = (b"access-control-allow-origin", origin.encode("latin-1"))
        return [*vary, allowed, (b"access-control-expose-headers", EXPOSED.encode())]

    def preflight(self, origin: str | None) -> list[Header]:
        """What the answer to an OPTIONS request carries, beside status 204."""
        headers = self.headers_for(origin)
        if self.allows(origin):
            headers += [
                (b"access-control-allow-methods", METHODS.encode()),
                (b"access-control-allow-headers", REQUEST_HEADERS.encode()),
                (b"access-control-max-age", b"600"),
            ]
        return headers
