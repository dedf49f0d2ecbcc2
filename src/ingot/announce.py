"""The lines that a build's log begins with: who was accepted, and where it stands in the queue.

Written under epoch 0, which belongs to the queue, by whoever gets there first; a claimed build's worker adds what is
missing. A log that a worker has taken over is left alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ingot.errors import StaleEpochError
from ingot.events.log import EventLogs
from ingot.events.reporter import BuildReporter
from ingot.events.writer import LogWriter
from ingot.records.build import Build, BuildState
from ingot.records.event import Phase


async def tell_waiting(logs: EventLogs, build: Build, place: int | None) -> None:
    """Begins the log of a build that waits, or adds its new place in the queue (from 1)."""
    with contextlib.suppress(StaleEpochError):
        writer = await logs.open_writer(build.id, build.attempt, 0)
        try:
            lines = [] if writer.next_seq else [accepted_line(build)]
            if build.state is BuildState.JOINED:
                lines += ["the same content is being built already: waiting for that build"]
            elif place is not None:
                lines += [place_line(place)]
            await _say(quiet_reporter(writer, build), lines)
        finally:
            await writer.aclose()


def quiet_reporter(writer: LogWriter, build: Build) -> BuildReporter:
    """For lines of an attempt that no worker runs: nobody asks for its steps, and the queue knows where it is. Its
    lines are our own words, references and numbers, so there is nothing to redact."""
    return BuildReporter(writer, build.attempt, (), _ignore, _ignore)


def accepted_line(build: Build) -> str:
    return f"accepted {build.ref} (sha256 {build.digest[:12]}), attempt {build.attempt}"


def place_line(place: int) -> str:
    """Places count from 1."""
    ahead = place - 1
    if ahead == 0:
        return "place 1 in the queue: next to be built"
    return f"place {place} in the queue: {ahead} build{'s' if ahead > 1 else ''} ahead"


async def _say(reporter: BuildReporter, lines: Sequence[str]) -> None:
    await reporter.enter(Phase.PUBLISH)
    for line in lines:
        await reporter.say(line)


async def _ignore(*_: object) -> None:
    return None
