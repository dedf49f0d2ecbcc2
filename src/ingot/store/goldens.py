"""Goldens in the object store: `goldens/<key>.json`, written when every layer it names is there, so that a golden
is complete or absent. Knows nothing of refs: names point at keys elsewhere.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from ingot.errors import CorruptStoreError, NotFoundError
from ingot.records.layer import Golden, LayerObject
from ingot.records.machine import MachineSpec
from ingot.storage.objects import DirectoryObjects

PREFIX = "goldens/"


def object_key(key: str) -> str:
    return f"{PREFIX}{key}.json"


class GoldenStore:
    def __init__(self, objects: DirectoryObjects) -> None:
        self._objects = objects

    async def get(self, key: str) -> Golden | None:
        try:
            return _from_json(json.loads(await self._objects.get_bytes(object_key(key))))
        except NotFoundError:
            return None

    async def publish(self, golden: Golden) -> Golden:
        """Stores the manifest, last of all. A key that is there keeps its golden, which is returned. Raises
        CorruptStoreError when a layer's object is missing."""
        for layer in golden.layers:
            if not await self._objects.exists(layer.object_key):
                raise CorruptStoreError(
                    f"layer {layer.key[:12]} is not in the object store; the golden is not published"
                )
        await self._objects.put_bytes(object_key(golden.key), json.dumps(asdict(golden)).encode())
        return await self.get(golden.key) or golden

    async def delete(self, key: str) -> None:
        await self._objects.delete(object_key(key))

    async def all(self) -> tuple[Golden, ...]:
        """Every golden that can be read."""
        names = [name for name in await self._objects.list(PREFIX) if name.endswith(".json")]
        found = [await self.get(name.removeprefix(PREFIX).removesuffix(".json")) for name in names]
        return tuple(golden for golden in found if golden is not None)


def _from_json(stored: dict[str, Any]) -> Golden:
    layers = tuple(LayerObject(**layer) for layer in stored["layers"])
    return Golden(**{**stored, "spec": MachineSpec(**stored["spec"]), "layers": layers})
