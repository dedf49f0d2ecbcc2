"""install: the plan's steps up to healthy services, each a layer."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ingot.builder import services
from ingot.builder.bake import Bake, Work
from ingot.builder.failures import blame_network
from ingot.builder.plan import PlanStep
from ingot.builder.scripts import apt_command, npm_command, pip_command, script_command, told_install, told_script
from ingot.builder.steps import Install, PutFiles, Ready, Script, SourceFile, secret_variable
from ingot.errors import BuildError
from ingot.machine.contract import Machine
from ingot.records.event import Phase
from ingot.records.machine import Command, GuestFile

PHASE = Phase.INSTALL


async def run(bake: Bake) -> None:
    for step in bake.decided.steps:
        if step.phase is PHASE:
            await bake.obey(step, _work_of(step))


def _work_of(step: PlanStep) -> Work:
    work: dict[type, Work] = {Install: _install, PutFiles: _put, Script: _script, Ready: services.make_ready}
    return work[type(step.work)]


async def _install(bake: Bake, step: PlanStep, machine: Machine) -> None:
    assert isinstance(step.work, Install)
    work, timeout = step.work, bake.request.limits.step_timeout
    await bake.say(told_install(work.manager, work.packages), source=work.manager)
    try:
        if work.manager == "apt":
            await _apt(bake, work.packages, step.title)
        else:
            make = pip_command if work.manager == "pip" else npm_command
            await bake.run(make(work.packages, work.env, timeout=timeout), work.manager, step.title)
    except BuildError as error:
        raise blame_network(error) from error.__cause__


async def _apt(bake: Bake, packages: Sequence[str], title: str) -> None:
    """One update of the lists serves all apt steps of a build."""
    shared = not bake.given.running  # a machine that goes on from a captured state shares no downloads
    fresh = bake.seat.lists_updated or (shared and bake.tools.downloads.lists_fresh(bake.request.account))
    timeout = bake.request.limits.step_timeout
    await bake.run(apt_command(packages, lists_fresh=fresh, timeout=timeout), "apt", title)
    bake.seat.lists_updated = bake.seat.lists_updated or not fresh


async def _put(bake: Bake, step: PlanStep, machine: Machine) -> None:
    assert isinstance(step.work, PutFiles)
    files = [await _content(bake, file) for file in step.work.files]
    if step.kind == "files":
        for file in files:
            await bake.say(
                f"writing {file.path} ({len(file.content)} bytes, {file.mode:04o}, {file.owner}:{file.group})"
            )
    else:
        await bake.say(f"writing services, health checks, hooks and environment ({len(files)} files)")
    await machine.put(files)


async def _content(bake: Bake, file: GuestFile | SourceFile) -> GuestFile:
    if isinstance(file, GuestFile):
        return file
    content = await asyncio.to_thread(bake.source_files[file.url].read_bytes)
    return GuestFile(file.path, content, file.mode, file.owner, file.group)


async def _script(bake: Bake, step: PlanStep, machine: Machine) -> None:
    assert isinstance(step.work, Script)
    work = step.work
    for line in told_script(work.script):
        await bake.say(line, source=step.source)
    secrets = {secret_variable(name): bake.request.secrets[name] for name in work.secrets}
    command: Command = script_command(work.script, {**work.env, **secrets}, timeout=bake.request.limits.step_timeout)
    await bake.run(command, step.source, step.title)
