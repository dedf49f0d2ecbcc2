"""The one range of host user and group ids that container machines map to, and the paths of a machine.

Root inside is id 100000 outside. All machines share the range, because layers are stored with it on disk;
machines are kept apart by their mount, PID, network and IPC namespaces, not by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FIRST_ID = 100_000
ID_COUNT = 65_536


def to_host(guest_id: int) -> int:
    """The id outside for one inside. Raises ValueError for an id the range does not hold."""
    if not 0 <= guest_id < ID_COUNT:
        raise ValueError(f"id {guest_id} is not in 0..{ID_COUNT - 1}")
    return FIRST_ID + guest_id


def to_guest(host_id: int) -> int:
    """The id inside for one outside. Raises ValueError for an id outside of the range."""
    if not FIRST_ID <= host_id < FIRST_ID + ID_COUNT:
        raise ValueError(f"id {host_id} is not in {FIRST_ID}..{FIRST_ID + ID_COUNT - 1}")
    return host_id - FIRST_ID


@dataclass(frozen=True, slots=True)
class Home:
    """Where one machine lives on the host: everything below `run` but the disk image. `run` must be
    traversable by the mapped root and by nobody else, never below the data directory."""

    id: str
    run: Path
    image: Path

    @property
    def state(self) -> Path:
        return self.run / "machine.json"

    @property
    def root(self) -> Path:
        return self.run / "root"

    @property
    def disk(self) -> Path:
        return self.run / "disk"

    @property
    def namespaces(self) -> Path:
        return self.run / "ns"

    @property
    def bundle(self) -> Path:
        return self.run / "bundle"

    @property
    def runtime(self) -> Path:
        return self.run / "runc"

    @property
    def downloads(self) -> Path:
        return self.run / "downloads"
