"""The one machine a build has at a time, opened when a step needs it and on the layers it needs.

A task of its own holds the machine's context, so that the machine can be ended beside the closing phases. Leaving
the seat ends the machine, whatever happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from types import TracebackType

from ingot.builder.request import BuildTools
from ingot.errors import IngotError, MachineLostError
from ingot.machine.contract import Machine
from ingot.records.machine import MachineSpec

_KEEP_DEADLINE = 30.0
_log = logging.getLogger(__name__)


class Seat:
    """`async with Seat(...)`; `at` gives the machine, `advance` follows a checkpoint, `vacate` ends the machine in
    the background. `opened` counts how often a machine was made."""

    def __init__(self, tools: BuildTools, account: str, spec: MachineSpec, label: str) -> None:
        self._tools = tools
        self._account = account
        self._spec = spec
        self._label = label
        self._stack: tuple[str, ...] = ()
        self._machine: Machine | None = None
        self._coming: Machine | None = None
        self._leave = asyncio.Event()
        self._keep = True
        self._holder: asyncio.Task[None] | None = None
        self.lists_updated = False
        self.opened = 0

    async def __aenter__(self) -> Seat:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """A cancelled build does not wait for its downloads to be kept."""
        self._keep = self._keep and not isinstance(error, asyncio.CancelledError)
        self._leave.set()
        if self._holder is not None:
            await self._ended(self._holder)

    async def at(self, stack: Sequence[str]) -> Machine:
        """The machine standing on the layers `stack` (keys, base first); another one is ended first."""
        if self._machine is not None and self._stack == tuple(stack):
            return self._machine
        await self.vacate()
        for key in stack:
            await self._tools.layers.ensure_local(key)
        opened: asyncio.Future[Machine] = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        self._holder = asyncio.create_task(self._hold(tuple(stack), opened), name=f"machine of {self._label}")
        await asyncio.wait((opened, self._holder), return_when=asyncio.FIRST_COMPLETED)
        if not opened.done():
            holder, self._holder = self._holder, None
            holder.result()
            raise MachineLostError("the machine ended while it was opened")
        self._machine, self._stack = opened.result(), tuple(stack)
        self.opened += 1
        return self._machine

    @property
    def machine(self) -> Machine | None:
        """The machine that is open now."""
        ended = self._holder is None or self._holder.done()
        return None if ended else self._machine

    @property
    def shown(self) -> Machine | None:
        """The machine whose screen is worth a look: the same, or one that only comes up. Its screen alone is for whom
        the build does not know."""
        return self.machine or self._coming

    def forget_downloads(self) -> None:
        """What the machine downloaded is not kept when it ends."""
        self._keep = False

    def advance(self, key: str) -> None:
        """The machine was checkpointed, and what it captured is the layer `key` now."""
        self._stack = (*self._stack, key)

    def leave(self) -> None:
        """No more commands come: the machine ends in the background."""
        self._machine = None
        self._leave.set()

    async def vacate(self) -> None:
        """Ends the machine, if there is one, and waits until nothing of it is left."""
        self.leave()
        holder, self._holder = self._holder, None
        if holder is not None:
            await self._ended(holder)

    async def _ended(self, holder: asyncio.Task[None]) -> None:
        """What goes wrong while a machine is removed is for the operator, and the next start sweeps what is left:
        the build it served has its result already."""
        try:
            await asyncio.shield(holder)
        except (IngotError, OSError):
            _log.exception("the %s could not be removed", self._label, extra={"action": "machine"})

    async def _hold(self, stack: tuple[str, ...], opened: asyncio.Future[Machine]) -> None:
        downloads = self._tools.downloads
        parts = [self._tools.layers.parts(key) for key in stack]
        mounts = downloads.mounts(self._account)
        leave = self._leave
        try:
            async with self._tools.backend.open(self._spec, parts, mounts, self._label, show=self._show) as machine:
                opened.set_result(machine)
                await leave.wait()
                self._coming = None
                if self._keep:
                    await self._keep_downloads(machine)
        finally:
            self._coming = None

    def _show(self, machine: Machine) -> None:
        self._coming = machine

    async def _keep_downloads(self, machine: Machine) -> None:
        """A download cache is never worth a failed build."""
        downloads = self._tools.downloads
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(_KEEP_DEADLINE):
                await downloads.keep(self._account, machine.downloaded())
            if self.lists_updated:
                downloads.lists_updated(self._account)
