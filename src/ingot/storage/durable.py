"""What it takes for a file to survive a power loss: its bytes synced, and its directory's entry too. Blocking."""

from __future__ import annotations

import os
from pathlib import Path


def sync_file(path: Path) -> None:
    _sync(path, os.O_RDONLY)


def sync_directory(path: Path) -> None:
    _sync(path, os.O_RDONLY | os.O_DIRECTORY)


def make_directories(path: Path, top: Path) -> None:
    """Makes `path` and what is missing above it, each entry synced, down from `top`, which is made as well."""
    if path.is_dir():
        return
    if path != top:
        make_directories(path.parent, top)
        path.mkdir(exist_ok=True)
    else:
        path.mkdir(parents=True, exist_ok=True)
    sync_directory(path.parent)


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
