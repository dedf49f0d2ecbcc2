"""A computer: a machine that was made from a golden and is handed to its user."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class LaunchWish:
    """What a caller asked for. None means as the template says; `workspace` is a label that is only handed back.
    A `test_run` computer ends after some idle minutes."""

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
    `error` says what went wrong where `status` is `error`; `created_ms` is milliseconds since the epoch."""

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


@dataclass(frozen=True, slots=True)
class ShellResult:
    """What a command in a computer came to. `output` is stdout and stderr as they came, bounded in size;
    `exit_code` is 128 + signal for a killed command, 124 for one past its time."""

    output: str
    exit_code: int
