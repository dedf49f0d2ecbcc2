"""The caller's own terminal as the near end of one in a computer: keys out, what is shown in, and its size.

The caller's terminal hands every key on meanwhile. It is as it was before when this ends, whatever ended it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator

import typer

from ingot.client.terminal import TerminalClient
from ingot.readable import wait_readable

_CHUNK = 65536
_END_OF_INPUT = b"\x04"
_STDIN, _STDOUT = 0, 1
# Leaves the other screen, shows the cursor, plain colours, no mouse, no marked pastes: what a program that was cut off
# may have asked of the terminal.
_RESTORE = b"\x1b[?1049l\x1b[?25h\x1b[0m\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b>\r\n"
_ENDED_BY = (signal.SIGTERM, signal.SIGHUP)


async def attach(terminal: TerminalClient) -> int:
    """Until the shell ends; its exit code. Raises StreamLostError."""
    restored = False
    with _raw(_STDIN):
        try:
            async with _told_sizes(terminal), _ended_by_signals():
                typing = asyncio.create_task(_type(terminal))
                try:
                    while chunk := await terminal.read():
                        await asyncio.to_thread(_write, chunk)
                finally:
                    typing.cancel()
                    await asyncio.gather(typing, return_exceptions=True)
            code = terminal.exit_code()
            restored = True
            return code
        finally:
            if not restored and os.isatty(_STDOUT):
                _write(_RESTORE)


async def _type(terminal: TerminalClient) -> None:
    """Types what comes on standard input; its end is Ctrl-D."""
    async for chunk in _input():
        await terminal.write(chunk)
    await terminal.write(_END_OF_INPUT)


async def _input() -> AsyncIterator[bytes]:
    while True:
        with contextlib.suppress(PermissionError):  # a file: it never has one wait
            await wait_readable(_STDIN)
        if not (chunk := os.read(_STDIN, _CHUNK)):
            return
        yield chunk


@contextlib.asynccontextmanager
async def _told_sizes(terminal: TerminalClient) -> AsyncIterator[None]:
    """Tells the terminal when the caller's window changes its size."""
    changed, loop = asyncio.Event(), asyncio.get_running_loop()

    async def tell() -> None:
        while True:
            await changed.wait()
            changed.clear()
            await terminal.resize(*window_size())

    loop.add_signal_handler(signal.SIGWINCH, changed.set)
    telling = asyncio.create_task(tell())
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


@contextlib.asynccontextmanager
async def _ended_by_signals() -> AsyncIterator[None]:
    """What would end this process ends the block first, so that the terminal is put right."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    came: list[int] = []

    def end(number: int) -> None:
        came.append(number)
        task.cancel()

    for number in _ENDED_BY:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not came:
            raise
        raise typer.Exit(128 + came[0]) from None
    finally:
        for number in _ENDED_BY:
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _raw(descriptor: int) -> Iterator[None]:
    """A terminal that hands on every key; anything else is left alone."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    try:
        tty.setraw(descriptor)
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def window_size() -> tuple[int, int]:
    for descriptor in (_STDIN, _STDOUT, sys.stderr.fileno()):
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(descriptor)
            if size.columns and size.lines:
                return min(size.columns, 1000), min(size.lines, 1000)
    return 80, 24


def _write(chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(_STDOUT, view) :]
