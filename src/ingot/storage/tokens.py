"""How tokens and scopes lie in the database: as a hash that opens nothing, as a list."""

from __future__ import annotations

import hashlib
import json

from ingot.records.account import Scope


def hash_token(token: str) -> str:
    """SHA-256 in hex: enough for tokens of 256 random bits. Any text, also what is no UTF-8."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def parse_scopes(text: str) -> frozenset[Scope]:
    """What `scopes_json` says."""
    return frozenset(Scope(scope) for scope in json.loads(text))
