"""What a machine is to the builder and the launcher, whatever it is made of.

Call order: `Backend.open` → any number of `exec`, `put`, `checkpoint` → leave the context. One task at a
time calls `exec`, `put` and `checkpoint` of a machine, except that `exec` may run beside another `exec`, and
that terminals may be open beside everything.
Leaving the context removes every process, mount, socket and file of the machine, whatever happened,
within ten seconds; `Backend.sweep` does the same for machines whose server was killed.

Errors: MachineLostError when the machine is gone; MachineDiskError when its disk is full during `put` or
`checkpoint`; HostError when the host cannot do it. A command that fails is a `CommandResult`, no error.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ingot.errors import MachineError
from ingot.process import Sink
from ingot.records.machine import Command, CommandResult, GuestFile, MachineSpec

NO_ENVIRONMENT: Mapping[str, str] = MappingProxyType({})

Viewer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""A connection to a machine's screen, speaking RFB."""


Show = Callable[["Machine"], None]
"""Gets a machine whose screen can be looked at."""


def show_nobody(machine: Machine) -> None:
    """A `Show` for when nobody looks."""


class Keep(Enum):
    """What of a machine's running state a checkpoint keeps, where the backend can keep any: nothing (the files
    alone), the state as a quick start for later builds on this host, or the state as a part of the layer, so that
    goldens hold it."""

    FILES = "files"
    CACHE = "cache"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Captured:
    """What `checkpoint` wrote: bytes and files of the step alone."""

    size_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class DownloadMount:
    """A package manager's download cache. `target` is its path inside; `kept` the host directory with what
    earlier builds downloaded: the machine sees it, and writes go elsewhere (see `Machine.downloaded`)."""

    name: str
    target: str
    kept: Path


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing `ingot doctor` looked at. `remedy` is the command that mends it; `needed` is False when
    Ingot works without it, with less."""

    name: str
    ok: bool
    detail: str
    remedy: str | None = None
    needed: bool = True


POWERED_OFF, REBOOTED = "powered_off", "rebooted"
"""Codes of a MachineLostError: a machine that ended since somebody inside had it switched off, or rebooted. Machines do
not boot twice: what they were given when they were opened would be gone."""


class Terminal(ABC):
    """A shell on a terminal of its own. One task at a time reads, one writes; both may go on at once. It ends when its
    shell ends, when its context is left, at a `checkpoint`, and with its machine."""

    @abstractmethod
    async def read(self) -> bytes:
        """What it shows next, at most 64 KiB; empty once it has ended and all of it was read. Not reading on holds
        back what runs in it."""

    @abstractmethod
    async def write(self, typed: bytes) -> None:
        """Types bytes, and returns when the terminal has taken them. What is typed after the end goes nowhere."""

    @abstractmethod
    async def resize(self, cols: int, rows: int) -> None:
        """From here on it has that size, and what runs in the foreground is told so (SIGWINCH)."""

    @abstractmethod
    async def wait(self) -> int:
        """The shell's exit code, once `read` has nothing more; 128 + signal for one that was killed, so 137 when the
        machine went first."""


class Machine(ABC):
    """A running machine. `warnings` are limits asked for that this host cannot enforce, in words. `resumed`: it
    goes on from a captured running state, so what ran then runs now. `not_resumed` says why it does not where the
    golden holds a state that this host cannot take; another size than the golden's is no reason to tell."""

    id: str
    warnings: tuple[str, ...] = ()
    resumed: bool = False
    not_resumed: str = ""

    @abstractmethod
    async def exec(self, command: Command, sink: Sink) -> CommandResult:
        """Runs a command; `sink` gets its output, both streams in one, as it comes.

        At `command.timeout`, and when the calling task is cancelled, the command and everything it started
        is killed within 5 s. What a command leaves running in the background lives until the next
        `checkpoint` or the end of the machine, and does not keep `exec` from returning.
        """

    @abstractmethod
    def terminal(
        self, cols: int, rows: int, env: Mapping[str, str] = NO_ENVIRONMENT
    ) -> AbstractAsyncContextManager[Terminal]:
        """A login shell of root in /root, on a terminal of that size; `env` is added to its environment. Leaving the
        context hangs the terminal up, and kills within 5 s whatever the shell had started and was still there. Of a
        shell that ended by itself before, what it left running outside of its terminal lives on, as after `exec`."""

    @abstractmethod
    async def put(self, files: Sequence[GuestFile]) -> None:
        """Writes files, making parent directories (root, 0755). Paths are resolved inside the machine: a
        symbolic link there never leads to the host. Raises MachineError naming a file that cannot be written."""

    @abstractmethod
    async def checkpoint(self, into: Path, keep: Keep = Keep.FILES) -> Captured:
        """Captures what changed since the machine opened or the last checkpoint into the empty directory
        `into`, durably. Processes are ended by it where the backend keeps no running state; the machine goes
        on from the new state."""

    @abstractmethod
    async def copy(self, into: Path) -> Captured:
        """Captures the same files without disturbing the machine: no process ends, and the next `checkpoint`
        or `copy` captures them again. Processes are stopped while it works."""

    @abstractmethod
    def check(self) -> None:
        """Raises MachineLostError when it has ended; its code is POWERED_OFF or REBOOTED where that was asked for
        inside."""

    @abstractmethod
    def abandon(self) -> None:
        """When the context is left the machine ends as ever, but what `Backend.recover` reads stays on the host, so
        that what it wrote is not lost where it could not be captured. `Backend.discard` removes that."""

    @abstractmethod
    def downloaded(self) -> Sequence[DownloadMount]:
        """The download caches with `kept` now naming the host directories with what this machine added.
        Valid until the machine ends. Written by the guest: treat names and content as hostile."""

    async def screenshot(self) -> bytes:
        """What the screen shows, as a PNG. This and the two below raise MachineError `no_screen` where there is no
        screen, and may run beside everything else."""
        raise _no_screen()

    async def set_screen_password(self, password: str) -> None:
        """What viewers have to know from now on: at most 8 characters of ASCII. Before it is set none gets in."""
        raise _no_screen()

    async def view_screen(self) -> Viewer:
        """A new connection to the screen, which the caller closes; it ends with the machine. MachineError `screen_busy`
        when it takes no more just now."""
        raise _no_screen()


class Backend(ABC):
    """Makes machines of one kind. `name` is part of every layer key. `keeps_running`: layers can hold a machine's
    running state, and a machine that is opened on one for the same hardware resumes it. `has_screen`: its machines
    have one."""

    name: str
    keeps_running: bool = False
    has_screen: bool = False

    @abstractmethod
    async def findings(self) -> Sequence[Finding]:
        """What this host offers the backend. Usable when every needed finding is ok."""

    @abstractmethod
    def open(
        self,
        spec: MachineSpec,
        stack: Sequence[Path],
        downloads: Sequence[DownloadMount] = (),
        label: str = "",
        *,
        hostname: str = "",
        show: Show = show_nobody,
    ) -> AbstractAsyncContextManager[Machine]:
        """A machine on the layers of `stack` (directories that `checkpoint`, `copy` or `make_base` filled, base
        first). `label` tells an operator what it is for; it shows in the host's listings.

        With a `hostname` it is a computer of its own: it gets that name and identities of its own (machine id,
        hardware address, SSH host keys at their next start, entropy) before anything captured goes on, and its
        running state cannot be kept. Without, it is a build's machine.

        `show` is called with a machine that is only coming up, where it has a screen: nothing but that may be asked of
        it, and it may be another one than is opened in the end."""

    @abstractmethod
    async def make_base(self, into: Path, sink: Sink) -> Captured:
        """Makes the base image's layer in the empty directory `into`; `sink` gets what the tool prints."""

    @abstractmethod
    def base_recipe(self) -> str:
        """Everything that decides what `make_base` makes, as one text: its hash says when to make it anew."""

    @abstractmethod
    async def pack(self, layer: Path, archive: Path) -> None:
        """Writes a layer directory as one zstd-compressed file that `unpack` turns back into the same layer,
        on any host."""

    @abstractmethod
    async def unpack(self, archive: Path, into: Path) -> Captured:
        """The reverse of `pack`, into an empty directory, durably. Raises CorruptStoreError for a bad archive."""

    @abstractmethod
    async def merge(self, layers: Sequence[Path], below: Sequence[Path], into: Path) -> Captured:
        """Makes one layer in the empty directory `into`, durably, that means on top of `below` what `layers` mean there
        together, deletions as well; both base first. They are only read, and may be in use. Raises HostError."""

    @abstractmethod
    def weigh(self, layer: Path) -> int:
        """What merging a layer costs, in a unit of the backend's own. Blocking."""

    @abstractmethod
    async def recover(self, machine: str, into: Path, *, kept: bool = False) -> Captured | None:
        """What a machine (its `id`) that was abandoned, or whose server was killed, wrote since it opened, captured
        into the empty directory `into` as `checkpoint` does, durably; None when nothing of it can be had. `kept`: its
        last checkpoint was kept, so that only what it wrote after that is wanted. Its processes are ended, but nothing
        is removed: `discard` does that, and a `sweep` that is not told to spare it. Raises MachineError, HostError,
        OSError."""

    @abstractmethod
    async def discard(self, machine: str) -> None:
        """Removes what a machine left that was abandoned, or whose server was killed. Of one that is not there, or has
        an owner, nothing. Raises HostError, OSError."""

    def needs(self, layer: Path) -> Mapping[str, Any]:
        """What a host must have for the running state in a layer to go on there; empty where any host will do.
        Blocking."""
        return {}

    def cached_state(self, layer: Path) -> int:
        """Bytes of running state that a layer holds for speed alone. Blocking."""
        return 0

    def drop_cached_state(self, layer: Path) -> None:  # noqa: B027 - most backends have none
        """Removes that. A machine that is being opened on it may fail to open. Blocking."""

    @abstractmethod
    async def sweep(self, spared: Collection[str] = ()) -> Sequence[str]:
        """Removes what machines of a killed server left on the host; returns what was removed, in words. Of those that
        are `spared` (their ids) what `recover` reads stays."""

    @abstractmethod
    async def aclose(self) -> None:
        """Ends what the backend keeps running for itself."""


def _no_screen() -> MachineError:
    return MachineError("this machine has no screen", hint="virtual machines have one", code="no_screen")
