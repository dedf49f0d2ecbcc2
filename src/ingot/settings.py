"""All settings in one frozen value: defaults < file < environment < flags, merged once.

Only this module reads the environment. Durations are seconds, sizes are megabytes (MiB) where the name
says `_mb`. `ingot up --show-settings` prints every value and where it came from, secrets hidden.
"""

from __future__ import annotations

import os
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ingot.errors import SettingsError

ENVIRONMENT_PREFIX = "INGOT_"
_CONFIG_HOME = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "ingot"
_DATA_HOME = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "ingot"


@dataclass(frozen=True, slots=True)
class Settings:
    """One server's settings. Every field is a key of the file, `INGOT_<NAME>` in the environment, and where
    `ingot up` has a flag of that name, the flag."""

    listen: str = "127.0.0.1:7070"
    data_dir: Path = _DATA_HOME
    machine: str = "auto"
    builds: int = 2
    bootstrap_key: str = field(default="", metadata={"secret": True})
    vault_key_file: Path = _CONFIG_HOME / "vault.key"
    credentials_file: Path = _CONFIG_HOME / "credentials.json"
    queue_limit: int = 100
    account_queue_limit: int = 20
    account_builds: int = 2
    queue_timeout: float = 3600
    step_timeout: float = 1200
    build_timeout: float = 3600
    machine_memory_mb: int = 4096
    machine_disk_mb: int = 10_240
    machine_processes: int = 4096
    host_ca: bool = True
    ca_bundle: Path = Path("/etc/ssl/certs/ca-certificates.crt")
    allow_networks: tuple[str, ...] = ()
    mirror: str = ""
    run_idle_timeout: float = 900
    held_machines: int = 2
    account_held_machines: int = 2
    cors_origins: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    hosts: tuple[str, ...] = ()
    stream_limit: int = 9000
    account_stream_limit: int = 6000
    log_compact_after: float = 3600
    log_keep_days: int = field(default=90, metadata={"or_zero": True})
    log_level: str = "info"

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


def load_settings(
    flags: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    file: Path | None = None,
) -> tuple[Settings, dict[str, str]]:
    """Merges all sources; returns the settings and, for each field, where its value came from.

    The file is TOML: `file`, else `$INGOT_CONFIG`, else `config.toml` in the configuration directory when
    there is one. Raises SettingsError naming the source and the field of a value that cannot be used.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {}
    origin = {entry.name: "default" for entry in fields(Settings)}
    for name, raw, source in (*_from_file(file, environment), *_from_environment(environment), *_from_flags(flags)):
        values[name] = _convert(name, raw, source)
        origin[name] = source
    settings = Settings(**values)
    _check(settings, origin)
    return settings, origin


def describe_settings(settings: Settings, origin: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Every setting with its value as text and where it came from; secrets show as `***`."""
    shown: dict[str, dict[str, str]] = {}
    for entry in fields(Settings):
        value = getattr(settings, entry.name)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        if entry.metadata.get("secret") and text:
            text = "***"
        shown[entry.name] = {"value": text, "source": origin[entry.name]}
    return shown


def client_environment(environment: Mapping[str, str] | None = None) -> tuple[str | None, str | None]:
    """(`INGOT_URL`, `INGOT_API_KEY`) for the command line, None where not set."""
    environment = os.environ if environment is None else environment
    return environment.get("INGOT_URL") or None, environment.get("INGOT_API_KEY") or None


def _from_file(file: Path | None, environment: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    named = file or (Path(environment["INGOT_CONFIG"]) if environment.get("INGOT_CONFIG") else None)
    path = named or _CONFIG_HOME / "config.toml"
    if named is None and not path.exists():
        return []
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"the settings file {path} cannot be read: {error}") from error
    known = {entry.name for entry in fields(Settings)}
    if unknown := sorted(set(content) - known):
        raise SettingsError(f"{path}: unknown setting {unknown[0]!r}", hint=f"known are {', '.join(sorted(known))}")
    return [(name, value, f"file {path}") for name, value in content.items()]


def _from_environment(environment: Mapping[str, str]) -> list[tuple[str, Any, str]]:
    found = []
    for entry in fields(Settings):
        variable = ENVIRONMENT_PREFIX + entry.name.upper()
        if environment.get(variable):
            found.append((entry.name, environment[variable], f"environment {variable}"))
    return found


def _from_flags(flags: Mapping[str, Any] | None) -> list[tuple[str, Any, str]]:
    return [
        (name, value, f"flag --{name.replace('_', '-')}") for name, value in (flags or {}).items() if value is not None
    ]


_ORIGIN = re.compile(r"\*|https?://[a-z0-9.\-]+(:\d{1,5})?|https?://\[[0-9a-f:]+\](:\d{1,5})?")
_HOST = re.compile(r"\*|[a-zA-Z0-9.\-]+|[0-9a-fA-F:]+")
_TYPES = typing.get_type_hints(Settings)


def _convert(name: str, raw: Any, source: str) -> Any:
    """Turns a text (environment) or a TOML value into the field's type."""
    wanted = _TYPES[name]
    try:
        if wanted is Path:
            return Path(str(raw)).expanduser().absolute()
        if wanted is bool:
            return _boolean(raw)
        if isinstance(wanted, types.GenericAlias):
            parts = raw.split(",") if isinstance(raw, str) else raw
            return tuple(str(part).strip() for part in parts if str(part).strip())
        return wanted(raw)
    except (TypeError, ValueError) as error:
        raise SettingsError(f"{source}: {name} cannot be {raw!r}: expected {wanted.__name__}") from error


def _boolean(raw: Any) -> bool:
    text = str(raw).lower()
    if text not in ("1", "0", "true", "false", "yes", "no", "on", "off"):
        raise ValueError(raw)
    return text in ("1", "true", "yes", "on")


def _check(settings: Settings, origin: Mapping[str, str]) -> None:
    def refuse(name: str, why: str) -> None:
        raise SettingsError(f"{origin[name]}: {name} = {getattr(settings, name)!s}: {why}")

    host, colon, port = settings.listen.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        refuse("listen", "write HOST:PORT, such as 127.0.0.1:7070")
    if settings.machine not in ("auto", "container", "qemu"):
        refuse("machine", "choose auto, container or qemu")
    if any(not _ORIGIN.fullmatch(allowed) for allowed in settings.cors_origins):
        refuse("cors_origins", "write origins such as https://console.example:8443, or *")
    if any(not _HOST.fullmatch(name) for name in settings.hosts):
        refuse("hosts", "write names such as ingot.example, without a scheme or a port, or *")
    for entry in fields(Settings):
        value = getattr(settings, entry.name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        if value < 0 or (value == 0 and "or_zero" not in entry.metadata):
            refuse(entry.name, "must be above 0")
