"""Layers on this host: `<directory>/<key>/` with the backend's parts and, written last, `layer.json`.

A layer is in the index when its `layer.json` is there, and that is written only when its parts are durable. A key
that is there is never replaced. It promises not to decide what may go: see `garbage`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from ingot.errors import CorruptStoreError, DeadlineError
from ingot.machine.contract import Backend
from ingot.records.layer import Layer
from ingot.storage.durable import sync_directory
from ingot.storage.objects import DirectoryObjects
from ingot.store.archive import fetch_layer, read_object
from ingot.store.tree import remove_tree, write_durably

_RECORD = "layer.json"
_PARTS = "parts"


class LayerStore:
    """All layers of one backend in one directory. Safe for any number of builds in one process; the directory
    belongs to one process. Call `start` once before anything else."""

    def __init__(self, directory: Path, staging: Path, objects: DirectoryObjects, backend: Backend) -> None:
        self._directory = directory
        self._staging = staging
        self._objects = objects
        self._backend = backend
        self._known: dict[str, Layer] = {}
        self._held: Counter[str] = Counter()
        self._makers: dict[str, asyncio.Lock] = {}

    async def start(self) -> None:
        """Reads the index. Directories without a `layer.json` are leftovers of a crash and are removed."""
        self._directory.mkdir(parents=True, exist_ok=True)
        self._staging.mkdir(parents=True, exist_ok=True)
        self._known, broken = await asyncio.to_thread(self._read_index)
        for path in broken:
            await remove_tree(path)

    def get(self, key: str) -> Layer | None:
        return self._known.get(key)

    async def look_up(self, key: str) -> Layer | None:
        """The layer whether its parts are on this host or only in the object store."""
        if (layer := self._known.get(key)) is not None:
            return layer
        found = await read_object(self._objects, key)
        return None if found is None else found[0]

    def all(self) -> tuple[Layer, ...]:
        return tuple(self._known.values())

    def known(self) -> dict[str, Layer]:
        """Every layer by key, as it is now."""
        return dict(self._known)

    def parts(self, key: str) -> Path:
        """The directory that `Backend.open` takes as one element of a stack."""
        return self._directory / key / _PARTS

    def used_ms(self, key: str) -> int:
        """When the layer was last used, milliseconds since the epoch; 0 when it is not there."""
        try:
            return int((self._directory / key / _RECORD).stat().st_mtime * 1000)
        except FileNotFoundError:
            return 0

    def cached_state(self, key: str) -> int:
        """Bytes of running state that the layer holds for speed alone. Blocking."""
        return self._backend.cached_state(self.parts(key))

    async def drop_cached_state(self, key: str) -> bool:
        """Removes that; the layer stays. False when something holds the layer."""
        if key in self._held:
            return False
        await asyncio.to_thread(self._backend.drop_cached_state, self.parts(key))
        return True

    def touch(self, keys: Iterable[str]) -> None:
        """Marks layers as used now."""
        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._directory / key / _RECORD)

    @contextlib.contextmanager
    def hold(self) -> Iterator[Callable[[str], None]]:
        """While the context lasts, every key given to its function is kept from garbage collection."""
        mine: list[str] = []

        def add(key: str) -> None:
            mine.append(key)
            self._held[key] += 1

        try:
            yield add
        finally:
            self._held -= Counter(mine)

    def held(self) -> frozenset[str]:
        return frozenset(self._held)

    @contextlib.asynccontextmanager
    async def making(self, key: str, *, deadline: float, waiting: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
        """Whoever is inside makes `key`; others wait up to `deadline` seconds and then look whether it is there.
        `waiting` is called once when there is something to wait for. Raises DeadlineError."""
        lock = self._makers.setdefault(key, asyncio.Lock())
        if lock.locked():
            await waiting()
        try:
            async with asyncio.timeout(deadline):
                await lock.acquire()
        except TimeoutError:
            raise DeadlineError(
                f"another build did not finish this layer within {deadline:g} s", seconds=deadline
            ) from None
        try:
            yield
        finally:
            lock.release()
            if not lock.locked() and not getattr(lock, "_waiters", None):
                self._makers.pop(key, None)

    @contextlib.asynccontextmanager
    async def stage(self) -> AsyncIterator[Path]:
        """An empty directory for the parts of a layer to come; removed on the way out unless published."""
        place = self._staging / f"layer-{uuid.uuid4().hex}"
        parts = place / _PARTS
        parts.mkdir(parents=True)
        try:
            yield parts
        finally:
            await asyncio.shield(remove_tree(place))

    async def publish(self, layer: Layer, staged: Path) -> Layer:
        """Takes the parts in `staged` (of `stage`, durable) as the layer's. A key that is there already keeps
        its layer, which is returned; what was staged is then dropped."""
        if (present := self._known.get(layer.key)) is not None:
            return present
        await asyncio.to_thread(self._place, layer, staged)
        self._known[layer.key] = layer
        return layer

    async def delete(self, key: str) -> bool:
        """Forgets a layer, then removes its parts. False when something holds it: it then stays."""
        if key in self._held:
            return False
        if self._known.pop(key, None) is None:
            return True
        grave = self._staging / f"gone-{uuid.uuid4().hex}"
        await asyncio.to_thread(self._bury, key, grave)
        await remove_tree(grave)
        return True

    async def ensure_local(self, key: str) -> Layer:
        """The layer with its parts on this host, fetched from the object store when they are gone. Raises
        CorruptStoreError when they are nowhere or do not match their digest."""
        layer = self._known.get(key)
        if layer is not None and self.parts(key).is_dir():
            return layer
        async with self.making(f"fetch {key}", deadline=1800, waiting=_silence):
            layer = self._known.get(key)
            if layer is not None and self.parts(key).is_dir():
                return layer
            async with self.stage() as parts:
                fetched = await fetch_layer(self._objects, self._backend, key, parts)
                if fetched is None:
                    raise CorruptStoreError(
                        f"layer {key[:12]} is neither on this host nor in the object store", hint="build without cache"
                    )
                await asyncio.to_thread(self._place, fetched, parts)
                self._known[key] = fetched
                return fetched

    def _read_index(self) -> tuple[dict[str, Layer], list[Path]]:
        known, broken = {}, []
        for path in self._directory.iterdir():
            layer = _read_record(path / _RECORD)
            if layer is None:
                broken.append(path)
            elif layer.backend == self._backend.name:
                known[layer.key] = layer
        return known, broken

    def _place(self, layer: Layer, staged: Path) -> None:
        home = self._directory / layer.key
        if home.exists():
            home.rename(self._staging / f"gone-{uuid.uuid4().hex}")
        place = staged.parent
        sync_directory(staged)
        sync_directory(place)
        place.rename(home)
        sync_directory(self._directory)
        write_durably(home / _RECORD, json.dumps(asdict(layer)).encode())

    def _bury(self, key: str, grave: Path) -> None:
        home = self._directory / key
        with contextlib.suppress(FileNotFoundError):
            (home / _RECORD).unlink()
            sync_directory(home)
        with contextlib.suppress(FileNotFoundError):
            home.rename(grave)


async def _silence() -> None:
    return None


def _read_record(path: Path) -> Layer | None:
    try:
        return Layer(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
