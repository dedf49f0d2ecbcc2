"""Runs one command in a started container and passes its output on.

The command, and all it starts, is in a control group of its own: that is what a timeout or a cancel kills,
sessions and daemons included. No value of an environment ever stands in an argv or a file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.machine.container.bundle import PASSED_DESCRIPTORS
from ingot.machine.container.cgroups import kill_child, remove_child
from ingot.machine.container.descriptors import OutputPipe, hand_over, open_content
from ingot.machine.container.ids import Home
from ingot.machine.container.runtime import runc_argv
from ingot.machine.threads import uninterrupted
from ingot.process import Sink, started

_KILLED_GRACE = 2.0


@dataclass(frozen=True, slots=True)
class CommandGroup:
    """A command's own control group: its directory, and its name for runc."""

    directory: Path
    name: str


@dataclass(frozen=True, slots=True)
class Execution:
    """A command about to run. `owner` is the host id of who runs it."""

    home: Home
    process: Mapping[str, Any]
    owner: int
    stdin: bytes
    timeout: float
    group: CommandGroup | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended. `complaint` is what runc itself had to say, empty when it could run the command."""

    status: int
    timed_out: bool
    complaint: str


async def execute(execution: Execution, sink: Sink) -> Outcome:
    """Runs the command to its end or its timeout. However this returns or raises, after anything but a
    normal end nothing of the command is left (where the host gives it a group; see `Execution.group`)."""
    finished = False
    pipe = OutputPipe(execution.owner)
    try:
        async with _started(execution, pipe) as runc:
            outcome = await _attend(runc, execution, pipe, sink)
        finished = not outcome.timed_out
        return outcome
    finally:
        pipe.close()
        if execution.group is not None:
            if not finished:
                await uninterrupted(kill_child(execution.group.directory))
            remove_child(execution.group.directory)


@contextlib.asynccontextmanager
async def _started(execution: Execution, pipe: OutputPipe) -> AsyncIterator[asyncio.subprocess.Process]:
    with contextlib.ExitStack() as given:
        document = open_content(json.dumps(execution.process).encode())
        given.callback(os.close, document)
        source = open_content(execution.stdin) if execution.stdin else os.open("/dev/null", os.O_RDONLY)
        given.callback(os.close, source)
        argv = [*runc_argv(execution.home), "exec", "--process", f"/proc/self/fd/{document}"]
        argv += ["--preserve-fds", str(PASSED_DESCRIPTORS)]
        if execution.group is not None:
            argv += ["--cgroup", execution.group.name]
        handed = hand_over([*argv, execution.home.id], {3: (">", pipe.write), 4: ("<", source)})
        async with started(handed, pass_fds=(document, pipe.write, source)) as runc:
            pipe.close_write()
            yield runc


async def _attend(runc: asyncio.subprocess.Process, execution: Execution, pipe: OutputPipe, sink: Sink) -> Outcome:
    copier = asyncio.ensure_future(pipe.copy_to(sink))
    try:
        try:
            async with asyncio.timeout(execution.timeout):
                complaint, timed_out = await _ended(runc, copier), False
        except TimeoutError:
            if execution.group is not None:
                await kill_child(execution.group.directory)
            complaint, timed_out = "", True
        pipe.finish()
        if timed_out:
            await asyncio.wait([copier], timeout=_KILLED_GRACE)
            status = 137
        else:
            await copier
            status = await runc.wait()
        return Outcome(status, timed_out, complaint)
    finally:
        copier.cancel()
        await asyncio.gather(copier, return_exceptions=True)


async def _ended(runc: asyncio.subprocess.Process, copier: asyncio.Future[None]) -> str:
    """Waits for runc to end, or for the sink to fail; returns what runc complained about."""
    assert runc.stdout is not None
    reading = asyncio.ensure_future(runc.stdout.read())
    try:
        watched: list[asyncio.Future[Any]] = [reading, copier]
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if copier.done() and (error := copier.exception()):
            raise error
        complaint = await reading
        await runc.wait()
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return complaint.decode(errors="replace").strip()
