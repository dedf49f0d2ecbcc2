"""Opens virtual machines: resumes a captured state where one fits, boots from disk where none does.

Booting takes long, so the plain base is booted once for each kind of hardware and kept (`booted`); every build starts
from that. It promises that leaving `open` leaves nothing on the host, however it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ingot.errors import CommandError, CorruptStoreError, HostError, MachineLostError, lacks_room
from ingot.machine.contract import Backend, Captured, DownloadMount, Finding, Keep, Machine, Show, show_nobody
from ingot.machine.qemu import base_disk, findings, home, state
from ingot.machine.qemu.emulator import Emulator, running
from ingot.machine.qemu.hardware import Hardware, Places, create_disk_argv, hardware_of, make_argv
from ingot.machine.qemu.home import Home
from ingot.machine.qemu.machine import LAYER_DISK, Identity, QemuMachine
from ingot.machine.qemu.merging import keep_disks, merge_disks
from ingot.machine.qemu.network import guarded
from ingot.machine.qemu.room import explained
from ingot.machine.qemu.state import State
from ingot.machine.threads import in_thread
from ingot.process import Sink, run
from ingot.records.machine import MachineSpec

_BOOT = {"kvm": 60.0, "tcg": 240.0}
_PACK = 1800.0
_KEPT_BOOTS = 4
_TRIES, _POLL = 50, 0.2


@dataclass(frozen=True, slots=True)
class QemuSettings:
    """What an operator decides. `accelerator` is `kvm` or `tcg`; for the others see `ContainerSettings`."""

    accelerator: str = "tcg"
    ca_bundle: Path | None = None
    mirror: str = ""
    allow_networks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """What a machine is put together from. `state` is what it resumes; `own_disk` a disk whose content becomes its
    own; `records` says that its running state may be captured; `show` gets it while it comes up."""

    hardware: Hardware
    stack: tuple[Path, ...]
    label: str
    records: bool
    state: State | None = None
    own_disk: Path | None = None
    show: Show = show_nobody


@dataclass(slots=True)
class _Boots:
    """Booted bases: making one is for one task at a time."""

    directory: Path
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)


class QemuBackend(Backend):
    """See the contract. `machines` holds the files of running machines, `booted` what was booted before, `run_dir`
    their sockets."""

    name = "qemu"
    keeps_running = True
    has_screen = True

    def __init__(
        self,
        directory: Path,
        settings: QemuSettings = QemuSettings(),
        run_dir: Path | None = None,
    ) -> None:
        self._machines = directory / "machines"
        self._run_dir = run_dir or home.default_run_dir()
        self._settings = settings
        self._boots = _Boots(directory / "booted")
        self._emulator_version = ""
        # A machine that resumes keeps a processor busy until it has arrived: more at once would all be late.
        self._resuming = asyncio.Semaphore(os.cpu_count() or 1)

    async def findings(self) -> Sequence[Finding]:
        return await findings.find(self._settings.accelerator)

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
        base_bytes = (stack[0] / base_disk.DISK).stat().st_size
        hardware = hardware_of(spec, self._settings.accelerator, await self._version(), base_bytes)
        opening = Opening(hardware, tuple(stack), label, records=not hostname, show=show)
        found = await in_thread(partial(state.find_state, stack[-1], hardware))
        if found is None and len(stack) == 1:
            booted = await self._booted(hardware, stack[0], show)
            begin = state.find_state(booted, hardware)
            opening = replace(opening, state=begin, own_disk=booted / LAYER_DISK)
        elif found is not None:
            opening = replace(opening, state=found)
        async with contextlib.AsyncExitStack() as owning:
            async with self._resuming if opening.state is not None else contextlib.nullcontext():
                machine = await owning.enter_async_context(self._opened(opening))
                machine.resumed = found is not None
                machine.not_resumed = _why_not(await in_thread(partial(self.needs, stack[-1])), hardware)
                with explained(self._machines):
                    await machine.arrive(_new_identity(hostname) if hostname else None)
            yield machine

    async def make_base(self, into: Path, sink: Sink) -> Captured:
        return await base_disk.make_base(into, self._settings.ca_bundle, self._settings.mirror, sink)

    def base_recipe(self) -> str:
        return base_disk.recipe(self._settings.ca_bundle, self._settings.mirror)

    async def pack(self, layer: Path, archive: Path) -> None:
        belongs = state.belongs(layer)
        left_out = () if belongs else (state.MEMORY, state.DEVICES, state.RECORD)
        names = sorted(path.name for path in layer.iterdir() if path.name not in left_out)
        argv = ["tar", "--sparse", "--format=posix", "-I", "zstd -q -1 -T2", "-C", str(layer), "-cf", str(archive)]
        try:
            await run([*argv, *names], timeout=_PACK)
        except CommandError as error:
            raise HostError(f"a layer cannot be packed: {error}") from error
        await in_thread(partial(state.sync, archive))

    async def unpack(self, archive: Path, into: Path) -> Captured:
        argv = ["tar", "--sparse", "--no-same-owner", "-I", "zstd -q", "-C", str(into), "-xf", str(archive)]
        try:
            await run(argv, timeout=_PACK)
        except CommandError as error:
            if lacks_room(error):
                raise HostError(f"{archive.name} cannot be unpacked: {error}") from error
            raise CorruptStoreError(f"{archive.name} is not a layer: {error}") from error
        await in_thread(partial(state.sync_tree, into))
        return await in_thread(partial(_measure, into))

    async def merge(self, layers: Sequence[Path], below: Sequence[Path], into: Path) -> Captured:
        await merge_disks([layer / LAYER_DISK for layer in layers], into / LAYER_DISK)
        await in_thread(partial(state.sync, into / LAYER_DISK))
        return await in_thread(partial(_measure, into))

    def weigh(self, layer: Path) -> int:
        return (layer / LAYER_DISK).stat().st_blocks

    async def recover(self, machine: str, into: Path, *, kept: bool = False) -> Captured | None:
        """Its disks as they were: the file system mends itself when it is booted, and what every start makes anew is
        removed then. Nobody opens it before."""
        disks = await in_thread(partial(home.find_disks, self._machines / machine, kept=kept))
        if not disks:
            return None
        await _wait_released(disks[-1])
        await keep_disks(disks, into / LAYER_DISK)
        return await in_thread(partial(_measure, into))

    def needs(self, layer: Path) -> Mapping[str, Any]:
        return state.read_hardware(layer) if state.belongs(layer) else {}

    def cached_state(self, layer: Path) -> int:
        return 0 if state.belongs(layer) else state.measure(layer)

    def drop_cached_state(self, layer: Path) -> None:
        state.remove(layer)

    async def discard(self, machine: str) -> None:
        await in_thread(partial(home.discard, self._machines / machine))

    async def sweep(self, spared: Collection[str] = ()) -> Sequence[str]:
        return await in_thread(partial(home.sweep, self._machines, spared))

    async def aclose(self) -> None:
        """Nothing runs between machines."""

    # --- opening

    @contextlib.asynccontextmanager
    async def _opened(self, opening: Opening) -> AsyncIterator[QemuMachine]:
        name = secrets.token_hex(6)
        place = Home(name, self._machines / name, self._run_dir / name)
        with contextlib.ExitStack() as owning:
            await in_thread(lambda: owning.enter_context(home.occupied(place, opening.label)))
            places = await self._furnish(place, opening)
            argv = make_argv(opening.hardware, places, resumes=opening.state is not None)
            guarding = guarded(place.sockets, self._settings.allow_networks)
            async with guarding as guard, running([*guard.prefix, *argv], places) as emulator:
                machine = QemuMachine(place, emulator, opening.hardware, guard.carrier, records=opening.records)
                machine.warnings += guard.warnings
                opening.show(machine)
                with explained(place.files):
                    await self._begin(emulator, opening)
                try:
                    if opening.state is None:
                        await machine.run_quickly(["/sbin/resize2fs", "/dev/vda"])  # the disk may be larger than below
                    yield machine
                finally:
                    await machine.close()

    async def _furnish(self, place: Home, opening: Opening) -> Places:
        """The machine's own disk and memory."""
        root, memory = opening.stack[0], place.memory
        if opening.own_disk is not None:
            await in_thread(partial(state.copy_sparsely, opening.own_disk, place.disk))
        else:
            await run(create_disk_argv(place.disk, opening.hardware), timeout=30)
        if opening.state is not None and opening.records:
            await in_thread(partial(state.copy_sparsely, opening.state.memory, place.memory))
        elif opening.state is not None:
            memory = opening.state.memory
        return Places(
            kernel=root / base_disk.KERNEL,
            initramfs=root / base_disk.INITRAMFS,
            disks=[root / base_disk.DISK, *(layer / LAYER_DISK for layer in opening.stack[1:])],
            disk=place.disk,
            memory=memory,
            shares_memory=opening.records,
            sockets=place.sockets,
        )

    async def _begin(self, emulator: Emulator, opening: Opening) -> None:
        """Has the machine run, resumed or booted, until its agent answers."""
        try:
            if opening.state is not None:
                await emulator.restore(opening.state.devices)
                await emulator.go_on()
            else:
                await emulator.agent.wait_for_agent(_BOOT[self._settings.accelerator])
        except MachineLostError as error:
            await emulator.hear_out()
            raise MachineLostError(f"{error}; the machine said last:{emulator.last_words()}") from error

    async def _booted(self, hardware: Hardware, root: Path, show: Show) -> Path:
        """The directory with the base, booted on this hardware: made when it is not there."""
        identity = await in_thread(partial(base_disk.read_identity, root))
        text = json.dumps([hardware.to_json(), identity], sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:24]
        place = self._boots.directory / name
        async with self._boots.locks.setdefault(name, asyncio.Lock()):
            if state.find_state(place, hardware) is None:
                await in_thread(partial(shutil.rmtree, place, ignore_errors=True))
                await self._boot(hardware, root, place, show)
            await in_thread(partial(_keep_newest, self._boots.directory, place))
        return place

    async def _boot(self, hardware: Hardware, root: Path, place: Path, show: Show) -> None:
        """Captured among the machine's own files: a server that is killed leaves nothing half-made behind them."""
        place.parent.mkdir(parents=True, exist_ok=True)
        opening = Opening(hardware, (root,), "booting the base", records=True, show=show)
        async with self._opened(opening) as machine:
            captured = self._machines / machine.id / "booted"
            captured.mkdir()
            await machine.checkpoint(captured, Keep.CACHE)
            captured.rename(place)

    async def _version(self) -> str:
        if not self._emulator_version:
            _, text = await run(["qemu-system-x86_64", "--version"], timeout=20)
            self._emulator_version = text.decode().splitlines()[0].removeprefix("QEMU emulator version ").strip()
        return self._emulator_version


def _why_not(needed: Mapping[str, Any], hardware: Hardware) -> str:
    """Why a state that needs this is not gone on from here; empty where it is."""
    missing = hardware.differences(needed) if needed else []
    if not missing:
        return ""
    told = f"the golden's running state needs {', '.join(missing)}"
    return f"{told}; it was started from its disk, and its services anew; build it here to have it go on"


def _new_identity(hostname: str) -> Identity:
    """A hardware address of the range that nobody owns, always the same for a name."""
    tail = hashlib.sha256(hostname.encode()).hexdigest()[:6]
    address = f"52:54:00:{tail[:2]}:{tail[2:4]}:{tail[4:]}"
    return Identity(hostname, secrets.token_hex(16), address)


async def _wait_released(disk: Path) -> None:
    """Until QEMU, which is killed with its server, has let go of a disk that it wrote to."""
    for _ in range(_TRIES):
        status, said = await run(["qemu-img", "info", "-f", "qcow2", str(disk)], timeout=60, check=False)
        if status == 0:
            return
        await asyncio.sleep(_POLL)
    raise HostError(f"the disk of a machine that has ended cannot be opened: {said.decode(errors='replace').strip()}")


def _keep_newest(directory: Path, used: Path) -> None:
    """Marks a boot as used, and removes those that were not used for longest. A machine that began from one of them has
    what it needs of it."""
    os.utime(used)
    boots = sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime)
    for old in boots[:-_KEPT_BOOTS]:
        shutil.rmtree(old, ignore_errors=True)


def _measure(directory: Path) -> Captured:
    files = [path for path in directory.iterdir() if path.is_file()]
    return Captured(size_bytes=sum(path.stat().st_blocks * 512 for path in files), files=0)
