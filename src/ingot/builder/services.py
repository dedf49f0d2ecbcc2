"""Services during a build: started under supervisord, watched in the log, healthy before the snapshot, stopped."""

from __future__ import annotations

from ingot.builder.bake import BUILDER, Bake
from ingot.builder.failures import failed
from ingot.builder.following import followed
from ingot.builder.plan import PlanStep
from ingot.builder.report import Output
from ingot.guest import layout
from ingot.guest.boot import check_command, supervisor_command
from ingot.guest.runtime import ready_deadline
from ingot.guest.services import service_names
from ingot.machine.contract import Machine
from ingot.records.build import FailureCode
from ingot.records.machine import Command, CommandResult

STOP = f"""
if [ -e {layout.SUPERVISOR_PID} ]; then
  pid=$(cat {layout.SUPERVISOR_PID})
  kill -TERM "$pid" 2>/dev/null
  for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
fi
"""
"""Ends supervisord and its services within 15 seconds, so that what they write at their end is written."""


async def make_ready(bake: Bake, step: PlanStep, machine: Machine) -> None:
    """Starts what needs no secret and waits until every app is healthy. Raises BuildError `ready_check_failed`; what
    the services printed is in the log under their apps' names."""
    template = bake.request.template
    names = service_names(template.apps)
    await bake.say(f"starting services: {', '.join(names)}" if names else "no service to start")
    if names:
        await bake.run(supervisor_command(layout.SUPERVISOR_BUILD_CONFIG), BUILDER, step.title)
    async with followed(machine, template.apps, bake.report, bake.request.limits.step_timeout) as outputs:
        deadline = min(ready_deadline(template), bake.request.limits.step_timeout)
        async with bake.report.output(BUILDER) as told:
            result = await machine.exec(check_command(deadline), told.write)
    if result.exit_code != 0:
        raise _unready(result, told, outputs, step.title)


def _unready(result: CommandResult, told: Output, outputs: list[Output], step: str) -> Exception:
    reasons = [line for line in told.last_lines() if "is not ready" in line]
    lines = [line for output in outputs for line in output.last_lines()]
    message = reasons[-1] if reasons else f"the health checks ended with status {result.exit_code}"
    if result.memory_killed:
        return failed(
            FailureCode.OUT_OF_MEMORY, f"{message}; a process was killed by the memory limit", step, None, lines
        )
    return failed(FailureCode.READY_CHECK_FAILED, message, step, None, lines)


def stop_command() -> Command:
    return Command(("/bin/bash", "-c", STOP), timeout=30)
