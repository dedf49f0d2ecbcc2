"""What is done in a machine when its computer is switched on and off, in its order.

Off means that services ended in their own way and that no secret is left in what is about to be kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import shlex
from collections.abc import Mapping, Sequence

from ingot.errors import IngotError
from ingot.guest import layout
from ingot.guest.boot import BootCommand, plan_boot, plan_shutdown
from ingot.launcher.shell import run_command
from ingot.machine.contract import Machine
from ingot.records.machine import Command, GuestFile
from ingot.records.template import Template

_ENVIRONMENT = "/root/.env"
_HOOK = 10.0
_SERVICES = 20.0

# /run is new after every start of a computer, as everywhere: pid files there would name other processes, and the
# services' secrets are there. Where it is a file system of its own, as in virtual machines, it is so by itself, and
# what is in it keeps the machine running.
_FORGET = (
    f"rm -rf {_ENVIRONMENT}; mountpoint -q /run || "
    f"{{ rm -rf {layout.RUN}; find /run -xdev -mindepth 1 ! -type d -delete; }}"
)
_END_SERVICES = (
    f"pid=$(cat {layout.SUPERVISOR_PID} 2>/dev/null) && kill -TERM $pid && while kill -0 $pid; do sleep 0.1; done"
)


async def boot(machine: Machine, template: Template, secrets: Mapping[str, str], *, again: bool) -> list[str]:
    """Secrets, hooks and services, in their order; what failed, in words. `again`: it ran before, so that its files
    hold what the earlier run left."""
    problems = []
    if again and not machine.resumed:
        left = await _try(machine, BootCommand("removing what its last run left", _script(_FORGET, _SERVICES)))
        problems += [left] if left else []
    plan = plan_boot(template, secrets, resumed=machine.resumed)
    files = (*_environment_file(secrets), *plan.files)
    if files:
        await machine.put(files)
    failed = [await _try(machine, command) for command in plan.commands]
    return problems + [problem for problem in failed if problem is not None]


async def shut_down(machine: Machine, template: Template, secrets: Mapping[str, str], *, for_good: bool) -> None:
    """on_shutdown, ten seconds at most; then, unless nothing is kept, services end and secrets go."""
    with contextlib.suppress(TimeoutError, IngotError):
        async with asyncio.timeout(_HOOK):
            for command in plan_shutdown(template, secrets):
                await _try(machine, command)
    for script in () if for_good else (_END_SERVICES, _FORGET):
        with contextlib.suppress(IngotError):
            await run_command(machine, _script(script, _SERVICES))


async def _try(machine: Machine, command: BootCommand) -> str | None:
    """None when it went well, else what failed and how."""
    result = await run_command(machine, command.command)
    if result.exit_code == 0:
        return None
    last = result.output.strip().splitlines()[-1:] or ["it printed nothing"]
    return f"{command.name} ended with status {result.exit_code}: {last[0][:200]}"


def _script(text: str, timeout: float) -> Command:
    return Command(("/bin/sh", "-c", text), timeout)


def _environment_file(secrets: Mapping[str, str]) -> Sequence[GuestFile]:
    """`/root/.env`: a line a secret, its name as a variable's, its value quoted for a shell."""
    lines = [f"{name.upper().replace('-', '_')}={shlex.quote(value)}\n" for name, value in sorted(secrets.items())]
    return [GuestFile(_ENVIRONMENT, "".join(lines).encode(), 0o600)] if lines else []
