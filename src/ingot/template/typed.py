"""From a canonical document to the record that builder and launcher work with.

The document is trusted here: it was validated when it was published. Variables are filled in, durations
become seconds, `{secret: name}` becomes a SecretRef, and apps come in `requires` order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ingot.records.template import (
    App,
    Autostart,
    BuildSteps,
    EnvValue,
    FileSpec,
    Hardware,
    Health,
    Hooks,
    Port,
    SecretRef,
    SecretSpec,
    Service,
    Template,
)
from ingot.template.canonical import default_owner, digest_of
from ingot.template.interpolate import fill_in
from ingot.template.words import parse_duration

CARRIED_SECTIONS = ("triggers", "streaming", "terminal", "telemetry", "egress_policy", "wallpaper")
"""Sections that are validated and kept, and that this version does not act on."""


def load_canonical(canonical: Mapping[str, Any], digest: str | None = None) -> Template:
    """The template of a stored canonical document; `digest` spares computing it where it is known."""
    filled, findings = fill_in(canonical)
    assert isinstance(filled, dict)
    assert not findings, findings
    build = filled.get("build", {})
    return Template(
        name=filled["template"]["name"],
        version=filled["template"]["version"],
        digest=digest or digest_of(canonical),
        document=canonical,
        hardware=_read_hardware(filled.get("hardware", {})),
        secrets=tuple(SecretSpec(**entry) for entry in filled.get("secrets", ())),
        env=_read_env(filled.get("env", {})),
        build=BuildSteps(**{key: _read_step(key, value) for key, value in build.items()}),
        files=_read_files(filled.get("files", ()), canonical.get("files", ())),
        apps=_in_order([_read_app(entry) for entry in filled.get("apps", ())]),
        hooks=Hooks(**filled.get("hooks", {})),
        wallpaper=filled.get("wallpaper", ""),
        carried={section: filled[section] for section in CARRIED_SECTIONS if section in filled},
    )


def warnings_of(template: Template) -> tuple[str, ...]:
    """What a publish accepts although a build cannot do it yet, in words for the author."""
    warnings = []
    for entry in template.files:
        if entry.source is not None and not entry.source.startswith(("http://", "https://")):
            scheme = entry.source.partition("://")[0]
            warnings.append(f"files: {entry.to}: sources of type {scheme} are not supported yet; a build will fail")
        if entry.when == "runtime":
            warnings.append(f"files: {entry.to}: when: runtime is not supported yet; a build will fail")
    return tuple(warnings)


def _read_hardware(section: Mapping[str, Any]) -> Hardware:
    known = Hardware.__dataclass_fields__
    return Hardware(**{key: value for key, value in section.items() if key in known})


def _read_env(section: Mapping[str, Any]) -> dict[str, EnvValue]:
    return {
        name: SecretRef(value["secret"]) if isinstance(value, Mapping) else value for name, value in section.items()
    }


def _read_step(key: str, value: Any) -> Any:
    return _seconds(value) if key == "timeout" else tuple(value)


def _seconds(text: str) -> float:
    seconds = parse_duration(text)
    assert seconds is not None, text
    return seconds


def _read_files(filled: Sequence[Mapping[str, Any]], written: Sequence[Mapping[str, Any]]) -> tuple[FileSpec, ...]:
    return tuple(_read_file(entry, raw) for entry, raw in zip(filled, written, strict=True))


def _read_file(entry: Mapping[str, Any], written: Mapping[str, Any]) -> FileSpec:
    owner = default_owner(written["to"])
    return FileSpec(
        to=entry["to"],
        inline=entry.get("inline"),
        source=entry.get("from"),
        mode=entry.get("mode", "0644").zfill(4),
        owner=entry.get("owner", owner),
        group=entry.get("group", owner),
        when=entry.get("when", "build"),
    )


def _read_app(entry: Mapping[str, Any]) -> App:
    fields = dict(entry)
    fields["requires"] = tuple(entry.get("requires", ()))
    fields["data"] = tuple(entry.get("data", ()))
    fields["services"] = tuple(_read_service(service) for service in entry.get("services", ()))
    fields["health"] = _read_health(entry["health"]) if "health" in entry else None
    fields["ports"] = tuple(Port(**port) for port in entry.get("ports", ()))
    fields["autostart"] = tuple(Autostart(**start) for start in entry.get("autostart", ()))
    return App(**fields)


def _read_service(entry: Mapping[str, Any]) -> Service:
    fields = dict(entry)
    fields["env"] = _read_env(entry.get("env", {}))
    fields["stop_signal"] = entry.get("stop_signal", "TERM").removeprefix("SIG")
    return Service(**fields)


def _read_health(entry: Mapping[str, Any]) -> Health:
    fields = dict(entry)
    for field in ("every", "timeout"):
        if field in fields:
            fields[field] = _seconds(fields[field])
    return Health(**fields)


def _in_order(apps: Iterable[App]) -> tuple[App, ...]:
    """What an app requires comes before it; document order among equals."""
    waiting = list(apps)
    placed: dict[str, App] = {}
    while waiting:
        ready = next(app for app in waiting if all(name in placed for name in app.requires))
        waiting.remove(ready)
        placed[ready.name] = ready
    return tuple(placed.values())
