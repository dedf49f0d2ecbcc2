"""A computer: a machine that was made from a golden and is handed to its user; and where computers are kept."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from ingot.records.machine import MachineSpec
from ingot.records.ref import Ref


class ComputerStatus(StrEnum):
    CREATING = "creating"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    RESTARTING = "restarting"
    DELETING = "deleting"
    ERROR = "error"


SETTLED = frozenset({ComputerStatus.RUNNING, ComputerStatus.STOPPED, ComputerStatus.ERROR})
"""Where a computer stays until somebody asks for something else; the others are on the way to one of these."""


@dataclass(frozen=True, slots=True)
class LaunchWish:
    """What a caller asked for. None means as the template says. A `test_run` computer ends after some idle minutes and
    is then gone."""

    name: str = ""
    workspace: str | None = None
    cpu: float | None = None
    ram_gb: int | None = None
    disk_gb: int | None = None
    resolution: str | None = None
    auto_stop_minutes: int | None = None
    test_run: bool = False


@dataclass(frozen=True, slots=True)
class Computer:
    """`id` is a UUID, `instance_id` 8 hex digits. `ports` are the template's, as its canonical document has them;
    `error` says what went wrong, at its last start or stop; `created_ms` is milliseconds since the epoch.

    `layers` name what it wrote itself, above the layers of the golden `golden_key`, oldest first; `machine` is the
    backend's id of its machine while it has one; `wanted` says that it runs, or is to run again after a restart of the
    server; `vnc_password` lets viewers see its screen, None where it has none."""

    id: str
    instance_id: str
    account: str
    name: str
    ref: Ref
    status: ComputerStatus
    spec: MachineSpec
    created_ms: int
    workspace: str | None = None
    auto_stop_minutes: int | None = None
    test_run: bool = False
    ports: tuple[dict[str, Any], ...] = ()
    error: str | None = None
    golden_key: str = ""
    layers: tuple[str, ...] = ()
    machine: str | None = None
    wanted: bool = False
    vnc_password: str | None = field(default=None, repr=False)

    @property
    def hostname(self) -> str:
        """The name of its machine: like its own, as far as a host's name can be, and no other computer's."""
        likeness = re.sub("[^a-z0-9]+", "-", self.name.lower())[:40].strip("-")
        return f"{likeness or 'computer'}-{self.instance_id}"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A named place for an account's computers. `id` is a UUID."""

    id: str
    account: str
    name: str
    created_ms: int


@dataclass(frozen=True, slots=True)
class ShellResult:
    """What a command in a computer came to. `output` is stdout and stderr as they came, bounded in size;
    `exit_code` is 128 + signal for a killed command, 124 for one past its time."""

    output: str
    exit_code: int


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """What a computer's supervisor runs. `app` is the template's app that it belongs to, None for Ingot's own; `state`
    is supervisord's word in lower case, `unknown` where it gives none; `detail` says more, such as since when; `pid` is
    that of its process while it has one."""

    name: str
    app: str | None
    state: str
    detail: str
    pid: int | None
