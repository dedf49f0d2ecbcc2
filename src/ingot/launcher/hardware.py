"""What a computer's machine gets: the wish, the template, and what this host has. Pure but for `host_hardware`."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ingot.errors import ConflictError
from ingot.records.computer import LaunchWish
from ingot.records.layer import Golden
from ingot.records.machine import MachineSpec


@dataclass(frozen=True, slots=True)
class HostHardware:
    """The most that one machine can have here."""

    cpu: float
    memory_mb: int
    disk_mb: int


def host_hardware(disk_dir: Path) -> HostHardware:
    """This host: its CPUs, its memory, and the file system of `disk_dir`."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    disk = shutil.disk_usage(disk_dir).total
    return HostHardware(float(os.cpu_count() or 1), memory // 2**20, disk // 2**20)


def choose_spec(golden: Golden, wish: LaunchWish, host: HostHardware) -> MachineSpec:
    """The wish, else what the document says, else the default, which is cut to what the host has.

    Raises ConflictError (`capacity`) when the wish or the document names more than the host has.
    """
    said = golden.document.get("hardware") or {}
    cpu = _choose("CPUs", wish.cpu, said.get("cpu"), golden.spec.cpu, host.cpu)
    memory = _choose("MiB of memory", _mb(wish.ram_gb), _mb(said.get("ram_gb")), golden.spec.memory_mb, host.memory_mb)
    disk = _choose("MiB of disk", _mb(wish.disk_gb), _mb(said.get("disk_gb")), golden.spec.disk_mb, host.disk_mb)
    return replace(
        golden.spec,
        cpu=cpu,
        memory_mb=int(memory),
        disk_mb=int(disk),
        resolution=wish.resolution or golden.spec.resolution,
    )


def _choose(what: str, wished: float | None, said: float | None, default: float, most: float) -> float:
    named = wished if wished is not None else said
    if named is None:
        return min(default, most)
    if named > most:
        who = "you ask" if wished is not None else "the template asks"
        raise ConflictError(
            f"{who} for {named:g} {what}, this host has {most:g}",
            hint="ask for less when you launch, or use a larger host",
            code="capacity",
        )
    return named


def _mb(gigabytes: Any) -> float | None:
    return None if gigabytes is None else gigabytes * 1024
