"""Layers in the object store: packed and uploaded once, in the background, and fetched again.

`layers/<key>.tar.zst` holds the parts, `layers/<key>.json` the layer's record with the digest of the former; the
record is written last, so a layer is in the object store whole or not at all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections.abc import Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ingot.errors import CorruptStoreError, NotFoundError
from ingot.machine.contract import Backend
from ingot.records.layer import Layer, LayerObject
from ingot.storage.objects import DirectoryObjects

PREFIX = "layers/"


def object_key(key: str) -> str:
    return f"{PREFIX}{key}.tar.zst"


def record_key(key: str) -> str:
    return f"{PREFIX}{key}.json"


def base_key(recipe: str, key: str) -> str:
    """Where a base image is found by the recipe that made it, on a host that has no layer yet."""
    return f"bases/{recipe}/{key}.json"


class Archive:
    """Packs and uploads layers, each at most once at a time however many builds ask. An upload goes on when the
    build that asked for it ends; `aclose` ends all."""

    def __init__(self, objects: DirectoryObjects, backend: Backend, staging: Path, packs: int = 2) -> None:
        self._objects = objects
        self._backend = backend
        self._staging = staging
        self._running: dict[str, asyncio.Task[LayerObject]] = {}
        self._packs = asyncio.Semaphore(packs)

    def start(self, layer: Layer, parts: Path) -> None:
        """Begins to upload a layer, unless that is under way already."""
        if layer.key not in self._running:
            self._begin(layer.key, self._upload(layer, parts))

    async def ensure(self, layer: Layer, parts: Path) -> LayerObject:
        """The layer's object, when it is durable in the store; uploads it when nobody has yet."""
        self.start(layer, parts)
        return await asyncio.shield(self._running[layer.key])

    def uploading(self) -> frozenset[str]:
        """Keys whose parts are being read now."""
        return frozenset(self._running)

    async def aclose(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, key: str, work: Coroutine[Any, Any, LayerObject]) -> None:
        task = asyncio.create_task(work, name=f"archive {key[:12]}")
        self._running[key] = task
        task.add_done_callback(lambda done: self._forget(key, done))

    def _forget(self, key: str, task: asyncio.Task[LayerObject]) -> None:
        """A failed upload is told to whoever waits for it, and tried again by the next who needs it."""
        self._running.pop(key, None)
        if not task.cancelled():
            task.exception()

    async def _upload(self, layer: Layer, parts: Path) -> LayerObject:
        if (present := await read_object(self._objects, layer.key)) is not None:
            return present[1]
        async with self._packs:
            packed = self._staging / f"pack-{uuid.uuid4().hex}.tar.zst"
            try:
                await self._backend.pack(parts, packed)
                sha256 = await asyncio.to_thread(_digest, packed)
                made = LayerObject(layer.key, object_key(layer.key), sha256, packed.stat().st_size)
                await self._objects.put_file(made.object_key, packed)
            finally:
                packed.unlink(missing_ok=True)
        content = json.dumps({"layer": asdict(layer), "object": asdict(made)}).encode()
        await self._objects.put_bytes(record_key(layer.key), content)
        if layer.kind == "base":
            await self._objects.put_bytes(base_key(layer.info["recipe"], layer.key), content)
        return made


async def read_object(objects: DirectoryObjects, key: str) -> tuple[Layer, LayerObject] | None:
    """What the object store knows of a layer, or None when it does not have it whole."""
    try:
        stored = json.loads(await objects.get_bytes(record_key(key)))
    except NotFoundError:
        return None
    return Layer(**stored["layer"]), LayerObject(**stored["object"])


async def newest_base(objects: DirectoryObjects, recipe: str) -> Layer | None:
    """The newest archived base image of a recipe."""
    names = await objects.list(f"bases/{recipe}/")
    layers = [Layer(**json.loads(await objects.get_bytes(name))["layer"]) for name in names]
    return max(layers, key=lambda layer: layer.created_ms, default=None)


async def fetch_layer(objects: DirectoryObjects, backend: Backend, key: str, into: Path) -> Layer | None:
    """Unpacks a layer from the object store into the empty directory `into`. None when it is not there; raises
    CorruptStoreError when its bytes do not match the digest in its record."""
    found = await read_object(objects, key)
    if found is None:
        return None
    layer, stored = found
    archive = objects.path(stored.object_key)
    if await asyncio.to_thread(_digest, archive) != stored.sha256:
        raise CorruptStoreError(
            f"the archive {stored.object_key} does not match its SHA-256", hint="remove it and build without cache"
        )
    await backend.unpack(archive, into)
    return layer


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise CorruptStoreError(f"{path.name} is gone from the object store", hint="build without cache") from None
