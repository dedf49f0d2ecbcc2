"""One base image for all test runs on this host: made once for each recipe, kept in a fixed directory.

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

HOST_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
SETTINGS = ContainerSettings(ca_bundle=HOST_BUNDLE if HOST_BUNDLE.exists() else None)


def cache_directory() -> Path:
    return Path(os.environ.get("INGOT_TEST_CACHE") or Path.home() / ".cache" / "ingot-tests")


async def cached_base() -> Path:
    """The base image's layer directory; making it takes about half a minute, once."""
    cache = cache_directory()
    cache.mkdir(parents=True, exist_ok=True)
    backend = ContainerBackend(cache / "machines", SETTINGS)
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
