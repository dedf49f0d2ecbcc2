"""Blocking work in a thread, without losing sight of it: a cancelled caller waits until the thread is done.

A thread cannot be ended from outside; one that goes on mounting or copying behind a machine that has been
removed would leave things on the host.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Stopped(Exception):  # noqa: N818  not an error: the caller went away
    """Raised by stoppable work when it notices that nobody waits for it any more."""


async def in_thread(work: Callable[[], Result], undone_by: Callable[[Result], None] | None = None) -> Result:
    """Runs `work` in a thread to its end, whether or not the caller is cancelled meanwhile. One that is does not get
    the result, which `undone_by` then takes."""
    made: list[Result] = []
    try:
        await uninterrupted(asyncio.to_thread(lambda: made.append(work())))
    except BaseException:
        if made and undone_by is not None:
            undone_by(made[0])
        raise
    return made[0]


async def in_stoppable_thread(work: Callable[[threading.Event], Result]) -> Result:
    """The same for long work, which looks at the event it is given and raises Stopped once it is set."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        task.exception()  # seen: it was told to stop
        raise


async def uninterrupted(work: Coroutine[Any, Any, Result]) -> Result:
    """Awaits `work` to its end even when the caller is cancelled meanwhile; the cancellation comes after."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if task.cancelled():
            raise
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                continue
        if not task.cancelled():
            task.exception()
        raise
