"""Readers who are slow or dead hold nothing up and lose nothing."""

from __future__ import annotations

import asyncio
import contextlib

import httpx2

from ingot.conformance.checking import check, must
from ingot.conformance.frames import check_frames, check_whole
from ingot.conformance.subject import Subject, frames_so_far

_FLOOD = "seq -f 'a line that takes some room in the buffers of a reader who does not read %g' 1 200000"


@check("readers.stalled", core=False, deadline=240)
async def stalled(subject: Subject) -> None:
    """A reader that takes nothing for 30 s is disconnected, the build and others do not wait for it, and with its id it
    gets the rest."""
    path = await subject.build(_FLOOD)
    async with subject.stream(path) as stalled:
        await stalled.more()
        whole = await subject.whole(path)
        await asyncio.sleep(45)
        with contextlib.suppress(httpx2.TransportError):  # it may end in any way
            await stalled.all()
        frames = frames_so_far(stalled)
    must(frames and not frames[-1].is_end, "a reader who took nothing for 45 s was still served")
    frames += await subject.read(path, last=frames[-1].id)
    check_frames(frames)
    check_whole(frames)
    must(len(frames) == len(whole.frames), "frames are missing")
