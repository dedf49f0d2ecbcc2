"""Mounts a machine's download caches: what earlier builds kept below, what this machine adds on its own disk.

The kept directory is never written through these mounts, and shows inside as root's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ingot.machine.container import overlay, syscalls
from ingot.machine.container.ids import Home
from ingot.machine.contract import DownloadMount


def download_top(home: Home, name: str) -> Path:
    """The directory on the machine's disk that holds what it added to the cache `name`."""
    return home.disk / "downloads" / name


def mount_downloads(home: Home, downloads: Sequence[DownloadMount], user_namespace: Path) -> dict[str, Path]:
    """Mounts every cache; returns the host directory for each path inside."""
    binds = {}
    for download in downloads:
        place = home.downloads / download.name
        kept, merged = place / "kept", place / "merged"
        for directory in (home.downloads, place, kept, merged):
            directory.mkdir(mode=0o711, exist_ok=True)
        download.kept.mkdir(parents=True, exist_ok=True)
        try:
            syscalls.bind_mapped(download.kept, kept, user_namespace)
        except OSError:  # a kernel or file system that cannot shift owners: kept files then show as nobody's
            syscalls.bind(download.kept, kept)
        top = overlay.make_top(download_top(home, download.name))
        overlay.mount_stack([kept], top, merged)
        binds[download.target] = merged
    return binds


def changed_directory(home: Home, name: str) -> Path:
    """What this machine added to the cache `name`: hostile content."""
    return download_top(home, name) / "upper"
