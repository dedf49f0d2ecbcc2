"""record: the manifest, from what the layers remember: packages, files, sizes, timings. Runs nothing."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import ingot
from ingot.builder.bake import Bake
from ingot.builder.packages import merge_packages
from ingot.builder.plan import golden_of
from ingot.builder.request import wanted_spec
from ingot.records.event import Phase
from ingot.records.layer import Layer

PHASE = Phase.RECORD


async def run(bake: Bake) -> None:
    packages = merge_packages(layer.info for layer in bake.stack)
    bake.manifest = make_manifest(bake, packages)
    counts = ", ".join(f"{len(found)} {manager}" for manager, found in packages.items() if found)
    await bake.say(f"manifest: {counts or 'no'} packages, {len(bake.stack)} layers")


def make_manifest(bake: Bake, packages: dict[str, dict[str, str]]) -> dict[str, Any]:
    """What the golden says of itself; timings and archived sizes are completed when they are known."""
    base, template = bake.stack[0], bake.request.template
    return {
        "builder": {"name": "ingot", "version": ingot.__version__},
        "digest": template.digest,
        "golden": golden_of(template, bake.stack[-1].key, wanted_spec(template, bake.request.limits)),
        "base": {"key": base.key, "content": base.info.get("content"), "date": _date(base.created_ms)},
        "packages": packages,
        "layers": [_layer(layer) for layer in bake.stack],
        "files": [file for layer in bake.stack if layer.kind == "files" for file in layer.info["content"]["files"]],
        "sources": dict(bake.given.sources),
        "host": {
            "backend": bake.tools.backend.name,
            "architecture": platform.machine(),
            "kernel": platform.release(),
            "cpus": os.cpu_count(),
        },
        "needs": bake.stack[-1].info.get("needs") or dict(bake.tools.backend.needs(_parts(bake))),
        "machine": {"cpu": bake.spec.cpu, "memory_mb": bake.spec.memory_mb, "disk_mb": bake.spec.disk_mb},
        "timings_ms": {
            "phases": dict(bake.timings_ms),
            "steps": [
                {
                    "index": step.index,
                    "title": step.title,
                    "reused": step.index not in bake.step_ms,
                    "ms": bake.step_ms.get(step.index, 0),
                }
                for step in bake.decided.steps
            ],
        },
        "size_bytes": sum(layer.size_bytes for layer in bake.stack),
    }


def _parts(bake: Bake) -> Path:
    return bake.tools.layers.parts(bake.stack[-1].key)


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "key": layer.key,
        "kind": layer.kind,
        "title": layer.title,
        "size_bytes": layer.size_bytes,
        "files": layer.files,
        "took_ms": layer.info.get("took_ms"),
    }


def _date(ms: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms / 1000))
