"""A real server for a benchmark: `ingot up` as a process of its own, with a base image, gone with the context."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.acceptance.server import Server
from tests.seeded import base_data, copy_data


@contextlib.contextmanager
def real_server(**settings: str) -> Iterator[Server]:
    """`settings` are names of settings with their values."""
    home = Path(tempfile.mkdtemp(prefix="ingot-bench-"))
    server = Server(home, settings)
    copy_data(asyncio.run(base_data()), server.data)
    try:
        yield server.start()
    finally:
        server.close()
        shutil.rmtree(home)
