"""Opens container machines, makes their base image, and clears the host of what killed servers left.

The order of making and removing a machine is decided here; each part knows only itself. It promises that
leaving `open` leaves nothing on the host, however it is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import platform
import secrets
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from ingot.errors import HostError, SettingsError
from ingot.machine import base_image
from ingot.machine.container import archive, recovery, teardown
from ingot.machine.container.bundle import CAPABILITIES
from ingot.machine.container.cgroups import ControlGroup, Hierarchies, find_hierarchies
from ingot.machine.container.findings import find
from ingot.machine.container.ids import Home
from ingot.machine.container.machine import ContainerMachine, Parts
from ingot.machine.container.merging import count_entries, merge_trees
from ingot.machine.container.network import carried, make_namespaces
from ingot.machine.container.overlay import LAYER_TREE
from ingot.machine.container.seccomp import convert_profile, load_profile
from ingot.machine.container.shift import shift_tree
from ingot.machine.contract import Backend, Captured, DownloadMount, Finding, Machine, Show, show_nobody
from ingot.machine.threads import in_stoppable_thread, in_thread, uninterrupted
from ingot.process import Sink
from ingot.records.machine import MachineSpec


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """What an operator decides. `ca_bundle`: certificates that machines trust besides the distribution's own;
    `allow_networks`: CIDRs that machines may reach although the rules reject them; `mirror`: where the base
    image's packages come from, empty for the distribution's default."""

    ca_bundle: Path | None = None
    allow_networks: tuple[str, ...] = ()
    mirror: str = ""


class ContainerBackend(Backend):
    """See the contract. `run_dir` holds mounts and runtime files, `disk_dir` the machines' disk images."""

    name = "container"

    def __init__(
        self, disk_dir: Path, settings: ContainerSettings = ContainerSettings(), run_dir: Path = Path("/run/ingot")
    ) -> None:
        self._run_dir, self._disk_dir, self._settings = run_dir, disk_dir, settings
        for network in settings.allow_networks:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError as error:
                why = f"allow_networks: {network!r} is not a network"
                raise SettingsError(why, hint="write it as CIDR, such as 192.168.7.0/24") from error

    async def findings(self) -> Sequence[Finding]:
        return await find(self._run_dir, self._hierarchies)

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
        parts = await in_thread(partial(self._parts, spec, tuple(stack), tuple(downloads), label, hostname))
        home, machine = parts.home, ContainerMachine(parts)
        async with contextlib.AsyncExitStack() as ending:

            def claim() -> None:  # what ends it is there as soon as it is: one that is cancelled now gets no result
                ending.callback(os.close, teardown.claim(home, label))
                ending.push_async_callback(lambda: uninterrupted(_remove(parts, spares_image=machine.abandoned)))

            await in_thread(claim)
            namespaces = await uninterrupted(self._make(machine, home))
            carrier = await ending.enter_async_context(carried(namespaces, home.run / "slirp4netns.log"))
            ending.push_async_callback(lambda: uninterrupted(machine.end()))
            await machine.connect(namespaces, carrier)
            yield machine

    async def make_base(self, into: Path, sink: Sink) -> Captured:
        tree = into / LAYER_TREE
        await base_image.make_tree(tree, self._settings.ca_bundle, self._settings.mirror, sink)
        return await in_stoppable_thread(lambda stop: shift_tree(tree, stop))

    def base_recipe(self) -> str:
        return base_image.recipe(self._settings.ca_bundle, self._settings.mirror)

    async def pack(self, layer: Path, archive_file: Path) -> None:
        await in_stoppable_thread(lambda stop: archive.pack(layer / LAYER_TREE, archive_file, stop))

    async def unpack(self, archive_file: Path, into: Path) -> Captured:
        return await in_stoppable_thread(lambda stop: archive.unpack(archive_file, into / LAYER_TREE, stop))

    async def merge(self, layers: Sequence[Path], below: Sequence[Path], into: Path) -> Captured:
        trees, further = ([layer / LAYER_TREE for layer in stack] for stack in (layers, below))
        return await in_stoppable_thread(lambda stop: merge_trees(trees, further, into / LAYER_TREE, stop))

    def weigh(self, layer: Path) -> int:
        return count_entries(layer / LAYER_TREE)

    async def recover(self, machine: str, into: Path, *, kept: bool = False) -> Captured | None:
        return await recovery.recover(machine, into, self._run_dir, self._disk_dir, self._hierarchies, kept=kept)

    async def discard(self, machine: str) -> None:
        await uninterrupted(teardown.discard(machine, self._run_dir, self._disk_dir, self._hierarchies))

    async def sweep(self, spared: Collection[str] = ()) -> Sequence[str]:
        return await uninterrupted(teardown.sweep(self._run_dir, self._disk_dir, self._hierarchies, spared))

    async def aclose(self) -> None:
        """Nothing runs between machines."""

    async def _make(self, machine: ContainerMachine, home: Home) -> dict[str, Path]:
        """Disk and namespaces at the same time; both are waited for even when one fails."""
        namespaces, mounted = await asyncio.gather(
            make_namespaces(home.namespaces, self._settings.allow_networks), machine.mount(), return_exceptions=True
        )
        for result in (mounted, namespaces):
            if isinstance(result, OSError):
                raise HostError(f"a machine cannot be made: {result}", hint="run `ingot doctor`") from result
            if isinstance(result, BaseException):
                raise result
        assert isinstance(namespaces, dict)
        return namespaces

    def _parts(
        self,
        spec: MachineSpec,
        stack: tuple[Path, ...],
        downloads: tuple[DownloadMount, ...],
        label: str,
        hostname: str,
    ) -> Parts:
        name = secrets.token_hex(6)
        return Parts(
            home=Home(name, self._run_dir / name, self._disk_dir / f"{name}.img"),
            spec=spec,
            stack=stack,
            downloads=downloads,
            group=ControlGroup(name, self._hierarchies),
            seccomp=self._seccomp,
            label=f"ingot {label}".strip(),
            hostname=hostname,
        )

    @cached_property
    def _hierarchies(self) -> Hierarchies:
        return find_hierarchies()

    @cached_property
    def _seccomp(self) -> Mapping[str, Any]:
        try:
            return convert_profile(load_profile(), platform.machine(), CAPABILITIES)
        except (OSError, ValueError, KeyError) as error:
            why = f"the default seccomp profile cannot be read: {error}"
            raise HostError(why, hint="apt-get install golang-github-containers-common") from error


async def _remove(parts: Parts, *, spares_image: bool) -> None:
    await in_thread(partial(teardown.remove_remains, parts.home, parts.group, spares_image=spares_image))
