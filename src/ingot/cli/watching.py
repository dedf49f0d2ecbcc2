"""Watching a build: the stream, a way to show it, Ctrl-C, and the exit status that tells how the build ended.

The first Ctrl-C (or SIGTERM) stops watching and says how to come back; the build goes on. A second one ends the
process at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

from ingot.cli.console.progress import Progress, make_progress
from ingot.cli.exit_codes import ExitCode, code_of_result
from ingot.cli.output import Talk
from ingot.cli.watch import Watch
from ingot.client import Client, Patience
from ingot.credentials import Server

_TICK = 0.1


def watch_build(server: Server, watch: Watch) -> ExitCode:
    """Watches until the build ends; returns how it ended, or INTERRUPTED."""
    return asyncio.run(_watch(server, watch))


async def _watch(server: Server, watch: Watch) -> ExitCode:
    progress = make_progress(watch)
    with _interruptible() as interrupted:
        try:
            return await _follow(server, watch, progress)
        except asyncio.CancelledError:
            if not interrupted.is_set():
                raise
    if watch.live:
        Talk().say(f"\nstopped watching; the build goes on. Come back with: ingot logs --follow {watch.ref}")
    return ExitCode.INTERRUPTED


async def _follow(server: Server, watch: Watch, progress: Progress) -> ExitCode:
    async with Client(server.url, server.key) as client:
        stream = client.follow(
            watch.ref,
            watch.attempt,
            live=watch.live,
            patience=Patience(give_up_after=watch.give_up_after),
            on_retry=progress.retrying,
            on_connect=progress.connected,
        )
        ticker = asyncio.create_task(_tick(progress))
        try:
            async with contextlib.aclosing(stream) as frames:
                async for frame in frames:
                    progress.take(frame)
                    if frame.end is not None and watch.live:
                        return code_of_result(frame.end.result)
        finally:
            ticker.cancel()
            progress.close()
    return ExitCode.READY


async def _tick(progress: Progress) -> None:
    while True:
        progress.tick()
        await asyncio.sleep(_TICK)


@contextlib.contextmanager
def _interruptible() -> Iterator[asyncio.Event]:
    """The first signal cancels the calling task and sets the event; the second ends the process."""
    loop, task, interrupted = asyncio.get_running_loop(), asyncio.current_task(), asyncio.Event()
    assert task is not None

    def stop() -> None:
        if interrupted.is_set():
            os._exit(ExitCode.INTERRUPTED)
        interrupted.set()
        task.cancel()

    signals = (signal.SIGINT, signal.SIGTERM)
    for number in signals:
        loop.add_signal_handler(number, stop)
    try:
        yield interrupted
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
