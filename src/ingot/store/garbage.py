"""What may go, and why: a pure plan over an inventory, and the act of collecting it.

A golden that a ref, a live computer or a running build needs stays, and so does every layer that such a golden, a
running build or a recent use needs, with all layers below it. Everything else goes when it is old enough.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingot.records.layer import Layer
from ingot.storage.clock import now_ms
from ingot.storage.objects import DirectoryObjects
from ingot.store import archive, goldens
from ingot.store.base_images import BaseImages
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore
from ingot.store.tree import remove_tree


@dataclass(frozen=True, slots=True)
class Ages:
    """Seconds. What was used or made more recently than this stays although nothing needs it now."""

    golden: float = 24 * 3600
    layer: float = 7 * 24 * 3600
    state: float = 24 * 3600
    staging: float = 24 * 3600


@dataclass(frozen=True, slots=True)
class Roots:
    """What must stay: goldens by key, and layers by key (of running builds and live computers)."""

    goldens: frozenset[str] = frozenset()
    layers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Stored:
    """A golden, object or leftover as the plan sees it: `time_ms` is when it was made or last written."""

    key: str
    size_bytes: int
    time_ms: int
    layers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is stored. `used_ms` says when a layer was last used; `pinned` names the base images in use; `states`
    has the bytes of running state that layers hold for speed alone."""

    now_ms: int
    layers: Mapping[str, Layer]
    used_ms: Mapping[str, int]
    goldens: tuple[Stored, ...] = ()
    objects: tuple[Stored, ...] = ()
    staging: tuple[Stored, ...] = ()
    pinned: frozenset[str] = frozenset()
    states: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Garbage:
    """One thing to remove. `kind` is golden, layer, object, state (of a layer that stays) or staging; `key` its key, or
    its file's name."""

    kind: str
    key: str
    size_bytes: int
    reason: str


def plan_garbage(inventory: Inventory, roots: Roots, ages: Ages) -> tuple[Garbage, ...]:
    """What may go, in the order in which it must be removed: names before what they name."""
    stay = [golden for golden in inventory.goldens if _golden_stays(golden, inventory.now_ms, roots, ages)]
    gone = [golden for golden in inventory.goldens if golden not in stay]
    archived = {key for golden in stay for key in golden.layers}
    needed = _needed_layers(inventory, roots, ages, archived)
    return (
        *(Garbage("golden", item.key, item.size_bytes, _golden_reason(ages)) for item in gone),
        *_object_garbage(inventory, needed | archived),
        *_layer_garbage(inventory, needed, ages),
        *_state_garbage(inventory, needed, ages),
        *_staging_garbage(inventory, ages),
    )


def _golden_stays(golden: Stored, now: int, roots: Roots, ages: Ages) -> bool:
    return golden.key in roots.goldens or now - golden.time_ms < ages.golden * 1000


def _golden_reason(ages: Ages) -> str:
    return f"no ref, computer or build needs it, and it is older than {_span(ages.golden)}"


def _needed_layers(inventory: Inventory, roots: Roots, ages: Ages, archived: Iterable[str]) -> frozenset[str]:
    """Layers on this host that stay. A golden in the object store alone keeps its local layers too: a launch
    would only fetch them again."""
    recent = {key for key, used in inventory.used_ms.items() if inventory.now_ms - used < ages.layer * 1000}
    needed: set[str] = set()
    waiting = [*roots.layers, *archived, *inventory.pinned, *recent]
    while waiting:
        key = waiting.pop()
        if key in needed:
            continue
        needed.add(key)
        layer = inventory.layers.get(key)
        if layer is not None and layer.parent is not None:
            waiting.append(layer.parent)
    return frozenset(needed)


def _object_garbage(inventory: Inventory, needed: frozenset[str]) -> Iterable[Garbage]:
    for item in inventory.objects:
        if item.key not in needed:
            yield Garbage("object", item.key, item.size_bytes, "no golden and no layer of this host needs it")


def _layer_garbage(inventory: Inventory, needed: frozenset[str], ages: Ages) -> Iterable[Garbage]:
    """Upper layers first, so that what is left always stands on something."""
    reason = f"no golden, computer or build needs it, and it was not used for {_span(ages.layer)}"
    depth: dict[str, int] = {}
    for layer in inventory.layers.values():
        depth[layer.key] = _depth(layer, inventory.layers)
    for layer in sorted(inventory.layers.values(), key=lambda one: (-depth[one.key], one.key)):
        if layer.key not in needed:
            yield Garbage("layer", layer.key, layer.size_bytes, reason)


def _state_garbage(inventory: Inventory, needed: frozenset[str], ages: Ages) -> Iterable[Garbage]:
    """A layer without its state is as good: the next build that begins there boots."""
    reason = f"a quick start that was not used for {_span(ages.state)}"
    for key, size in sorted(inventory.states.items()):
        if key in needed and inventory.now_ms - inventory.used_ms.get(key, 0) >= ages.state * 1000:
            yield Garbage("state", key, size, reason)


def _depth(layer: Layer, layers: Mapping[str, Layer]) -> int:
    count, parent = 0, layer.parent
    while parent is not None and parent in layers:
        count, parent = count + 1, layers[parent].parent
    return count


def _staging_garbage(inventory: Inventory, ages: Ages) -> Iterable[Garbage]:
    for item in inventory.staging:
        if inventory.now_ms - item.time_ms >= ages.staging * 1000:
            yield Garbage("staging", item.key, item.size_bytes, "half-made by a build that is long over")


def _span(seconds: float) -> str:
    return f"{seconds / 86400:g} days" if seconds >= 172_800 else f"{seconds / 3600:g} hours"


class GarbageCollector:
    """Finds and removes what nothing needs."""

    def __init__(
        self, layers: LayerStore, golden_store: GoldenStore, bases: BaseImages, objects: DirectoryObjects, staging: Path
    ) -> None:
        self._layers = layers
        self._goldens = golden_store
        self._bases = bases
        self._objects = objects
        self._staging = staging

    async def collect(self, roots: Roots, ages: Ages | None = None, *, dry_run: bool) -> tuple[Garbage, ...]:
        """Removes what may go, or with `dry_run` only says it. `roots` are what the registry, the computers and
        the queue need; what builds of this process hold is added here. Returns what was, or would be, removed."""
        inventory = await self._inventory()
        held = Roots(roots.goldens, roots.layers | self._layers.held())
        found = plan_garbage(inventory, held, ages or Ages())
        if dry_run:
            return found
        return tuple([item for item in found if await self._remove(item)])

    async def _inventory(self) -> Inventory:
        known = self._layers.known()
        base = self._bases.current()
        return Inventory(
            now_ms=now_ms(),
            layers=known,
            used_ms={key: self._layers.used_ms(key) for key in known},
            goldens=await self._stored_goldens(),
            objects=await self._stored_objects(),
            staging=await asyncio.to_thread(_leftovers, self._staging),
            pinned=frozenset({base.key} if base else ()),
            states=await asyncio.to_thread(self._cached_states, known),
        )

    def _cached_states(self, keys: Iterable[str]) -> dict[str, int]:
        sizes = {key: self._layers.cached_state(key) for key in keys}
        return {key: size for key, size in sizes.items() if size}

    async def _stored_goldens(self) -> tuple[Stored, ...]:
        found = []
        for golden in await self._goldens.all():
            keys = tuple(layer.key for layer in golden.layers)
            size = await self._objects.size(goldens.object_key(golden.key))
            found.append(Stored(golden.key, size, golden.created_ms, keys))
        return tuple(found)

    async def _stored_objects(self) -> tuple[Stored, ...]:
        found = []
        for name in await self._objects.list(archive.PREFIX):
            if name.endswith(".tar.zst"):
                key = name.removeprefix(archive.PREFIX).removesuffix(".tar.zst")
                found.append(Stored(key, await self._objects.size(name), 0))
        return tuple(found)

    async def _remove(self, item: Garbage) -> bool:
        if item.kind == "golden":
            await self._goldens.delete(item.key)
        elif item.kind == "object":
            if item.key in self._layers.held():
                return False
            await self._forget_object(item.key)
        elif item.kind == "layer":
            return await self._layers.delete(item.key)
        elif item.kind == "state":
            return await self._layers.drop_cached_state(item.key)
        else:
            await remove_tree(self._staging / item.key)
        return True

    async def _forget_object(self, key: str) -> None:
        found = await archive.read_object(self._objects, key)
        if found is not None and found[0].kind == "base":
            await self._objects.delete(archive.base_key(found[0].info["recipe"], key))
        await self._objects.delete(archive.record_key(key))
        await self._objects.delete(archive.object_key(key))


def _leftovers(staging: Path) -> tuple[Stored, ...]:
    found = []
    for path in sorted(staging.iterdir()) if staging.is_dir() else ():
        status = path.lstat()
        found.append(Stored(path.name, status.st_size, int(status.st_mtime * 1000)))
    return tuple(found)
