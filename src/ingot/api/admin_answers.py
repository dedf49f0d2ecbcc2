"""The shapes of answers about the server itself. See `answers`."""

from __future__ import annotations

from pydantic import Field

from ingot.api.answers import Closed, Open, Time


class Kept(Open):
    what: str
    why: str


class Removed(Kept):
    size_bytes: int


class Garbage(Open):
    dry_run: bool
    removed: list[Removed]
    kept: list[Kept] = Field(description="Goldens that something needs, and what.")
    freed_bytes: int


class Finding(Open):
    name: str
    ok: bool
    detail: str
    remedy: str | None = None
    needed: bool = True


class Findings(Closed):
    findings: list[Finding]


class Setting(Closed):
    value: str
    source: str


class ComputerCounts(Closed):
    running: int
    stopped: int
    error: int


class Processors(Closed):
    count: int
    busy: float = Field(ge=0, le=1, description="Of all together, over the last ten seconds.")
    load_1m: float


class Memory(Closed):
    total_bytes: int
    available_bytes: int


class Disk(Closed):
    """Of the file system of the data directory."""

    total_bytes: int
    free_bytes: int
    data_bytes: int | None = Field(description="What the data directory takes, some minutes old; null at first.")


class HostSample(Closed):
    at: Time
    cpu_busy: float
    memory_used_bytes: int
    disk_used_bytes: int
    building: int
    queued: int
    open_streams: int


class HostHistory(Closed):
    every_s: int
    samples: list[HostSample] = Field(description="The last hour since the start, oldest first.")


class Overview(Closed):
    version: str
    backend: str = Field(description="What machines are made of.")
    backend_reason: str
    started_at: Time
    slots: int = Field(description="Builds that run at once.")
    building: int
    queued: int
    computers: ComputerCounts
    open_streams: int
    cpu: Processors
    memory: Memory
    disk: Disk
    history: HostHistory


class SettingsShown(Closed):
    settings: dict[str, Setting]
