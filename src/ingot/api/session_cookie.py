"""The session cookie on the wire: read strictly, taken from this server's own pages only, set and cleared. Pure.

`SameSite=Strict` alone is not enough: a site is a host whatever the port, and a computer's pages may be on another port
of ours. So a change needs the browser's word that the page is of this very origin, and nothing that a browser says is
of another one is answered with a session's rights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from urllib.parse import urlsplit

from ingot.errors import ForbiddenError, UnauthenticatedError

COOKIE = "ingot_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")

Headers = Iterable[tuple[bytes, bytes]]


class Page(Enum):
    """Whose page makes a browser ask."""

    OWN = "own"
    FOREIGN = "foreign"
    NONE = "none"
    """No page: a program, or a person who typed the address."""


def asking_page(headers: Headers, scheme: str) -> Page:
    """What the browser tells: `Sec-Fetch-Site`, which no page can set, else `Origin` against `Host`. `scheme` is how
    the request came: a page that came without TLS is not one of a server that has it."""
    site = _only(headers, b"sec-fetch-site")
    if site == "same-origin":
        return Page.OWN
    if site is not None and site != "none":
        return Page.FOREIGN
    origin = _only(headers, b"origin")
    if origin is None:
        return Page.NONE
    return Page.OWN if _is_own(origin, _only(headers, b"host") or "", scheme) else Page.FOREIGN


def session_token(headers: Headers, scheme: str, *, changes: bool) -> str | None:
    """The token in the session cookie, None without one. `changes`: the request is one that a page must not make a
    browser send. Raises ForbiddenError `bad_origin` where another page asks, and UnauthenticatedError for a cookie that
    this server cannot have set."""
    headers = list(headers)
    tokens = session_tokens(headers)
    if not tokens:
        return None
    page = asking_page(headers, scheme)
    if page is Page.FOREIGN or (changes and page is not Page.OWN):
        raise foreign_page("may not use the session of the console")
    if len(tokens) > 1 or not _VALUE.fullmatch(tokens[0]):
        raise UnauthenticatedError(
            f"the browser sends a cookie {COOKIE} that this server did not set",
            hint="delete the cookies of this address and sign in again",
        )
    return tokens[0]


def session_tokens(headers: Headers) -> list[str]:
    """Every value that comes under the cookie's name, in their order; as they came."""
    found = []
    for name, value in headers:
        if name.lower() == b"cookie":
            pairs = (pair.strip(" \t").partition("=") for pair in value.decode("latin-1").split(";"))
            found += [text for key, _, text in pairs if key == COOKIE]
    return found


def foreign_page(what: str) -> ForbiddenError:
    return ForbiddenError(f"a page of another address {what}", hint="call the API with a key", code="bad_origin")


def set_cookie(token: str, seconds: int, scheme: str) -> str:
    """The Set-Cookie header that puts a session into the browser for so long."""
    return f"{COOKIE}={token}; Max-Age={seconds}; {_attributes(scheme)}"


def clear_cookie(scheme: str) -> str:
    """The one that takes it out."""
    return f"{COOKIE}=; Max-Age=0; {_attributes(scheme)}"


def _attributes(scheme: str) -> str:
    return "Path=/; HttpOnly; SameSite=Strict" + ("; Secure" if scheme in ("https", "wss") else "")


def _is_own(origin: str, host: str, scheme: str) -> bool:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    is_downgrade = scheme in ("https", "wss") and parts.scheme != "https"
    return bool(host) and parts.netloc.lower() == host.lower() and not is_downgrade


def _only(headers: Headers, name: bytes) -> str | None:
    """A header's value; of several, something that fits nothing."""
    values = [value.decode("latin-1") for key, value in headers if key.lower() == name]
    return values[0] if len(values) == 1 else ("?" if values else None)
