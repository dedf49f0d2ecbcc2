"""A shell on a terminal of a started container.

The terminal is one of the container's own, so that programs inside find it by its name; the side that types is held
here and nowhere else. It closes when this server ends, however it ends, and the kernel then hangs the terminal up.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import json
import os
import stat
import struct
import termios
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ingot.errors import MachineError
from ingot.machine.container import syscalls
from ingot.machine.container.bundle import PASSED_DESCRIPTORS
from ingot.machine.container.cgroups import kill_child, remove_child
from ingot.machine.container.descriptors import open_content
from ingot.machine.container.execution import CommandGroup
from ingot.machine.container.ids import Home, to_host
from ingot.machine.container.runtime import runc_argv
from ingot.machine.contract import Terminal
from ingot.machine.threads import uninterrupted
from ingot.process import started

_CHUNK = 64 * 1024
_LAST_WORDS = 256 * 1024
_TIOCGPTPEER, _TIOCSPTLCK = 0x5441, 0x40045431
_IUTF8 = 0x4000
_PTMX = os.makedev(5, 2)
_TTY_GROUP = 5
_HANGUP_GRACE = 1.0
_KILLED = 137


@dataclass(frozen=True, slots=True)
class Pair:
    """Both sides of a new terminal: `typing` is ours and does not block, `shell` is for what runs in it."""

    typing: int
    shell: int


def open_pair(root: int, cols: int, rows: int) -> Pair:
    """A terminal of the machine whose root directory is the descriptor `root`. Raises MachineError when the machine has
    no room for one. Blocking."""
    try:
        typing = syscalls.open_mounted(root, "/dev/pts/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError as error:
        raise MachineError(f"the machine has no terminal to give: {error.strerror}") from error
    try:
        _check_device(typing)
        fcntl.ioctl(typing, _TIOCSPTLCK, struct.pack("i", 0))
        shell = fcntl.ioctl(typing, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        os.close(typing)
        raise MachineError(f"the machine has no terminal to give: {error.strerror}") from error
    os.fchown(shell, to_host(0), to_host(_TTY_GROUP))
    modes = termios.tcgetattr(shell)
    modes[0] |= _IUTF8
    termios.tcsetattr(shell, termios.TCSANOW, modes)
    set_size(typing, cols, rows)
    return Pair(typing, shell)


def close_pair(pair: Pair) -> None:
    os.close(pair.typing)
    os.close(pair.shell)


def set_size(terminal: int, cols: int, rows: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _check_device(descriptor: int) -> None:
    found = os.fstat(descriptor)
    if not stat.S_ISCHR(found.st_mode) or found.st_rdev != _PTMX:
        raise OSError(errno.ENODEV, "its /dev/pts/ptmx is something else")


@dataclass(frozen=True, slots=True)
class Shell:
    """A shell about to run on a terminal. `group` is None where the host gives it none: then only what listens to
    being hung up ends with it."""

    home: Home
    process: Mapping[str, Any]
    group: CommandGroup | None


@contextlib.asynccontextmanager
async def shell_on(pair: Pair, shell: Shell) -> AsyncIterator[ContainerTerminal]:
    """Starts the shell on the terminal, both of which end with the context; `pair` is closed."""
    with contextlib.ExitStack() as given:
        typing = given.enter_context(_closing(pair.typing))
        other = given.enter_context(_closing(pair.shell))
        document = open_content(json.dumps(shell.process).encode())
        given.callback(os.close, document)
        argv = [*runc_argv(shell.home), "exec", "--process", f"/proc/self/fd/{document}"]
        argv += ["--preserve-fds", str(PASSED_DESCRIPTORS)]
        if shell.group is not None:
            argv += ["--cgroup", shell.group.name]
        handed = ["/bin/sh", "-c", 'exec "$@" 3>&0 4>&0 </dev/null', "sh", *argv, shell.home.id]
        try:
            async with started(handed, stdin=pair.shell, pass_fds=(document,)) as runc:
                other.close()
                terminal = ContainerTerminal(pair.typing, runc)
                try:
                    yield terminal
                finally:
                    await uninterrupted(_end(terminal, typing, shell.group))
        finally:
            if shell.group is not None:
                remove_child(shell.group.directory)


async def _end(terminal: ContainerTerminal, typing: _Descriptor, group: CommandGroup | None) -> None:
    ended_before = terminal.over
    typing.close()
    await terminal.ended(_HANGUP_GRACE)
    if group is not None and not ended_before:
        await kill_child(group.directory)


class _Descriptor:
    """One that is closed once, whoever does it first."""

    def __init__(self, number: int) -> None:
        self._number = number

    def close(self) -> None:
        if self._number >= 0:
            os.close(self._number)
            self._number = -1


def _closing(number: int) -> contextlib.closing[_Descriptor]:
    return contextlib.closing(_Descriptor(number))


class ContainerTerminal(Terminal):
    """See the contract. `runc` runs as long as the shell does. What runs on behind the shell may hold the terminal, and
    show more without an end: of that no more is read than the shell's own last words can be."""

    def __init__(self, typing: int, runc: asyncio.subprocess.Process) -> None:
        self._typing = typing
        self._runc = runc
        self._complaint = b""
        self._left = _LAST_WORDS
        self._over = asyncio.Event()
        self._ending = asyncio.create_task(self._until_over())

    async def read(self) -> bytes:
        while True:
            ended = self._over.is_set()
            try:
                if not ended:
                    return os.read(self._typing, _CHUNK)
                if chunk := os.read(self._typing, min(_CHUNK, self._left)):
                    self._left -= len(chunk)
                    return chunk
                return self._last_words()
            except BlockingIOError:
                if ended:
                    return self._last_words()
            except OSError:  # EIO: nobody holds the other side any more
                await self._over.wait()
                return self._last_words()
            await self._ready(asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader)

    async def write(self, typed: bytes) -> None:
        view = memoryview(typed)
        while view and not self._over.is_set():
            try:
                view = view[os.write(self._typing, view) :]
            except BlockingIOError:
                await self._ready(asyncio.get_running_loop().add_writer, asyncio.get_running_loop().remove_writer)
            except OSError:
                return

    async def resize(self, cols: int, rows: int) -> None:
        if not self._over.is_set():
            set_size(self._typing, cols, rows)

    async def wait(self) -> int:
        await self._over.wait()
        return self._runc.returncode if self._runc.returncode is not None and self._runc.returncode >= 0 else _KILLED

    async def ended(self, deadline: float) -> None:
        """Gives the shell, which was hung up, a moment to end by itself."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(deadline):
                await self._over.wait()
        self._ending.cancel()
        await asyncio.gather(self._ending, return_exceptions=True)

    @property
    def over(self) -> bool:
        return self._over.is_set()

    def _last_words(self) -> bytes:
        """What runc had to say when it could not start the shell, this once."""
        said, self._complaint = self._complaint, b""
        return said.replace(b"\n", b"\r\n")

    async def _until_over(self) -> None:
        assert self._runc.stdout is not None
        try:
            self._complaint = await self._runc.stdout.read()
            await self._runc.wait()
        finally:
            self._over.set()

    async def _ready(self, watch: Callable[..., Any], forget: Callable[[int], Any]) -> None:
        """Until the terminal can be read or written, or the shell has ended."""
        ready = asyncio.Event()
        watch(self._typing, ready.set)
        waits = [asyncio.create_task(event.wait()) for event in (ready, self._over)]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forget(self._typing)
            for wait in waits:
                wait.cancel()
