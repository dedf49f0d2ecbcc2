"""A template as the builder and the launcher see it: validated, sugar expanded, interpolated, typed.

Durations are seconds, sizes as the names say. Sections whose runtime this version does not have are in
`carried`: they travel into the golden as they were written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SecretRef:
    """`{secret: name}`: a value that is only known where it is used."""

    name: str


EnvValue = str | SecretRef


@dataclass(frozen=True, slots=True)
class SecretSpec:
    name: str
    description: str = ""
    example: str = ""
    docs_url: str = ""
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Hardware:
    cpu: float = 1
    ram_gb: int = 4
    disk_gb: int = 8
    gpu: str = "none"
    resolution: str = "1280x800x24"
    auto_stop_minutes: int | None = None


@dataclass(frozen=True, slots=True)
class BuildSteps:
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    npm: tuple[str, ...] = ()
    run: tuple[str, ...] = ()
    timeout: float | None = None
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FileSpec:
    """`to` is absolute or `~/…`; exactly one of `inline` (text) and `source` (the document's `from`) is set;
    `when` is `build` or `runtime`."""

    to: str
    inline: str | None = None
    source: str | None = None
    mode: str = "0644"
    owner: str = "root"
    group: str = "root"
    when: str = "build"


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    run: str
    cwd: str = ""
    user: str = "orgo"
    env: Mapping[str, EnvValue] = field(default_factory=dict)
    restart: str = "always"
    stop_signal: str = "TERM"
    log: str = ""
    title: str = ""
    description: str = ""

    @property
    def needs_secret(self) -> bool:
        return any(isinstance(value, SecretRef) for value in self.env.values())


@dataclass(frozen=True, slots=True)
class Health:
    """`type` is http (url), tcp (port), command (command) or process (process: a service's or process's name)."""

    type: str
    url: str = ""
    port: int = 0
    command: str = ""
    process: str = ""
    every: float = 30
    timeout: float = 5
    retries: int = 3
    on_fail: str = "none"


@dataclass(frozen=True, slots=True)
class Port:
    internal: int
    external: int = 0
    protocol: str = "tcp"
    public: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Autostart:
    run: str
    delay: float = 0


@dataclass(frozen=True, slots=True)
class App:
    name: str
    install: str = ""
    requires: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    services: tuple[Service, ...] = ()
    health: Health | None = None
    ports: tuple[Port, ...] = ()
    autostart: tuple[Autostart, ...] = ()
    title: str = ""
    description: str = ""


@dataclass(frozen=True, slots=True)
class Hooks:
    on_first_boot: str = ""
    on_every_boot: str = ""
    on_pre_snapshot: str = ""
    on_resume: str = ""
    on_shutdown: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """`apps` are in `requires` order, document order among equals. `env` holds the machine's environment.
    `carried` maps a section's name to its canonical content, sections that are present only."""

    name: str
    version: str
    digest: str
    document: Mapping[str, Any]
    hardware: Hardware = Hardware()
    secrets: tuple[SecretSpec, ...] = ()
    env: Mapping[str, EnvValue] = field(default_factory=dict)
    build: BuildSteps = BuildSteps()
    files: tuple[FileSpec, ...] = ()
    apps: tuple[App, ...] = ()
    hooks: Hooks = Hooks()
    wallpaper: str = ""
    carried: Mapping[str, Any] = field(default_factory=dict)
