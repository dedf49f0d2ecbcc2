"""What a build is asked to do and what it is given to do it with. Values and names only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingot.machine.contract import Backend
from ingot.records.build import BuildFlags, StepRecord
from ingot.records.machine import MachineSpec
from ingot.records.template import Template
from ingot.store.archive import Archive
from ingot.store.base_images import BaseImages
from ingot.store.downloads import Downloads
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore


@dataclass(frozen=True, slots=True)
class Limits:
    """What one machine may have on this host, and how long things may take (seconds)."""

    cpu: float = field(default_factory=lambda: float(os.cpu_count() or 1))
    memory_mb: int = 4096
    disk_mb: int = 10_240
    processes: int = 4096
    step_timeout: float = 1200
    build_timeout: float = 3600


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One attempt. `secrets` holds values of the account's vault by name, `fingerprints` their keyed hashes; both
    may hold more than the template asks for. `previous` are the steps of the ref's attempt before this one, by
    which the log can say what changed."""

    template: Template
    account: str
    build_id: str
    flags: BuildFlags = field(default_factory=BuildFlags)
    secrets: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    previous: tuple[StepRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildTools:
    """What every build of this process shares. `staging` is for files that live as long as a build."""

    backend: Backend
    layers: LayerStore
    goldens: GoldenStore
    archive: Archive
    base_images: BaseImages
    downloads: Downloads
    staging: Path


def wanted_spec(template: Template, limits: Limits) -> MachineSpec:
    """The hardware that the document asks for: what the golden is for."""
    hardware = template.hardware
    return MachineSpec(
        cpu=hardware.cpu,
        memory_mb=hardware.ram_gb * 1024,
        disk_mb=hardware.disk_gb * 1024,
        processes=limits.processes,
        resolution=hardware.resolution,
    )


def clamped_spec(wanted: MachineSpec, limits: Limits) -> tuple[MachineSpec, tuple[str, ...]]:
    """The hardware of the build's machine: what is wanted or what this host gives, and a line for each difference."""
    warnings = []
    for what, asked, most in (
        ("CPUs", wanted.cpu, limits.cpu),
        ("MiB of memory", wanted.memory_mb, limits.memory_mb),
        ("MiB of disk", wanted.disk_mb, limits.disk_mb),
    ):
        if asked > most:
            warnings.append(
                f"the template asks for {asked:g} {what}; this host gives a machine {most:g}: building with that"
            )
    spec = MachineSpec(
        cpu=min(wanted.cpu, limits.cpu),
        memory_mb=min(wanted.memory_mb, limits.memory_mb),
        disk_mb=min(wanted.disk_mb, limits.disk_mb),
        processes=wanted.processes,
        resolution=wanted.resolution,
    )
    return spec, tuple(warnings)
