"""A virtual machine: what can be done with one that `backend` has opened.

Everything goes through virtio ports. The host writes and reads nothing of the machine's disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingot.errors import DeadlineError, MachineDiskError, MachineError, MachineLostError
from ingot.machine.container.network import Carrier
from ingot.machine.contract import NO_ENVIRONMENT, POWERED_OFF, Captured, DownloadMount, Keep, Machine, Viewer
from ingot.machine.environment import TERMINAL_ENVIRONMENT
from ingot.machine.qemu import state
from ingot.machine.qemu.base_disk import EXCERPT
from ingot.machine.qemu.commands import GROUP, Commands, environment
from ingot.machine.qemu.emulator import Emulator, connect_screen
from ingot.machine.qemu.files import EXCERPT_SCRIPT, check_path, pack_files, unpack_excerpt, unpack_script
from ingot.machine.qemu.hardware import Hardware, create_disk_argv
from ingot.machine.qemu.helper import Helper
from ingot.machine.qemu.home import Home, since_kept
from ingot.machine.qemu.merging import keep_disks
from ingot.machine.qemu.room import explained, host_full
from ingot.machine.qemu.terminal import QemuTerminal, connect_terminal, server_program
from ingot.machine.threads import in_thread, uninterrupted
from ingot.process import Sink, run
from ingot.records.machine import Command, CommandResult, GuestFile

LAYER_DISK = "disk.qcow2"
_HANG_UP = 8.0
_POLL = 0.01
_CHECKPOINT = 300.0
_END_GROUP = """[ -e $G ] || exit 0
echo 1 >$G/cgroup.kill
for n in 1 2 3 4 5; do rmdir $G 2>/dev/null && break; sleep 0.1; done
exit 0"""
_PUT = 120.0
_EXCERPT = 64 * 2**20
_TOLD = 64 * 1024
_HIDE = "[ ! -e /root/.env ] || { cp -p /root/.env /run/ingot-env && rm /root/.env; }; sync; fstrim / || true; sync"
_SHOW = "[ ! -e /run/ingot-env ] || mv /run/ingot-env /root/.env"
_SLOW = "this host emulates virtual machines in software: commands take about ten times as long as with KVM"


@dataclass(frozen=True, slots=True)
class Identity:
    """What tells a computer from the others made of the same golden."""

    hostname: str
    machine_id: str
    address: str


class QemuMachine(Machine):
    """See the contract. `arrive` is the backend's to call, when the machine runs."""

    def __init__(
        self, home: Home, emulator: Emulator, hardware: Hardware, carrier: Carrier | None, *, records: bool
    ) -> None:
        self.id = home.id
        self.warnings = (_SLOW,) if hardware.accelerator == "tcg" else ()
        self._home = home
        self._emulator = emulator
        self._hardware = hardware
        self._carrier = carrier
        self._records = records
        self._disk, self._node = home.disk, "disk0"
        self._finished: list[Path] = []
        self._disks = self._shells = self._failed_writes = 0
        self._helper = Helper(emulator.places.arrival)
        self._commands = Commands(emulator.places, emulator.agent, self._helper)
        self._terminals: dict[str, contextlib.AsyncExitStack] = {}
        self._checkpointing = asyncio.Lock()

    async def arrive(self, identity: Identity | None) -> None:
        """Sets the clock, gives the machine its identity and entropy, and lets frozen commands go on. A process that
        waits for it inside does it. Raises MachineLostError."""
        own = () if identity is None else (identity.hostname, identity.machine_id, identity.address)
        await self._helper.arrive(own)

    async def exec(self, command: Command, sink: Sink) -> CommandResult:
        async with self._explaining():
            if self._carrier is None:
                return await self._exec(command, sink)
            self._carrier.check()
            return await self._carrier.unless_ended(self._exec(command, sink))

    @contextlib.asynccontextmanager
    async def _explaining(self) -> AsyncIterator[None]:
        """What loses the machine is told by its cause: a full host, or that it was switched off or rebooted inside."""
        with explained(self._home.files):
            try:
                yield
            except MachineLostError as error:
                await self._emulator.blame(error)
                raise

    async def _exec(self, command: Command, sink: Sink) -> CommandResult:
        begun = time.monotonic()
        end, timed_out = await self._commands.run(command, sink)
        return CommandResult(
            exit_code=end.status,
            duration_ms=round((time.monotonic() - begun) * 1000),
            timed_out=timed_out,
            memory_killed=end.memory_kills > 0,
            disk_full=end.disk_full,
            host_full=end.status != 0 and await self._lost_writes(),
        )

    @contextlib.asynccontextmanager
    async def terminal(
        self, cols: int, rows: int, env: Mapping[str, str] = NO_ENVIRONMENT
    ) -> AsyncIterator[QemuTerminal]:
        self._shells += 1
        name = f"terminal{self._shells}"
        parts = self._terminals[name] = contextlib.AsyncExitStack()
        try:
            async with self._explaining():
                terminal = await self._open_terminal(name, parts, cols, rows, env)
            yield terminal
        finally:
            self._terminals.pop(name, None)
            await uninterrupted(parts.aclose())

    async def _open_terminal(
        self, name: str, parts: contextlib.AsyncExitStack, cols: int, rows: int, env: Mapping[str, str]
    ) -> QemuTerminal:
        place = await uninterrupted(parts.enter_async_context(self._emulator.plugged_port(name)))
        terminal = await connect_terminal(str(place), cols, rows)
        parts.callback(terminal.hang_up)
        # QEMU keeps its end of the port when the server inside is killed.
        letting_go = asyncio.create_task(self._emulator.port_let_go(name))
        letting_go.add_done_callback(lambda _: terminal.hang_up())
        parts.callback(letting_go.cancel)
        server = await uninterrupted(self._serve_terminal(name, cols, rows, env))
        parts.push_async_callback(self._end_terminal, terminal, server, f"{GROUP}/{name}")
        return terminal

    async def put(self, files: Sequence[GuestFile]) -> None:
        for file in files:
            check_path(file.path)
        output = bytearray()

        async def keep(chunk: bytes) -> None:
            output.extend(chunk)
            del output[:-_TOLD]

        argv = ("/bin/sh", "-c", unpack_script(files))
        result = await self.exec(Command(argv, _PUT, stdin=pack_files(files)), keep)
        if result.exit_code == 0:
            return
        said = output.decode(errors="replace").strip().splitlines()[-1:] or ["it was not told why"]
        if result.disk_full:
            raise MachineDiskError(f"files cannot be written: the machine's disk is full ({said[0]})")
        raise MachineError(f"a file cannot be written in the machine: {said[0]}")

    async def checkpoint(self, into: Path, keep: Keep = Keep.FILES) -> Captured:
        async with self._checkpointing, self._explaining():
            await self._end_terminals()
            await self._take_excerpt(into)
            if keep is Keep.FILES or not self._records:
                await uninterrupted(self._cut(into))
            else:
                await uninterrupted(self._cut_with_state(into, belongs=keep is Keep.STATE))
            await self._check_writes()
        return Captured(size_bytes=await in_thread(partial(_allocated, into)), files=0)

    async def copy(self, into: Path) -> Captured:
        """QEMU writes everything that it holds of the disk to the file when the machine stops. Secrets are put aside
        for that time: no layer may hold them."""
        async with self._checkpointing, self._explaining():
            await uninterrupted(self._copy_disk(into / LAYER_DISK))
        return Captured(size_bytes=await in_thread(partial(_allocated, into)), files=0)

    def check(self) -> None:
        self._emulator.check()
        if self._carrier is not None:
            self._carrier.check()

    def abandon(self) -> None:
        self._home.abandoned = True

    def downloaded(self) -> Sequence[DownloadMount]:
        """Downloads stay inside."""
        return ()

    async def screenshot(self) -> bytes:
        picture = self._home.files / f"screen-{secrets.token_hex(6)}.png"
        try:
            async with self._explaining():
                await self._emulator.screenshot(picture)
            return await in_thread(picture.read_bytes)
        finally:
            picture.unlink(missing_ok=True)

    async def set_screen_password(self, password: str) -> None:
        await self._emulator.set_screen_password(password)

    async def view_screen(self) -> Viewer:
        async with self._explaining():
            return await connect_screen(self._emulator.places.screen)

    async def run_quickly(self, argv: Sequence[str], *, stdin: bytes = b"") -> str:
        """Runs a short program of our own, outside of what is frozen. Raises MachineError with what it said."""
        return await self._commands.run_quickly(argv, stdin=stdin)

    async def close(self) -> None:
        await self._helper.close()
        await self._commands.close()

    # --- terminals

    async def _serve_terminal(self, name: str, cols: int, rows: int, env: Mapping[str, str]) -> int:
        argv = ["/usr/bin/perl", "-", f"ingot.{name}", f"{GROUP}/{name}", str(cols), str(rows)]
        given = environment(Command((), 0, env={**TERMINAL_ENVIRONMENT, **env}))
        return await self._commands.start_program(argv, env=given, stdin=server_program())

    async def _end_terminal(self, terminal: QemuTerminal, server: int, group: str) -> None:
        """The server inside ends what runs there; where it does not, this does."""
        terminal.hang_up()
        deadline = time.monotonic() + _HANG_UP
        with contextlib.suppress(MachineError):
            while not (status := await self._commands.status(server))["exited"]:
                if time.monotonic() > deadline:
                    break
                await asyncio.sleep(_POLL)
            if status.get("exitcode") != 0:
                await self.run_quickly(["/bin/sh", "-c", f"G={group}\n{_END_GROUP}"])

    async def _end_terminals(self) -> None:
        for parts in list(self._terminals.values()):
            await uninterrupted(parts.aclose())

    # --- capturing

    async def _lost_writes(self) -> bool:
        """Whether this host did not take all that was written since it was asked last."""
        before, self._failed_writes = self._failed_writes, await self._emulator.failed_writes()
        return self._failed_writes > before

    async def _check_writes(self) -> None:
        """A layer holds everything that its step wrote, or there is none. A computer's files are kept as they are."""
        if self._records and await self._emulator.failed_writes():
            raise host_full("it did not take all that the machine wrote")

    async def _take_excerpt(self, into: Path) -> None:
        archive = bytearray()

        async def keep(chunk: bytes) -> None:
            archive.extend(chunk)
            if len(archive) > _EXCERPT:
                told = f"what it tells of its packages is longer than {_EXCERPT // 2**20} MiB"
                raise MachineError(f"the machine cannot be captured: {told}")

        command = Command(("/bin/sh", "-c", EXCERPT_SCRIPT), timeout=_CHECKPOINT)
        result = await self.exec(command, keep)
        if result.disk_full:
            raise MachineDiskError("the machine's disk is full", hint="give the machine a larger disk")
        if result.host_full:
            raise host_full("it did not take all that the machine wrote")
        if result.timed_out:
            told = f"the machine did not write its files to its disk within {_CHECKPOINT:g} s"
            raise DeadlineError(told, seconds=_CHECKPOINT)
        if result.exit_code != 0:
            await self._check_writes()
            raise MachineError(f"the machine did not write its files to its disk: status {result.exit_code}")
        await in_thread(partial(unpack_excerpt, bytes(archive), into / EXCERPT))

    async def _cut(self, into: Path) -> None:
        """What the disk has gathered is the layer's now; the machine writes to a new one on top."""
        finished = await self._switch_disk(*await self._make_disk())
        disks = [*await self._disks_kept_nowhere(), finished]
        self._finished.append(finished)
        await keep_disks(disks, into / LAYER_DISK)

    async def _disks_kept_nowhere(self) -> list[Path]:
        """What a computer wrote whose layers were thrown away, because its stop failed: the next layer brings it."""
        return [] if self._records else await in_thread(partial(since_kept, self._finished))

    async def _make_disk(self) -> tuple[Path, str]:
        """An empty disk that QEMU has open already, and QEMU's name for it. What fails here can be tried again."""
        self._disks += 1
        fresh, node = self._home.files / f"disk{self._disks}.qcow2", f"disk{self._disks}"
        await run(create_disk_argv(fresh, self._hardware), timeout=30)
        image = {"driver": "file", "filename": str(fresh), "discard": "unmap"}
        wanted = {"driver": "qcow2", "node-name": node, "file": image, "backing": None}
        await self._emulator.monitor.call("blockdev-add", {**wanted, "discard": "unmap", "detect-zeroes": "unmap"})
        return fresh, node

    async def _switch_disk(self, fresh: Path, node: str) -> Path:
        """From here on the machine writes to `fresh`; the disk that it wrote to before."""
        await self._emulator.monitor.call("blockdev-snapshot", {"node": self._node, "overlay": node})
        finished, self._disk, self._node = self._disk, fresh, node
        return finished

    async def _cut_with_state(self, into: Path, *, belongs: bool) -> None:
        """The same, and the running state beside it: commands are frozen, and stay so in what is captured. Memory is
        copied before the machine is stopped, and what changed meanwhile after. A machine that goes on from the state of
        one that was about to end would end."""
        memory = into / state.MEMORY
        try:
            await self._freeze("1")
            await in_thread(partial(state.copy_sparsely, self._home.memory, memory))
            fresh, node = await self._make_disk()
            await self._emulator.stop()
            try:
                await self._emulator.capture(into / state.DEVICES)
                finished = await self._switch_disk(fresh, node)
                await in_thread(partial(state.update_copy, self._home.memory, memory))
            finally:
                await self._emulator.go_on()
        finally:
            is_going = await self._thaw()
        if is_going:
            raise MachineLostError("the machine was switched off or rebooted from inside", code=POWERED_OFF)
        await keep_disks([finished], into / LAYER_DISK)
        await in_thread(partial(state.write_record, into, self._hardware, belongs=belongs))

    async def _copy_disk(self, place: Path) -> None:
        """Whatever fails, commands go on and secrets are back."""
        copied = self._home.files / "copied.qcow2"
        try:
            async with contextlib.AsyncExitStack() as undoing:
                undoing.push_async_callback(self._freeze, "0")
                await self._freeze("1")
                undoing.push_async_callback(self.run_quickly, ["/bin/sh", "-c", _SHOW])
                await self.run_quickly(["/bin/sh", "-c", _HIDE])
                undoing.push_async_callback(self._emulator.go_on)
                await self._emulator.stop()
                await in_thread(partial(state.copy_sparsely, self._disk, copied))
            await keep_disks([*await self._disks_kept_nowhere(), copied], place)
        finally:
            copied.unlink(missing_ok=True)

    async def _freeze(self, value: str) -> None:
        await self.run_quickly(["/bin/sh", "-c", f"echo {value} >{GROUP}/cgroup.freeze"])

    async def _thaw(self) -> bool:
        """Whether the machine is about to be switched off or rebooted (`payload/ingot-going.service`)."""
        script = f"echo 0 >{GROUP}/cgroup.freeze; [ ! -e /run/ingot-going ] || echo it is"
        return bool(await self.run_quickly(["/bin/sh", "-c", script]))


def _allocated(directory: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in directory.iterdir() if path.is_file())
