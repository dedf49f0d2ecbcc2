"""What the registry and the vault hand out: published templates, and secrets without their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ingot.records.ref import Ref


@dataclass(frozen=True, slots=True)
class Item:
    """A published template. `document` is the full canonical document; `created` is False when a publish found
    identical content there already; `superseded` are the ids of builds of older content that a forced publish
    asked to cancel."""

    ref: Ref
    digest: str
    published_ms: int
    document: Mapping[str, Any]
    created: bool = False
    superseded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SecretEntry:
    """A secret of an account's vault as it can be shown: never its value."""

    name: str
    created_ms: int
    updated_ms: int
