"""One base image of each backend for all test runs on this host: made once for each recipe, kept in a fixed directory.

`$INGOT_TEST_CACHE` names it, `~/.cache/ingot-tests` otherwise. Tests only read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from ingot.machine.container import ContainerBackend, ContainerSettings
from ingot.machine.contract import Backend
from ingot.machine.qemu import QemuBackend, QemuSettings

HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SETTINGS = ContainerSettings(ca_bundle=HOST_BUNDLE if HOST_BUNDLE.exists() else None)
VM_SETTINGS = QemuSettings("tcg", SETTINGS.ca_bundle)


def cache_directory() -> Path:
    return Path(os.environ.get("INGOT_TEST_CACHE") or Path.home() / ".cache" / "ingot-tests")


async def cached_base() -> Path:
    """The base image's layer directory; making it takes about half a minute, once."""
    return await _cached(ContainerBackend(cache_directory() / "machines", SETTINGS))


def vm_backend() -> QemuBackend:
    """What was booted is kept beside the base; sockets are this test run's own."""
    return QemuBackend(cache_directory() / "qemu", VM_SETTINGS, Path(f"/run/ingot-vm-tests-{os.getpid()}"))


async def cached_vm_base() -> Path:
    """The same for virtual machines."""
    return await _cached(vm_backend())


async def _cached(backend: Backend) -> Path:
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    layer = cache / f"base-{hashlib.sha256(backend.base_recipe().encode()).hexdigest()[:16]}"
    with await asyncio.to_thread(_locked, cache / "lock"):
        if not layer.exists():
            staged = layer.with_suffix(".making")
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir()
            await backend.make_base(staged, _show)
            staged.rename(layer)
    return layer


async def _show(chunk: bytes) -> None:
    sys.stderr.buffer.write(chunk)


def _locked(path: Path) -> contextlib.AbstractContextManager[None]:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)

    @contextlib.contextmanager
    def held() -> Iterator[None]:
        try:
            yield
        finally:
            os.close(descriptor)

    return held()
