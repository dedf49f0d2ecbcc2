"""Layers and goldens: what builds leave behind, named by digests."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ingot.records.machine import MachineSpec

LAYER_FORMAT = 1
"""Part of every layer key: raise it when the builder's way of making layers changes their content."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One step's result. `key` = hash of the key below, the step's content, what it brings, backend and base.
    `kind` is `base`, `toolchain` or the step's kind; `size_bytes` and `files` count this layer alone;
    `info` is what the step learned (package versions, digests, timings) and the manifest collects."""

    key: str
    parent: str | None
    kind: str
    title: str
    backend: str
    created_ms: int
    size_bytes: int
    files: int
    info: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LayerObject:
    """A layer in the object store: where, and the SHA-256 and size of its compressed bytes."""

    key: str
    object_key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Golden:
    """A complete golden snapshot. `key` = hash(digest, top layer, spec); `layers` from the base upwards.
    `document` is the canonical template; `manifest` names packages, layers, files, sizes and timings."""

    key: str
    digest: str
    backend: str
    spec: MachineSpec
    layers: tuple[LayerObject, ...]
    document: dict[str, Any]
    manifest: dict[str, Any]
    created_ms: int
