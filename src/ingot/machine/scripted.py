"""A backend that runs nothing: commands answer from a script. For tests of everything above machines.

It keeps the contract's order, errors and deadlines; files that are put, or that a script says a command
writes, end up in checkpoints and are there again in machines opened on them. It isolates nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import io
import tarfile
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from ingot.errors import CorruptStoreError, MachineDiskError, MachineError, MachineLostError
from ingot.machine.contract import (
    NO_ENVIRONMENT,
    Backend,
    Captured,
    DownloadMount,
    Finding,
    Keep,
    Machine,
    Show,
    show_nobody,
)
from ingot.machine.scripted_terminal import ScriptedTerminal, scripted_terminal
from ingot.machine.threads import in_thread
from ingot.machine.volatile import is_volatile
from ingot.process import Sink
from ingot.records.machine import Command, CommandResult, GuestFile, MachineSpec

_TREE = "diff"
_TYPED_TIMEOUT = 3600.0


@dataclass(frozen=True, slots=True)
class Scripted:
    """What a command does: prints `output` chunk by chunk, waits for `until` (or its timeout, if that comes
    first), writes `writes` (path inside → content), then ends with `exit_code`, or raises `error`."""

    output: tuple[bytes, ...] = ()
    exit_code: int = 0
    until: asyncio.Event | None = None
    writes: Mapping[str, bytes] = field(default_factory=dict)
    memory_killed: bool = False
    disk_full: bool = False
    error: Exception | None = None


class ScriptedMachine(Machine):
    """`files` are all files of the machine, those of its layers included."""

    def __init__(self, backend: ScriptedBackend, name: str, spec: MachineSpec, files: dict[str, bytes]) -> None:
        self.id, self.spec, self.files = name, spec, files
        self._backend = backend
        self.abandoned = False
        self.lost: MachineLostError | None = None
        self._changed: dict[str, bytes] = {}
        self._downloads: tuple[DownloadMount, ...] = ()
        self._terminals: set[ScriptedTerminal] = set()

    async def exec(self, command: Command, sink: Sink) -> CommandResult:
        self._backend.commands.append(command)
        scripted, begun = self._backend.answer(command), time.monotonic()
        for chunk in scripted.output:
            await sink(chunk)
        if scripted.error is not None:
            raise scripted.error
        timed_out = False
        if scripted.until is not None:
            try:
                async with asyncio.timeout(command.timeout):
                    await scripted.until.wait()
            except TimeoutError:
                timed_out = True
        if not timed_out:
            self._write(scripted.writes)
        return CommandResult(
            exit_code=137 if timed_out else scripted.exit_code,
            duration_ms=round((time.monotonic() - begun) * 1000),
            timed_out=timed_out,
            memory_killed=scripted.memory_killed,
            disk_full=scripted.disk_full,
        )

    @contextlib.asynccontextmanager
    async def terminal(
        self, cols: int, rows: int, env: Mapping[str, str] = NO_ENVIRONMENT
    ) -> AsyncIterator[ScriptedTerminal]:
        async def run(line: str, sink: Sink) -> int:
            return (await self.exec(Command(("sh", "-c", line), _TYPED_TIMEOUT, env), sink)).exit_code

        async with scripted_terminal(cols, rows, run) as terminal:
            self._terminals.add(terminal)
            try:
                yield terminal
            finally:
                self._terminals.discard(terminal)

    async def end_terminals(self) -> None:
        for terminal in list(self._terminals):
            await terminal.hang_up()

    async def put(self, files: Sequence[GuestFile]) -> None:
        for file in files:
            if not file.path.startswith("/") or ".." in file.path.split("/") or file.path == "/":
                raise MachineError(
                    f"{file.path!r} cannot be written in the machine: it is not an absolute path of a file"
                )
        self._write({file.path: file.content for file in files})

    async def checkpoint(self, into: Path, keep: Keep = Keep.FILES) -> Captured:
        await self.end_terminals()
        captured = await self._captured(self._changed, into)
        self._changed = {}
        return captured

    async def copy(self, into: Path) -> Captured:
        return await self._captured(self.lasting(), into)

    def lasting(self) -> Mapping[str, bytes]:
        """What it wrote since its last checkpoint, but what every start makes anew."""
        return {path: content for path, content in self._changed.items() if not is_volatile(path[1:])}

    async def _captured(self, files: Mapping[str, bytes], into: Path) -> Captured:
        self._backend.check_capture()
        return await _capture(dict(files), into)

    def check(self) -> None:
        if self.lost is not None:
            raise self.lost

    def abandon(self) -> None:
        self.abandoned = True

    def downloaded(self) -> Sequence[DownloadMount]:
        return self._downloads

    def _write(self, files: Mapping[str, bytes]) -> None:
        if sum(map(len, self.files.values())) + sum(map(len, files.values())) > self.spec.disk_mb * 1024 * 1024:
            raise MachineDiskError("the machine's disk is full")
        self.files.update(files)
        self._changed.update(files)


class ScriptedBackend(Backend):
    """`script` maps a part of a command's line (its argv joined by spaces) to what it does; the first that
    fits, in order; a command that fits none succeeds silently. `commands` and `opened` tell what was asked,
    `running` the machines open now. `capture_error` and `merge_error` are what captures and merges fail with; `remains`
    is what machines left that were abandoned, or whose server was killed: their names and what they wrote."""

    name = "scripted"

    def __init__(self, script: Mapping[str, Scripted] | None = None) -> None:
        self.script: dict[str, Scripted] = dict(script or {})
        self.commands: list[Command] = []
        self.opened: list[tuple[MachineSpec, tuple[Path, ...], str]] = []
        self.running: list[ScriptedMachine] = []
        self.bases_made = 0
        self.capture_error: Exception | None = None
        self.merge_error: Exception | None = None
        self.remains: dict[str, Mapping[str, bytes]] = {}

    def answer(self, command: Command) -> Scripted:
        line = " ".join(command.argv)
        return next((scripted for part, scripted in self.script.items() if part in line), Scripted())

    async def findings(self) -> Sequence[Finding]:
        return (Finding("scripted", True, "runs nothing"),)

    @contextlib.asynccontextmanager
    async def open(
        self,
        spec: MachineSpec,
        stack: Sequence[Path],
        downloads: Sequence[DownloadMount] = (),
        label: str = "",
        *,
        hostname: str = "",
        show: Show = show_nobody,
    ) -> AsyncIterator[Machine]:
        self.opened.append((spec, tuple(stack), label))
        files = await in_thread(lambda: _read_trees(stack))
        machine = ScriptedMachine(self, f"scripted-{len(self.opened)}", spec, files)
        if hostname:
            await machine.put([GuestFile("/etc/hostname", f"{hostname}\n".encode()), _machine_id(hostname)])
        self.running.append(machine)
        try:
            yield machine
        finally:
            self.running.remove(machine)
            if machine.abandoned:
                self.remains[machine.id] = machine.lasting()
            await machine.end_terminals()

    async def make_base(self, into: Path, sink: Sink) -> Captured:
        self.bases_made += 1
        await sink(b"I: making the scripted base\n")
        await in_thread(lambda: _write_tree(into / _TREE, {"/etc/hostname": b"ingot\n"}))
        return Captured(size_bytes=6, files=1)

    def base_recipe(self) -> str:
        return "scripted base 1"

    async def pack(self, layer: Path, archive: Path) -> None:
        await in_thread(lambda: _pack(layer / _TREE, archive))

    async def unpack(self, archive: Path, into: Path) -> Captured:
        return await in_thread(lambda: _unpack(archive, into / _TREE))

    async def merge(self, layers: Sequence[Path], below: Sequence[Path], into: Path) -> Captured:
        if self.merge_error is not None:
            raise self.merge_error
        return await _capture(await in_thread(lambda: _read_trees(layers)), into)

    def weigh(self, layer: Path) -> int:
        return sum(map(len, _read_tree(layer / _TREE).values()))

    def check_capture(self) -> None:
        if self.capture_error is not None:
            raise self.capture_error

    async def recover(self, machine: str, into: Path, *, kept: bool = False) -> Captured | None:
        if machine not in self.remains:
            return None
        self.check_capture()
        return await _capture(self.remains[machine], into)

    async def discard(self, machine: str) -> None:
        self.remains.pop(machine, None)

    async def sweep(self, spared: Collection[str] = ()) -> Sequence[str]:
        forgotten = [machine for machine in self.remains if machine not in spared]
        for machine in forgotten:
            del self.remains[machine]
        return [f"what {machine} wrote" for machine in forgotten]

    async def aclose(self) -> None:
        """Nothing runs between machines."""


def _machine_id(hostname: str) -> GuestFile:
    return GuestFile(
        "/etc/machine-id", f"{hashlib.md5(hostname.encode(), usedforsecurity=False).hexdigest()}\n".encode()
    )


async def _capture(files: Mapping[str, bytes], into: Path) -> Captured:
    await in_thread(lambda: _write_tree(into / _TREE, files))
    return Captured(size_bytes=sum(map(len, files.values())), files=len(files))


def _write_tree(tree: Path, files: Mapping[str, bytes]) -> None:
    tree.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        place = tree / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)


def _read_tree(tree: Path) -> dict[str, bytes]:
    return {f"/{place.relative_to(tree)}": place.read_bytes() for place in sorted(tree.rglob("*")) if place.is_file()}


def _read_trees(stack: Sequence[Path]) -> dict[str, bytes]:
    return {path: body for layer in stack for path, body in _read_tree(layer / _TREE).items()}


def _pack(tree: Path, archive: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as target:
        for path, content in _read_tree(tree).items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(content)
            target.addfile(entry, io.BytesIO(content))
    archive.write_bytes(zstandard.ZstdCompressor(level=1).compress(buffer.getvalue()))


def _unpack(archive: Path, into: Path) -> Captured:
    try:
        content = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read_bytes())
        with tarfile.open(fileobj=io.BytesIO(content)) as source:
            files = {f"/{entry.name}": source.extractfile(entry) for entry in source if entry.isfile()}
            bodies = {path: body.read() for path, body in files.items() if body is not None}
    except (zstandard.ZstdError, tarfile.TarError) as error:
        raise CorruptStoreError(f"{archive.name} is not a layer: {error}") from error
    _write_tree(into, bodies)
    return Captured(size_bytes=sum(map(len, bodies.values())), files=len(bodies))
