"""What a machine is made of, and what can be run in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """The hardware a machine gets. `disk_mb` bounds what the machine may write."""

    cpu: float = 1
    memory_mb: int = 4096
    disk_mb: int = 10_240
    processes: int = 4096
    resolution: str = "1280x800x24"


@dataclass(frozen=True, slots=True)
class Command:
    """A command inside a machine. `timeout` is seconds; `env` adds to the machine's own; stdin is closed
    unless `stdin` has bytes. Environment values may be secrets: they never show in any argv on the host."""

    argv: tuple[str, ...]
    timeout: float
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "/"
    user: str = "root"
    stdin: bytes = b""


@dataclass(frozen=True, slots=True)
class CommandResult:
    """`exit_code` is 128 + signal for a killed command. `memory_killed` says that the machine's memory
    limit killed a process while the command ran; `disk_full` that the machine's disk has no room left; `host_full` that
    this host's disk did not take what the machine wrote."""

    exit_code: int
    duration_ms: int
    timed_out: bool = False
    memory_killed: bool = False
    disk_full: bool = False
    host_full: bool = False


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file to be put into a machine. `path` is absolute inside the machine, `mode` octal such as 0o644."""

    path: str
    content: bytes
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
