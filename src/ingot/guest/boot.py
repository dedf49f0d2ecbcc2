"""What a launcher puts into a machine and runs in it when it starts or stops, as values in their order.

The launcher writes `/root/.env` itself, before all of this. Secrets travel in files below `/run`, which no layer
ever holds, and in `Command.env`; never in an argv. Pure.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from ingot.guest import layout
from ingot.guest.runtime import health_entries
from ingot.guest.services import launches_more, shell_exports
from ingot.records.machine import Command, GuestFile
from ingot.records.template import EnvValue, SecretRef, Template

HOOK_TIMEOUT = 600.0
"""Seconds a hook may take."""

READY_TIMEOUT = 30.0
"""Seconds that a start waits for its apps to be healthy. One that is not runs all the same, and says so."""

_QUICK = 5.0


@dataclass(frozen=True, slots=True)
class BootCommand:
    """One command of a start. `name` is for people (`hook on_resume`); when one fails the later ones still run,
    and the launcher tells which failed."""

    name: str
    command: Command


@dataclass(frozen=True, slots=True)
class Boot:
    """First put `files`, then run `commands` one after another."""

    files: tuple[GuestFile, ...]
    commands: tuple[BootCommand, ...]


def plan_boot(template: Template, secrets: Mapping[str, str], *, resumed: bool = False) -> Boot:
    """The start of a machine from its golden: secrets of services, on_first_boot (once per machine), on_every_boot,
    the services, on_resume, and health checks that wait until the apps answer. `secrets` maps a secret's name to its
    value; a missing optional one is left out. In a `resumed` machine the services of the build run already; what a
    build does not run is added to them."""
    env = machine_environment(template, secrets)
    commands = [*_first_boot(template, env), *_hook(template, "on_every_boot", env)]
    if any(app.services or app.autostart or app.health for app in template.apps):
        start = join_command(template) if resumed else supervisor_command(layout.SUPERVISOR_CONFIG)
        commands.append(BootCommand("services", start))
    commands += _hook(template, "on_resume", env)
    if any(app.health for app in template.apps):
        commands.append(BootCommand("health checks", launch_check_command(template)))
    return Boot(_secret_files(template, secrets), tuple(commands))


def plan_shutdown(template: Template, secrets: Mapping[str, str]) -> tuple[BootCommand, ...]:
    """What runs before a machine is stopped: on_shutdown."""
    return tuple(_hook(template, "on_shutdown", machine_environment(template, secrets)))


def machine_environment(template: Template, secrets: Mapping[str, str]) -> dict[str, str]:
    """The template's `env` with its secrets filled in: what hooks, `bash` and `exec` in the machine see."""
    return _filled(template.env, secrets)


def supervisor_command(config: str) -> Command:
    """Starts supervisord, which goes to the background by itself."""
    script = f"mkdir -p {layout.RUN} {layout.LOGS} {layout.STATE} && exec /usr/bin/supervisord -c {config}"
    return Command(("/bin/sh", "-c", script), timeout=60)


def join_command(template: Template) -> Command:
    """Has the supervisord that a build started take up the services of a launch: those that run, and are the same,
    go on; those that need secrets, autostart programs and the health watchdog are added."""
    script = (
        f"mkdir -p {layout.RUN} {layout.LOGS} {layout.STATE}\n"
        f"[ -e {layout.SUPERVISOR_PID} ] || exec /usr/bin/supervisord -c {layout.SUPERVISOR_CONFIG}\n"
    )
    if not launches_more(template):
        return Command(("/bin/sh", "-c", script), timeout=60)
    script += (
        f"cp {layout.SUPERVISOR_CONFIG} {layout.SUPERVISOR_BUILD_CONFIG} || exit\n"
        f"perl - {layout.SUPERVISOR_SOCKET} 0 join || exec supervisorctl -c {layout.SUPERVISOR_CONFIG} update"
    )
    return Command(("/bin/sh", "-c", script), timeout=60, stdin=_program("services.pl"))


def check_command(deadline: float) -> Command:
    """Waits inside the machine until every app is healthy or `deadline` seconds have passed."""
    argv = ("python3", "-I", layout.HEALTH_PROGRAM, "check", "--deadline", f"{deadline:g}")
    return Command(argv, deadline + 30)


def launch_check_command(template: Template) -> Command:
    """The same for a start: a small program looks first, and the one that can say why not comes only after it."""
    requests = quick_checks(template)
    if requests is None:
        return check_command(READY_TIMEOUT)
    check = check_command(READY_TIMEOUT - _QUICK)
    script = f'perl - {layout.SUPERVISOR_SOCKET} {_QUICK:g} "$@" 2>/dev/null || exec {shlex.join(check.argv)}'
    return Command(("/bin/sh", "-c", script, "sh", *requests), READY_TIMEOUT + 30, stdin=_program("services.pl"))


def quick_checks(template: Template) -> tuple[str, ...] | None:
    """What the small program is asked; None where a check is of a kind that it does not know."""
    requests: list[str] = []
    for app in health_entries(template):
        for name in app["services"]:
            requests += ["service", name]
        if (check := app["check"]) is not None:
            asked = _quick_check(check)
            if asked is None:
                return None
            requests += asked
    return tuple(requests)


def _quick_check(check: Mapping[str, Any]) -> list[str] | None:
    timeout = f"{check['timeout']:g}"
    if check["type"] == "tcp":
        return ["tcp", str(check["port"]), timeout]
    if check["type"] == "command":
        return ["command", check["command"], timeout]
    url = urlsplit(check.get("url", ""))
    if check["type"] != "http" or url.scheme != "http" or not url.hostname or url.username is not None:
        return None
    path = f"{url.path or '/'}{'?' + url.query if url.query else ''}"
    return ["http", url.hostname, str(url.port or 80), path, timeout]


def follow_command(logs: Sequence[Sequence[str]], end: str, timeout: float) -> Command:
    """Copies logs as they grow, from their beginning, until the file `end` is there; each piece says of which element
    of `logs` it is (see follow.pl)."""
    words = [word for number, paths in enumerate(logs) for path in paths for word in (str(number), path)]
    return Command(("perl", "-", end, *words), timeout, stdin=_program("follow.pl"))


def _program(name: str) -> bytes:
    return (resources.files("ingot.guest") / "payload" / name).read_bytes()


def hook_command(name: str, env: Mapping[str, str]) -> Command:
    """Runs one hook's script: root, `bash -e`, nothing on stdin."""
    return Command(("/bin/bash", "-e", layout.hook(name)), timeout=HOOK_TIMEOUT, env={"HOME": "/root", **env})


def _first_boot(template: Template, env: Mapping[str, str]) -> list[BootCommand]:
    if not template.hooks.on_first_boot:
        return []
    mark, script = layout.FIRST_BOOT_MARK, layout.hook("on_first_boot")
    text = f"[ -e {mark} ] && exit 0; mkdir -p {layout.STATE} && /bin/bash -e {script} && touch {mark}"
    command = Command(("/bin/bash", "-c", text), timeout=HOOK_TIMEOUT, env={"HOME": "/root", **env})
    return [BootCommand("hook on_first_boot", command)]


def _hook(template: Template, name: str, env: Mapping[str, str]) -> list[BootCommand]:
    return [BootCommand(f"hook {name}", hook_command(name, env))] if getattr(template.hooks, name) else []


def _secret_files(template: Template, secrets: Mapping[str, str]) -> tuple[GuestFile, ...]:
    files = []
    for app in template.apps:
        for service in app.services:
            merged = {**template.env, **service.env}
            needed = {name: value for name, value in merged.items() if isinstance(value, SecretRef)}
            if filled := _filled(needed, secrets):
                path = layout.service_secrets(service.name)
                files.append(GuestFile(path, shell_exports(filled).encode(), 0o400, service.user))
    return tuple(files)


def _filled(env: Mapping[str, EnvValue], secrets: Mapping[str, str]) -> dict[str, str]:
    filled = {}
    for name, value in env.items():
        if isinstance(value, str):
            filled[name] = value
        elif value.name in secrets:
            filled[name] = secrets[value.name]
    return filled
