"""A data directory that holds a base image already, made once for all test runs and copied for each server.

The base image is the one that the machine tests use, so a fresh host makes one in all. With `toolchains` the pip and
npm toolchains are in it too. Kept below `$INGOT_TEST_CACHE`, in a name that changes with what decides layer keys.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import ingot
from ingot.builder.packages import describe_base
from ingot.machine.container import ContainerBackend
from ingot.machine.contract import Backend, Captured
from ingot.machine.qemu import QemuBackend
from ingot.machine.qemu.base_disk import DISK
from ingot.process import Sink
from ingot.storage.objects import DirectoryObjects
from ingot.store.archive import Archive
from ingot.store.base_images import BaseImages
from ingot.store.layers import LayerStore
from tests.machine.cached_base import (
    SETTINGS,
    VM_SETTINGS,
    _locked,
    cache_directory,
    cached_base,
    cached_vm_base,
)

_KEY_SOURCES = ("builder/keys.py", "builder/packages.py", "builder/steps.py", "records/layer.py", "store/layers.py")
_KEPT = ("layers", "objects")


def copy_data(seed: Path, data: Path) -> None:
    """A data directory of one's own. Parts and objects are never written in place, so hard links will do; records
    are touched when they are used, so each server has its own."""
    data.mkdir(parents=True, mode=0o711)
    for name in _KEPT:
        linked = subprocess.run(["cp", "-al", str(seed / name), str(data / name)], capture_output=True, check=False)
        if linked.returncode != 0:
            shutil.rmtree(data / name, ignore_errors=True)
            subprocess.run(["cp", "-a", str(seed / name), str(data / name)], check=True)
    for record in data.glob("layers/*/layer.json"):
        content = record.read_bytes()
        record.unlink()
        record.write_bytes(content)


async def base_data() -> Path:
    """A data directory with the base image, in layers and in objects."""
    base = await cached_base()

    async def make(place: Path) -> None:
        await _fill(place, _FromCache(base))

    return await _made_once("base", base.name, make)


async def vm_data() -> Path:
    """The same for virtual machines."""
    base = await cached_vm_base()

    async def make(place: Path) -> None:
        await _fill(place, _VmFromCache(base))

    return await _made_once("vm", base.name, make)


async def toolchain_data(build: Callable[[Path], None]) -> Path:
    """The same with the toolchains in it. `build` has a server on the directory given make them."""
    seed = await base_data()

    async def make(place: Path) -> None:
        shutil.rmtree(place)
        copy_data(seed, place)
        await asyncio.to_thread(build, place)

    return await _made_once("toolchains", seed.name, make)


async def _made_once(kind: str, below: str, make: Callable[[Path], object]) -> Path:
    digest = hashlib.sha256(below.encode())
    for name in _KEY_SOURCES:
        digest.update((Path(ingot.__file__).parent / name).read_bytes())
    place = cache_directory() / f"data-{kind}-{digest.hexdigest()[:16]}"
    with await asyncio.to_thread(_locked, cache_directory() / f"lock-{kind}"):
        if not place.exists():
            staged = place.with_suffix(".making")
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
            made = make(staged)
            assert asyncio.iscoroutine(made)
            await made
            for path in staged.iterdir():
                if path.name not in _KEPT:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            staged.rename(place)
    return place


async def _fill(place: Path, backend: Backend) -> None:
    """Makes the backend's base image in the data directory `place`."""
    objects = DirectoryObjects(place / "objects")
    layers = LayerStore(place / "layers", place / "staging", objects, backend)
    await layers.start()
    archive = Archive(objects, backend, place / "staging")
    images = BaseImages(backend, layers, archive, objects, describe_base)
    try:
        layer = await images.ensure(refresh=False, say=_quiet, sink=_quiet_bytes)
        await archive.ensure(layer, layers.parts(layer.key))
    finally:
        await archive.aclose()


class _FromCache(ContainerBackend):
    """Makes its base image from the cached one."""

    def __init__(self, base: Path) -> None:
        super().__init__(base.parent / "machines", SETTINGS)
        self._base = base

    async def make_base(self, into: Path, sink: Sink) -> Captured:
        await asyncio.to_thread(subprocess.run, ["cp", "-a", f"{self._base}/.", str(into)], check=True)
        files = [path for path in into.rglob("*") if path.is_file() and not path.is_symlink()]
        return Captured(sum(path.stat().st_size for path in files), len(files))


class _VmFromCache(QemuBackend):
    """The same for virtual machines."""

    def __init__(self, base: Path) -> None:
        super().__init__(base.parent / "qemu", VM_SETTINGS)
        self._base = base

    async def make_base(self, into: Path, sink: Sink) -> Captured:
        await asyncio.to_thread(
            subprocess.run, ["cp", "-a", "--sparse=always", f"{self._base}/.", str(into)], check=True
        )
        return Captured((into / DISK).stat().st_blocks * 512, 1)


async def _quiet(line: str) -> None:
    """Nobody reads how the seed is made."""


async def _quiet_bytes(chunk: bytes) -> None:
    """Nor what its tools print."""
