"""How builds end on the stream: one terminal frame, its keys and words, before any other endpoint says so."""

from __future__ import annotations

import asyncio

from ingot.conformance.checking import check, must
from ingot.conformance.frames import Frame, check_frames, check_whole
from ingot.conformance.subject import Recorded, Subject

_LATE = 1.5
"""Seconds the terminal frame may be on its way after the status told the end."""


@check("ends.ready")
async def ready(subject: Subject) -> None:
    """Every frame keeps the contract: ids from 0 without a gap, times and phases never go back, exactly one terminal
    frame tells the end, and it is the last."""
    build = await subject.finished()
    check_frames(list(build.frames))
    end = check_whole(list(build.frames))
    must(isinstance(end["duration_ms"], int), "duration_ms is no number")


@check("ends.failed")
async def failed(subject: Subject) -> None:
    """A failed build ends on an error with code, step, exit status and message, in the phase that failed."""
    build = await subject.whole(await subject.build("echo going wrong; exit 7"))
    end = build.end.data
    must((end["result"], end["phase"]) == ("failed", "install"), f"it ended {end['result']} in {end['phase']}")
    must((end["error"]["code"], end["error"].get("exit_code")) == ("step_failed", 7), f"the error is {end['error']}")
    must(end["error"]["step"], "the error names no step")
    _shows(build, "going wrong")


@check("ends.cancelled")
async def cancelled(subject: Subject) -> None:
    """A cancelled build ends on the phase `cancel`."""
    path = await subject.build("echo to be cancelled; sleep 600")
    async with subject.stream(path) as stream:
        await stream.until(b"to be cancelled")
        await subject.ask("DELETE", f"{path}/build", 202)
        end = check_whole(await stream.frames(60))
    must(end["result"] == "cancelled", f"it ended {end['result']}")


@check("ends.timed_out")
async def timed_out(subject: Subject) -> None:
    """A build that takes too long ends on the phase `timeout`."""
    build = await subject.whole(await subject.build("echo too slow; sleep 600", timeout="10s"))
    must(build.end.data["result"] == "timed_out", f"it ended {build.end.data['result']}")


@check("ends.before_status")
async def before_status(subject: Subject) -> None:
    """The terminal frame is in the stream before any other endpoint says that the build is over; the status then says
    the same."""
    path = await subject.build("echo one; sleep 1; echo two")
    async with subject.stream(path) as stream:
        watching = asyncio.create_task(stream.until(b'"result":'))
        try:
            while (status := (await subject.status(path))["status"]) == "building":  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
            await asyncio.wait([watching], timeout=_LATE)
            must(watching.done(), f"the status was {status}, {_LATE} s later a reader had no terminal frame")
            replay = await subject.read(path, "?follow=0")
            must(replay and replay[-1].is_end, f"the status was {status}, a replay had no terminal frame")
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    must(replay[-1].data["result"] == status, f"the stream says {replay[-1].data['result']}, the status {status}")


def _shows(build: Recorded, line: str) -> Frame:
    found = [frame for frame in build.frames if frame.line == line]
    must(len(found) == 1, f"the line {line!r} is there {len(found)} times")
    return found[0]
