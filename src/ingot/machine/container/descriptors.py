"""Pipes and descriptors between this server, runc and what runs inside.

Every descriptor made here closes in other children; who gets one is named at each start.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingot.process import Sink

_PIPE_SIZE = 1024 * 1024
_CHUNK = 64 * 1024
_F_SETPIPE_SZ, _F_ADD_SEALS, _SEAL_CONTENT = 1031, 1033, 0x1 | 0x2 | 0x4 | 0x8


def open_pipe() -> tuple[int, int]:
    """(read end, write end), both closed in children that are not given them."""
    return os.pipe2(os.O_CLOEXEC)


def hand_over(argv: Sequence[str], handed: Mapping[int, tuple[str, int]], *, log: Path | None = None) -> list[str]:
    """`argv` started so that each number of `handed` is the given descriptor, opened with the redirection
    `<` or `>`; with `log`, both output streams go there. The shell that arranges it becomes the program."""
    redirects = [f"{number}{direction}/proc/self/fd/{source}" for number, (direction, source) in handed.items()]
    if log is not None:
        redirects += ['>>"$0"', "2>&1"]
    return ["/bin/sh", "-c", " ".join(['exec "$@"', *redirects]), str(log or "sh"), *argv]


def open_content(content: bytes) -> int:
    """A descriptor with `content`, in memory only, that nobody can change."""
    descriptor = os.memfd_create("ingot", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(descriptor, view) :]
        fcntl.fcntl(descriptor, _F_ADD_SEALS, _SEAL_CONTENT)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


class OutputPipe:
    """Takes what a command prints. `read` is ours, `write` goes to the command and is closed here with
    `close_write` once it has it."""

    def __init__(self, owner: int) -> None:
        self.read, self.write = open_pipe()
        self._wake, self._finished = asyncio.Event(), False
        fcntl.fcntl(self.read, _F_SETPIPE_SZ, _PIPE_SIZE)
        os.set_blocking(self.read, False)
        os.fchown(self.write, owner, owner)  # or `echo >/dev/stderr` is refused inside
        os.fchmod(self.write, 0o622)

    async def copy_to(self, sink: Sink) -> None:
        """Passes chunks on until every writer has closed its side, or `finish` was called: then until what
        was in the pipe at that time is passed on. Not reading on while `sink` works is the back-pressure."""
        loop = asyncio.get_running_loop()
        while not self._finished:
            self._wake.clear()
            loop.add_reader(self.read, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                loop.remove_reader(self.read)
            if (chunk := self._take(_CHUNK)) == b"":
                return
            if chunk is not None:
                await sink(chunk)
        await self._drain_to(sink)

    def finish(self) -> None:
        """The command has ended; daemons of it may hold the pipe open."""
        self._finished = True
        self._wake.set()

    async def _drain_to(self, sink: Sink) -> None:
        waiting = bytearray(4)
        fcntl.ioctl(self.read, termios.FIONREAD, waiting)
        left = int.from_bytes(waiting, "little")
        while left > 0 and (chunk := self._take(min(left, _CHUNK))):
            left -= len(chunk)
            await sink(chunk)

    def close_write(self) -> None:
        if self.write >= 0:
            os.close(self.write)
            self.write = -1

    def close(self) -> None:
        self.close_write()
        os.close(self.read)

    def _take(self, size: int) -> bytes | None:
        try:
            return os.read(self.read, size)
        except BlockingIOError:
            return None
