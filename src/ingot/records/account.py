"""Who may do what: accounts, API keys and their scopes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Scope(StrEnum):
    """`admin` implies every other."""

    READ = "read"
    PUBLISH = "publish"
    BUILD = "build"
    LAUNCH = "launch"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling: the account, the key it came with, and what that key may do. `session` names the browser's
    session that stood for the key, empty for the key itself; `until_ms` is when that ends if nobody uses it."""

    account: str
    key_id: str
    scopes: frozenset[Scope]
    session: str = ""
    until_ms: int | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as it can be shown: never the key itself. `prefix` is its first visible characters."""

    id: str
    account: str
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_ms: int
    last_used_ms: int | None = None
    revoked_ms: int | None = None
