"""A container machine: what can be done with one that `backend` has opened.

Its namespaces, disk and network live as long as the machine; the container in them is started when a
command needs it and ended by a checkpoint. A command never sees a file of the host's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.errors import MachineDiskError, MachineLostError
from ingot.machine.container import disk, mounts, overlay
from ingot.machine.container.bundle import HOSTNAME, config_json, process_json, shell_json
from ingot.machine.container.capture import capture_tree
from ingot.machine.container.cgroups import ControlGroup
from ingot.machine.container.downloads import changed_directory, mount_downloads
from ingot.machine.container.execution import CommandGroup, Execution, Outcome, execute
from ingot.machine.container.freezing import frozen
from ingot.machine.container.guest_files import read_accounts, write_file
from ingot.machine.container.identity import give_identity
from ingot.machine.container.ids import Home, to_host
from ingot.machine.container.network import Carrier
from ingot.machine.container.runtime import Container
from ingot.machine.container.terminal import ContainerTerminal, Pair, Shell, close_pair, open_pair, shell_on
from ingot.machine.contract import NO_ENVIRONMENT, Captured, DownloadMount, Keep, Machine
from ingot.machine.environment import LOGIN_SHELL, TERMINAL_ENVIRONMENT
from ingot.machine.threads import in_stoppable_thread, in_thread, uninterrupted
from ingot.machine.volatile import is_volatile
from ingot.process import Sink
from ingot.records.machine import Command, CommandResult, GuestFile, MachineSpec

_DISK_LOOK = 0.2
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, slots=True)
class Parts:
    """What a machine is put together from. `stack` are layer directories, base first; with a `hostname` it gets an
    identity of its own."""

    home: Home
    spec: MachineSpec
    stack: tuple[Path, ...]
    downloads: tuple[DownloadMount, ...]
    group: ControlGroup
    seccomp: Mapping[str, Any] | None
    label: str
    hostname: str = ""


class ContainerMachine(Machine):
    """See the contract. `mount`, `connect` and `end` are the backend's to call; `abandoned` is its to obey."""

    def __init__(self, parts: Parts) -> None:
        self.id = parts.home.id
        self.abandoned = False
        self._parts = parts
        self._resources, self.warnings = parts.group.resources(parts.spec)
        self._container = Container(parts.home, parts.group)
        self._starting, self._capturing = asyncio.Lock(), asyncio.Lock()
        self._moving = asyncio.Event()
        self._moving.set()
        self._trees = [layer / overlay.LAYER_TREE for layer in parts.stack]
        self._top: overlay.WritableTop | None = None
        self._tops = self._commands = 0
        self._namespaces: Mapping[str, Path] = {}
        self._binds: Mapping[str, Path] = {}
        self._carrier: Carrier | None = None

    async def mount(self) -> None:
        """Makes the disk and mounts the root."""
        home = self._parts.home
        await disk.make_disk(home.image, home.disk, self._parts.spec.disk_mb)
        await in_thread(self._mount_root)
        await in_thread(lambda: disk.hold_reserve(home.disk))
        if hostname := self._parts.hostname:
            await in_thread(lambda: give_identity(home.root, hostname))

    async def connect(self, namespaces: Mapping[str, Path], carrier: Carrier) -> None:
        """Gives the machine its namespaces and starts the container in them."""
        home = self._parts.home
        self._namespaces, self._carrier = namespaces, carrier
        self._binds = await in_thread(lambda: mount_downloads(home, self._parts.downloads, namespaces["user"]))
        await self._ensure_started()

    async def end(self) -> None:
        """Kills everything inside."""
        await self._container.end()

    async def exec(self, command: Command, sink: Sink) -> CommandResult:
        await self._ensure_started()
        assert self._carrier is not None
        await self._carrier.wait_up()
        await self._moving.wait()
        user = read_accounts(self._parts.home.root).user(command.user)
        self._commands += 1
        execution = Execution(
            home=self._parts.home,
            process=process_json(command.argv, user, command.env, command.cwd),
            owner=to_host(user.uid),
            stdin=command.stdin,
            timeout=command.timeout,
            group=self._command_group(),
        )
        killed_before, begun = self._parts.group.oom_kills(), time.monotonic()
        async with self._watched_disk() as full:
            outcome = await self._carrier.unless_ended(self._executed(execution, sink))
        result = CommandResult(
            exit_code=outcome.status,
            duration_ms=round((time.monotonic() - begun) * 1000),
            timed_out=outcome.timed_out,
            memory_killed=self._parts.group.oom_kills() > killed_before,
            disk_full=full.is_set() or disk.room(self._parts.home.disk).full,
        )
        if outcome.complaint and outcome.status != 0:
            await self._explain(outcome, result, sink)
        return result

    @contextlib.asynccontextmanager
    async def terminal(
        self, cols: int, rows: int, env: Mapping[str, str] = NO_ENVIRONMENT
    ) -> AsyncIterator[ContainerTerminal]:
        await self._ensure_started()
        assert self._carrier is not None
        await self._carrier.wait_up()
        await self._moving.wait()
        user = read_accounts(self._parts.home.root).user("root")
        self._commands += 1
        process = shell_json(LOGIN_SHELL, user, {**TERMINAL_ENVIRONMENT, **env})
        pair = await in_thread(lambda: self._open_pair(cols, rows), undone_by=close_pair)
        async with shell_on(pair, Shell(self._parts.home, process, self._command_group())) as terminal:
            yield terminal

    async def put(self, files: Sequence[GuestFile]) -> None:
        await in_thread(lambda: self._put(files))

    async def checkpoint(self, into: Path, keep: Keep = Keep.FILES) -> Captured:
        """The top is exchanged only when it is safe in `into`: a capture that fails can be tried again. Of a computer
        nothing that holds its secrets is captured, whatever is left of it inside."""
        async with self._capturing, self._starting:
            await uninterrupted(self._container.end())
            captured = await self._capture(into, without=is_volatile if self._parts.hostname else None)
            await in_thread(self._remount_root)
        return captured

    async def copy(self, into: Path) -> Captured:
        async with self._capturing:
            self._moving.clear()
            try:
                async with frozen(self._parts.group):
                    return await self._capture(into, without=is_volatile)
            finally:
                self._moving.set()

    def check(self) -> None:
        if self._container.lost:
            raise MachineLostError("the machine has ended: its first process is gone")
        if self._carrier is not None:
            self._carrier.check()

    def abandon(self) -> None:
        self.abandoned = True

    def downloaded(self) -> Sequence[DownloadMount]:
        return tuple(
            DownloadMount(download.name, download.target, changed_directory(self._parts.home, download.name))
            for download in self._parts.downloads
        )

    async def _capture(self, into: Path, without: Callable[[str], bool] | None = None) -> Captured:
        top, tree = self._top, into / overlay.LAYER_TREE
        assert top is not None
        return await in_stoppable_thread(lambda stop: capture_tree(top.upper, tree, stop, without))

    def _open_pair(self, cols: int, rows: int) -> Pair:
        root = self._container.open_root()
        try:
            return open_pair(root, cols, rows)
        finally:
            os.close(root)

    def _put(self, files: Sequence[GuestFile]) -> None:
        accounts = read_accounts(self._parts.home.root)
        for file in files:
            write_file(self._parts.home.root, file, accounts)

    async def _ensure_started(self) -> None:
        async with self._starting:
            self.check()
            if not self._container.started:
                await uninterrupted(self._container.start(self._config()))

    def _config(self) -> dict[str, Any]:
        parts = self._parts
        return config_json(
            root=parts.home.root,
            namespaces=self._namespaces,
            binds=self._binds,
            cgroup=parts.group.path,
            resources=self._resources,
            seccomp=parts.seccomp,
            label=parts.label,
            hostname=parts.hostname or HOSTNAME,
        )

    def _mount_root(self) -> None:
        self._tops += 1
        self._top = overlay.make_top(self._parts.home.disk / overlay.TOPS / str(self._tops))
        overlay.mount_stack(self._trees, self._top, self._parts.home.root)

    def _remount_root(self) -> None:
        """What was written so far becomes the topmost layer, and stays on the machine's disk: the limit
        counts everything the machine writes, not only its last step."""
        home, captured = self._parts.home, self._top
        assert captured is not None
        mounts.unmount(home.root)
        shutil.rmtree(captured.work, ignore_errors=True)
        disk.release_reserve(home.disk)
        self._trees.append(captured.upper)
        try:
            self._mount_root()
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise MachineDiskError("the machine's disk is full", hint="give the machine a larger disk") from error
        disk.hold_reserve(home.disk)

    def _command_group(self) -> CommandGroup | None:
        made = self._parts.group.make_child(f"c{self._commands}")
        return None if made is None else CommandGroup(*made)

    async def _executed(self, execution: Execution, sink: Sink) -> Outcome:
        """Where the host gives a command no group of its own, the whole container is what gets killed."""
        outcome: Outcome | None = None
        try:
            outcome = await execute(execution, sink)
        finally:
            if execution.group is None and (outcome is None or outcome.timed_out):
                await uninterrupted(self._container.end())
        return outcome

    async def _explain(self, outcome: Outcome, result: CommandResult, sink: Sink) -> None:
        """runc could not run the command: because the machine is gone, or for what it says."""
        if self._container.lost and not result.memory_killed:
            raise MachineLostError(f"the machine ended while a command ran: {outcome.complaint[-500:]}")
        if not self._container.lost:
            await sink(outcome.complaint.encode() + b"\n")

    @contextlib.asynccontextmanager
    async def _watched_disk(self) -> AsyncIterator[asyncio.Event]:
        """Sets the event when the disk was seen full: a command may clean up before it fails."""
        full = asyncio.Event()

        async def look() -> None:
            while not disk.room(self._parts.home.disk).full:  # noqa: ASYNC110  the kernel tells nobody
                await asyncio.sleep(_DISK_LOOK)
            full.set()

        task = asyncio.ensure_future(look())
        try:
            yield full
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
