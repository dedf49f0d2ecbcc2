"""Texts that make supervisord run a template's services: one script a service, one configuration a purpose.

During a build only the services run that need no secret; a launched machine runs all of them, its autostart
programs and the health watchdog. Pure: texts out of values.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingot.guest import layout
from ingot.records.machine import GuestFile
from ingot.records.template import App, EnvValue, Service, Template

_WATCHDOG = "ingot-health"
_RESTART = {"always": "true", "on-failure": "unexpected", "no": "false"}

_HEAD = f"""\
[supervisord]
nodaemon=false
user=root
logfile={layout.LOGS}/supervisord.log
logfile_maxbytes=1MB
logfile_backups=1
pidfile={layout.SUPERVISOR_PID}
childlogdir={layout.LOGS}
umask=022

[unix_http_server]
file={layout.SUPERVISOR_SOCKET}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface

[supervisorctl]
serverurl=unix://{layout.SUPERVISOR_SOCKET}
"""


def build_services(app: App) -> tuple[Service, ...]:
    """The services of an app that a build starts: those whose environment needs no secret."""
    return tuple(service for service in app.services if not service.needs_secret)


def supervisor_files(template: Template) -> tuple[GuestFile, ...]:
    """Everything supervisord needs for the template; nothing when there is nothing to supervise."""
    if not any(app.services or app.autostart or app.health for app in template.apps):
        return ()
    return (
        *_scripts(template),
        _text(layout.SUPERVISOR_BUILD_CONFIG, _HEAD + "".join(_build_sections(template))),
        _text(layout.SUPERVISOR_CONFIG, _HEAD + "".join(_launch_sections(template))),
    )


def launches_more(template: Template) -> bool:
    """Whether a launched machine runs more than its build did."""
    return list(_launch_sections(template)) != list(_build_sections(template))


@dataclass(frozen=True, slots=True)
class Supervised:
    """A program that a launched machine's supervisord runs: for which app (None: for all), and where it logs."""

    name: str
    app: str | None
    log: str


def supervised(template: Template) -> tuple[Supervised, ...]:
    """All of them, in the template's order."""
    found = []
    for app in template.apps:
        found += [Supervised(service.name, app.name, _log(service)) for service in app.services]
        autostarts = [_autostart_name(app, number) for number, _ in enumerate(app.autostart)]
        found += [Supervised(name, app.name, layout.service_log(name)) for name in autostarts]
    if any(app.health for app in template.apps):
        found.append(Supervised(_WATCHDOG, None, layout.service_log(_WATCHDOG)))
    return tuple(found)


def literal(env: Mapping[str, EnvValue]) -> dict[str, str]:
    """The variables of an environment that need no secret."""
    return {name: value for name, value in env.items() if isinstance(value, str)}


def shell_exports(env: Mapping[str, str]) -> str:
    """Lines for a POSIX shell that export `env`, whatever the values hold."""
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(env.items()))


def _build_sections(template: Template) -> Iterator[str]:
    for app in template.apps:
        for service in build_services(app):
            yield _service_section(service)


def _launch_sections(template: Template) -> Iterator[str]:
    for app in template.apps:
        for service in app.services:
            yield _service_section(service)
        for number, _ in enumerate(app.autostart):
            yield _once_section(_autostart_name(app, number))
    if any(app.health for app in template.apps):
        yield _watchdog_section()


def _service_section(service: Service) -> str:
    signal = service.stop_signal.removeprefix("SIG")
    return (
        f"\n[program:{service.name}]\n"
        f"command=/bin/bash {layout.service_script(service.name)}\n"
        f"user={_value(service.user)}\n"
        f"autorestart={_RESTART[service.restart]}\n"
        f"startsecs=1\nstartretries=3\nstopsignal={_value(signal)}\nstopasgroup=true\nkillasgroup=true\n"
        f"redirect_stderr=true\nstdout_logfile={_value(_log(service))}\n"
        "stdout_logfile_maxbytes=10MB\nstdout_logfile_backups=1\n"
    )


def _once_section(name: str) -> str:
    return (
        f"\n[program:{name}]\ncommand=/bin/bash {layout.service_script(name)}\nuser=orgo\nautorestart=false\n"
        f"startsecs=0\nstartretries=0\nredirect_stderr=true\nstdout_logfile={layout.service_log(name)}\n"
        "stdout_logfile_maxbytes=1MB\nstdout_logfile_backups=0\n"
    )


def _watchdog_section() -> str:
    return (
        f'\n[program:{_WATCHDOG}]\ncommand=/bin/sh -c "sleep 10; exec python3 -I {layout.HEALTH_PROGRAM} watch"\n'
        "autorestart=true\nstartsecs=1\nredirect_stderr=true\n"
        f"stdout_logfile={layout.service_log(_WATCHDOG)}\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=0\n"
    )


def _scripts(template: Template) -> Iterator[GuestFile]:
    env = literal(template.env)
    for app in template.apps:
        for service in app.services:
            own = {**env, **literal(service.env)}
            yield _script(service.name, own, service.run, service.cwd, layout.service_secrets(service.name))
        for number, start in enumerate(app.autostart):
            wait = f"sleep {start.delay:g}\n" if start.delay else ""
            yield _script(_autostart_name(app, number), env, start.run, "", "", wait)


def _script(name: str, env: Mapping[str, str], run: str, cwd: str, secrets: str, before: str = "") -> GuestFile:
    """The inner bash replaces itself by a simple command, so that a stop signal reaches the program itself. An
    unset HOME makes bash look up the home of the user that the service runs as."""
    lines = ["#!/bin/bash\n", "unset HOME\n", "export HOME=~\n", 'export USER="$(id -un)" LOGNAME="$(id -un)"\n']
    lines.append(shell_exports(env))
    if secrets:
        lines.append(f"if [ -r {secrets} ]; then . {secrets}; fi\n")
    lines.append(f"cd {_directory(cwd)} || exit 1\n")
    lines.append(before)
    lines.append(f"exec /bin/bash -c {shlex.quote(run)}\n")
    return GuestFile(layout.service_script(name), "".join(lines).encode(), 0o644)


def _directory(cwd: str) -> str:
    if cwd in ("", "~"):
        return '"$HOME"' if cwd else "/"
    return f'"$HOME"/{shlex.quote(cwd[2:])}' if cwd.startswith("~/") else shlex.quote(cwd)


def _autostart_name(app: App, number: int) -> str:
    return f"autostart-{app.name}-{number + 1}"


def _log(service: Service) -> str:
    """Where a service logs: its own path, as far as a line of an ini file can name it."""
    return _line(service.log) or layout.service_log(service.name)


def _value(text: str) -> str:
    """A value of an ini file: one line, and without the two characters that mean something there."""
    return _line(text).replace("%", "%%")


def _line(text: str) -> str:
    return "".join(text.split("\n")).replace(";", "").strip()


def _text(path: str, content: str) -> GuestFile:
    return GuestFile(path, content.encode())


def service_names(apps: Sequence[App]) -> tuple[str, ...]:
    """The services that a build starts, in the order of the apps."""
    return tuple(service.name for app in apps for service in build_services(app))
