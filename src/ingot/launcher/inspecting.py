"""What a computer's services do and what they log, asked of the supervisord that runs them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from ingot.errors import NotFoundError
from ingot.guest import layout
from ingot.guest.services import Supervised, supervised
from ingot.launcher.shell import OUTPUT_LIMIT
from ingot.records.computer import ServiceStatus, ShellResult
from ingot.records.machine import Command
from ingot.records.template import Template

Run = Callable[[Command], Awaitable[ShellResult]]
"""Runs a command in the computer."""

_TIMEOUT = 30.0
_PID = re.compile(r"^pid (\d+), ")
_LOG = '[ -f "$1" ] || exit 0; tail -n "$2" -- "$1" | tail -c "$3"'
LOG_LIMIT = OUTPUT_LIMIT - 1024
"""Bytes: as many as come out of a computer in one piece."""


async def read_services(run: Run, template: Template) -> Sequence[ServiceStatus]:
    """Every service of the template, its autostart programs and the health watchdog, in its order. Their state is
    `unknown` where supervisord does not answer."""
    programs = supervised(template)
    if not programs:
        return ()
    command = ("/usr/bin/supervisorctl", "-c", layout.SUPERVISOR_CONFIG, "status")
    result = await run(Command(command, _TIMEOUT))
    told = dict(_told(result.output))
    last = (result.output.strip().splitlines() or ["supervisord said nothing"])[-1]
    return [_status(program, *told.get(program.name, ("UNKNOWN", last))) for program in programs]


async def read_log(run: Run, template: Template, service: str, lines: int) -> str:
    """The last lines of a service's log, 1 MiB of it at most; empty while it has none. Raises NotFoundError for a
    service that the computer does not have."""
    known = {program.name: program for program in supervised(template)}
    if service not in known:
        names = ", ".join(known)
        hint = f"it has {names}" if names else "it has none at all"
        raise NotFoundError(f"this computer has no service {service[:100]!r}", hint=hint)
    argv = ("/bin/sh", "-c", _LOG, "sh", known[service].log, str(lines), str(LOG_LIMIT))
    return (await run(Command(argv, _TIMEOUT, cwd="/"))).output


def _told(output: str) -> list[tuple[str, tuple[str, str]]]:
    """(name, (state, description)) of each line that is one."""
    rows = [line.split(None, 2) for line in output.splitlines()]
    return [(row[0], (row[1], row[2] if row[2:] else "")) for row in rows if len(row) > 1]


def _status(program: Supervised, state: str, description: str) -> ServiceStatus:
    found = _PID.match(description)
    detail = description[found.end() :] if found else description
    return ServiceStatus(program.name, program.app, state.lower(), detail[:500], int(found[1]) if found else None)
