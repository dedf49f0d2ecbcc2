"""The base image: layer 0 of everything. Made once at first use, named by the digest of what it holds, archived,
and fetched from the archive when the local copy is gone. A newer one is made only when somebody asks for it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from ingot.errors import DeadlineError
from ingot.machine.contract import Backend, Captured
from ingot.process import Sink
from ingot.records.layer import Layer
from ingot.storage.clock import now_ms
from ingot.storage.objects import DirectoryObjects
from ingot.store.archive import Archive, newest_base
from ingot.store.layers import LayerStore
from ingot.store.tree import Entry, open_file, walk

Say = Callable[[str], Awaitable[None]]
Describe = Callable[[Path], dict[str, object]]
"""What is worth knowing of a layer's parts, for `Layer.info`; blocks."""

MAKE_DEADLINE = 1800.0


class BaseImages:
    """All base images of one backend. Builds that need one at the same time wait for the one that makes it."""

    def __init__(
        self,
        backend: Backend,
        layers: LayerStore,
        archive: Archive,
        objects: DirectoryObjects,
        describe: Describe,
    ) -> None:
        self._backend = backend
        self._objects = objects
        self._layers = layers
        self._archive = archive
        self._describe = describe

    def current(self) -> Layer | None:
        """The newest base image that today's recipe made, if there is one."""
        recipe = self._recipe()
        made = [layer for layer in self._layers.all() if layer.kind == "base" and layer.info.get("recipe") == recipe]
        return max(made, key=lambda layer: layer.created_ms, default=None)

    async def ensure(self, *, refresh: bool, say: Say, sink: Sink) -> Layer:
        """The base image to build on. `refresh` makes a new one, unless another build did since this one asked.
        `say` gets lines about what happens, `sink` what the tool prints."""
        asked = now_ms()
        if (usable := self._usable(refresh, asked)) is not None:
            return await self._local(usable, say)

        async def waiting() -> None:
            await say("another build is making the base image; waiting for it")

        async with self._layers.making("base image", deadline=MAKE_DEADLINE, waiting=waiting):
            if (usable := self._usable(refresh, asked)) is not None:
                return await self._local(usable, say)
            archived = None if refresh else await newest_base(self._objects, self._recipe())
            return await (self._make(say, sink) if archived is None else self._local(archived, say))

    def _usable(self, refresh: bool, asked: int) -> Layer | None:
        layer = self.current()
        return None if layer is None or (refresh and layer.created_ms < asked) else layer

    async def _local(self, layer: Layer, say: Say) -> Layer:
        if not self._layers.parts(layer.key).is_dir():
            await say("fetching the base image from the object store")
        return await self._layers.ensure_local(layer.key)

    async def _make(self, say: Say, sink: Sink) -> Layer:
        await say("making the base image (once; later builds reuse it)")
        async with self._layers.stage() as parts:
            captured = await self._made(parts, sink)
            recipe = self._recipe()
            listing = await asyncio.to_thread(content_digest, parts)
            described = await asyncio.to_thread(self._describe, parts)
            key = hashlib.sha256(f"{self._backend.name}\n{recipe}\n{listing}".encode()).hexdigest()
            info = {**described, "recipe": recipe, "content": listing}
            layer = Layer(
                key, None, "base", "base image", self._backend.name, now_ms(), captured.size_bytes, captured.files, info
            )
            layer = await self._layers.publish(layer, parts)
        self._archive.start(layer, self._layers.parts(layer.key))
        await say(f"base image {layer.key[:12]} made: {layer.size_bytes / 1e6:.0f} MB in {layer.files} files")
        return layer

    async def _made(self, parts: Path, sink: Sink) -> Captured:
        try:
            async with asyncio.timeout(MAKE_DEADLINE):
                return await self._backend.make_base(parts, sink)
        except TimeoutError:
            why = f"the base image was not made within {MAKE_DEADLINE:g} s"
            raise DeadlineError(why, seconds=MAKE_DEADLINE) from None

    def _recipe(self) -> str:
        return hashlib.sha256(self._backend.base_recipe().encode()).hexdigest()


def content_digest(root: Path) -> str:
    """SHA-256 over every path, type, mode, owner, link target and content below `root`; times do not count."""
    total = hashlib.sha256()
    for line in sorted(_describe_entries(root, walk(root))):
        total.update(line.encode(errors="surrogateescape") + b"\n")
    return total.hexdigest()


def _describe_entries(root: Path, entries: Iterable[Entry]) -> Iterable[str]:
    for entry in entries:
        status = os.lstat(root / entry.path)
        what = ""
        if entry.is_file:
            with open_file(root, entry.path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
                what = hashlib.file_digest(file, "sha256").hexdigest()
        elif stat.S_ISLNK(entry.mode):
            what = str((root / entry.path).readlink())
        yield f"{entry.path}\0{entry.mode:o}\0{status.st_uid}\0{status.st_gid}\0{what}"
