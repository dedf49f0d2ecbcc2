"""The canonical form of a document and its digest.

Canonical: sugar expanded, keys with their default value dropped, lists in their order, variables not filled
in. Digests of published documents are frozen: nothing here may change what an old document's digest is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from ingot.template.document import Document


def canonical_of(document: Document) -> dict[str, Any]:
    """The document in canonical form, ready for JSON."""
    canonical: dict[str, Any] = _whole_numbers(document.model_dump(by_alias=True, exclude_defaults=True))
    for entry in canonical.get("files", ()):
        for field in ("owner", "group"):
            if entry.get(field) == default_owner(entry["to"]):
                del entry[field]
    return canonical


def default_owner(target: str) -> str:
    """Who owns a file that names no owner: the machine's user below its home as `~/`, root elsewhere."""
    return "orgo" if target.startswith("~/") else "root"


def digest_of(canonical: Mapping[str, Any]) -> str:
    """SHA-256 over the RFC 8785 form, 64 lower-case hexadecimal digits."""
    return hashlib.sha256(rfc8785.dumps(dict(canonical))).hexdigest()


def _whole_numbers(value: Any) -> Any:
    """2.0 becomes 2: RFC 8785 writes both alike, and so should whoever stores the document."""
    if isinstance(value, dict):
        return {key: _whole_numbers(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(child) for child in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value
