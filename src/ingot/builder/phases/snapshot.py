"""snapshot: the pre-snapshot hook, services stopped (where the golden does not hold the running machine), everything
scrubbed that no golden may carry, captured.

A template without services and hook whose layers are clean needs none of it: no command runs, no layer is made.
"""

from __future__ import annotations

from ingot.builder.bake import Bake
from ingot.builder.plan import PlanStep, plan_scrub, scrub_key
from ingot.builder.scripts import STEP_ENV, told_script
from ingot.builder.scrub import SCRUB, SCRUB_RUNNING
from ingot.builder.services import STOP
from ingot.builder.steps import Close
from ingot.guest.boot import hook_command
from ingot.machine.contract import Machine
from ingot.records.event import Phase
from ingot.records.machine import Command

PHASE = Phase.SNAPSHOT
_SCRUB_TIMEOUT = 300.0


async def run(bake: Bake) -> None:
    closing = [step for step in bake.decided.steps if step.phase is PHASE]
    if not closing:
        key = scrub_key(bake.stack[-1].key, bake.given)
        layer = await bake.tools.layers.look_up(key)
        found = plan_scrub(bake.decided, bake.stack, {key: layer} if layer else {}, bake.given)
        if found is None:
            await bake.say("nothing to scrub")
        else:
            closing = [found[0]]
    for step in closing:
        await bake.obey(step, _close)
    bake.seat.leave()
    await bake.say(f"snapshot captured: {len(bake.stack)} layers, {_size(bake)}")


async def _close(bake: Bake, step: PlanStep, machine: Machine) -> None:
    assert isinstance(step.work, Close)
    if step.work.hook:
        for line in told_script(step.work.hook):
            await bake.say(line, source="on_pre_snapshot")
        command = hook_command("on_pre_snapshot", {**STEP_ENV, **step.work.env})
        await bake.run(command, "on_pre_snapshot", "on_pre_snapshot")
    stops = step.work.services and not step.work.running
    goes_on = "; services go on" if step.work.services and step.work.running else ""
    await bake.say("stopping services, scrubbing" if stops else f"scrubbing{goes_on}")
    script = SCRUB_RUNNING if step.work.running else (STOP if stops else "") + SCRUB
    await bake.run(Command(("/bin/bash", "-c", script), timeout=_SCRUB_TIMEOUT), "builder", step.title)


def _size(bake: Bake) -> str:
    return f"{sum(layer.size_bytes for layer in bake.stack) / 1e6:.1f} MB"
