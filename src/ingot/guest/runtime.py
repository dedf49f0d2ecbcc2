"""The files of the runtime layer: services, health checks, hooks and environment of a template.

A template without any of them has no runtime layer. Pure: the same template gives the same bytes, on which the
layer's key depends. No secret's value is ever in one of these files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from importlib import resources
from typing import Any

from ingot.guest import layout
from ingot.guest.services import build_services, literal, shell_exports, supervisor_files
from ingot.records.machine import GuestFile
from ingot.records.template import App, Health, Template

HOOKS = ("on_first_boot", "on_every_boot", "on_pre_snapshot", "on_resume", "on_shutdown")

_PROFILE = f"if [ -r {layout.ENVIRONMENT} ]; then . {layout.ENVIRONMENT}; fi\n"


def runtime_files(template: Template) -> tuple[GuestFile, ...]:
    """All files of the runtime layer, in a fixed order; empty when the template needs none."""
    return (*_environment(template), *_hooks(template), *supervisor_files(template), *_health(template))


def has_services(template: Template) -> bool:
    """Whether a build has something to start and to check."""
    return any(build_services(app) or app.health for app in template.apps)


def health_config(template: Template) -> str:
    """What the health program reads: one entry an app, checks of the app and the services a build starts."""
    config = {"socket": layout.SUPERVISOR_SOCKET, "apps": health_entries(template)}
    return json.dumps(config, sort_keys=True, indent=1) + "\n"


def health_entries(template: Template) -> list[dict[str, Any]]:
    """What is asked of each app: its services that a build starts, its check, and the check of the watchdog."""
    return [_app_entry(app) for app in template.apps if app.services or app.health]


def ready_deadline(template: Template) -> float:
    """Seconds within which every app must be healthy: what the slowest check's own retries allow, half a minute
    at least and ten minutes at most."""
    checks = [app.health for app in template.apps if app.health]
    wanted = max((check.retries * (check.every + check.timeout) for check in checks), default=0.0)
    return min(max(30.0, wanted), 600.0)


def _app_entry(app: App) -> dict[str, Any]:
    return {
        "app": app.name,
        "services": [service.name for service in build_services(app)],
        "check": _check(app.health) if app.health and _checkable(app) else None,
        "watch": _check(app.health) if app.health else None,
    }


def _checkable(app: App) -> bool:
    """An app whose services all wait for a secret cannot be healthy during a build."""
    return not app.services or bool(build_services(app))


def _check(health: Health) -> dict[str, object]:
    return {name: value for name, value in asdict(health).items() if value != ""}


def _environment(template: Template) -> Iterator[GuestFile]:
    if env := literal(template.env):
        yield GuestFile(layout.ENVIRONMENT, shell_exports(env).encode())
        yield GuestFile(layout.PROFILE, _PROFILE.encode())


def _hooks(template: Template) -> Iterator[GuestFile]:
    for name in HOOKS:
        if script := getattr(template.hooks, name):
            yield GuestFile(layout.hook(name), script.encode(), 0o755)


def _health(template: Template) -> Iterator[GuestFile]:
    if any(app.services or app.health for app in template.apps):
        yield GuestFile(layout.HEALTH_CONFIG, health_config(template).encode())
        program = resources.files("ingot.guest") / "payload" / "health.py"
        yield GuestFile(layout.HEALTH_PROGRAM, program.read_bytes(), 0o755)
