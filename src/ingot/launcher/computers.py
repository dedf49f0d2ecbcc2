"""All computers of this host: made from goldens, asked to run commands, switched on and off, copied, deleted.

An account sees its own computers and no others. They outlive the server: `aclose` stops them, their rows say which are
to run again, and `resume` brings those up. Test runs end with their server. Layers that a running computer stands on
are held from garbage collection, and `golden_keys` tells which goldens must stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from ingot.computer_records import ComputerRecords
from ingot.errors import IngotError
from ingot.launcher.changes import Changes
from ingot.launcher.fleet import Fleet
from ingot.launcher.hardware import HostHardware, choose_spec, host_hardware
from ingot.launcher.inspecting import read_log, read_services
from ingot.launcher.life import Life
from ingot.launcher.making import clone_of, new_computer, screen_password
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.recovery import take_up
from ingot.launcher.shell import python_command, shell_command
from ingot.launcher.supplies import Reveal, Supplies
from ingot.launcher.tracked import Tracked
from ingot.machine.contract import Backend, Terminal, Viewer
from ingot.records.computer import Computer, ComputerStatus, LaunchWish, ServiceStatus, ShellResult
from ingot.records.item import Item
from ingot.settings import Settings
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore

log = logging.getLogger(__name__)

_GREETING = 2.0


class Computers:
    """Use it as `async with`, or call `aclose`: both end every machine. Changes that take longer than two seconds are
    answered with what the computer is by then, and go on."""

    def __init__(
        self,
        backend: Backend,
        layers: LayerStore,
        goldens: GoldenStore,
        records: ComputerRecords,
        own: OwnLayers,
        reveal: Reveal,
        settings: Settings,
    ) -> None:
        self._backend = backend
        self._records = records
        self._own = own
        self._supplies = Supplies(backend, layers, goldens, reveal, settings.run_idle_timeout)
        self._fleet = Fleet(records)
        self._changes = Changes(backend, self._fleet, records, own, self._supplies)
        self._disk_dir = settings.data_dir

    async def __aenter__(self) -> Computers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def resume(self) -> None:
        """Takes up what the last server knew: computers that are to run start, a few at a time, and deletions are
        finished. Call it once, after `recover_computers`."""
        for computer in await self._records.all():
            tracked = self._fleet.take(computer)
            if computer.vnc_password is None and self._backend.has_screen:
                await tracked.note(vnc_password=screen_password(self._backend))
        await self._tidy(self._own.sweep(self._fleet.layers()))
        for tracked in self._fleet:
            if tracked.computer.status is ComputerStatus.DELETING:
                await self._tidy(self._changes.delete(tracked))
            elif tracked.computer.wanted and tracked.computer.machine is None:
                self._changes.resume(tracked)

    # -- asked for by users --------------------------------------------------------------------------------

    async def launch(self, account: str, item: Item, golden_key: str, wish: LaunchWish) -> Computer:
        """A computer from a golden. Comes back when it runs, failed to start, or after two seconds, whichever is
        first: then its status is `creating` or `starting`.

        Raises ConflictError: the golden is gone, a required secret is missing (`missing_secret`, names it), or more
        hardware is asked for than the host has (`capacity`); NotFoundError for its workspace; CapacityError when too
        many computers run.
        """
        self._fleet.check_room()
        golden = await self._supplies.golden(item.ref, golden_key)
        spec = choose_spec(golden, wish, self._host())
        return await self._settled(await self._changes.add(new_computer(account, item, wish, spec, golden)))

    async def start(self, account: str, computer_id: str) -> Computer:
        """Has it run; one that does is left alone. ConflictError while it changes, as for `launch`, and when what it
        wrote before cannot be had yet (`files_pending`)."""
        tracked = self._fleet.find(account, computer_id)
        if tracked.computer.status is ComputerStatus.RUNNING:
            return tracked.computer
        tracked.check_settled()
        self._fleet.check_room()
        await take_up(tracked, self._backend, self._own)
        tracked = self._fleet.find(account, computer_id)  # another start, or its deletion, may have come first
        tracked.check_settled()
        if tracked.computer.status is ComputerStatus.RUNNING:
            return tracked.computer
        before = tracked.computer
        tracked.set(status=ComputerStatus.STARTING, wanted=True, error=None)
        try:
            start = await self._supplies.gather(tracked.computer)
        except BaseException:
            tracked.set(status=before.status, wanted=before.wanted, error=before.error)
            raise
        await tracked.note()
        self._changes.switch_on(tracked, start)
        return await self._settled(tracked)

    async def stop(self, account: str, computer_id: str) -> Computer:
        """Ends its machine and keeps its files; one that is stopped is left alone. ConflictError while it changes, for
        a test run, and when its files cannot be kept: it then runs on."""
        tracked = self._fleet.find(account, computer_id)
        if tracked.computer.status is ComputerStatus.STOPPED:
            return tracked.computer
        tracked.check_settled()
        tracked.refuse_run("stopped")
        if tracked.computer.status is ComputerStatus.ERROR:
            await tracked.note(status=ComputerStatus.STOPPED)
            return tracked.computer
        await self._greet(self._changes.stop(tracked))
        return tracked.computer

    async def restart(self, account: str, computer_id: str) -> Computer:
        """Stops and starts it; one that is stopped is started. Raises what `stop` and `start` do."""
        tracked = self._fleet.find(account, computer_id)
        if tracked.computer.status is not ComputerStatus.RUNNING:
            return await self.start(account, computer_id)
        tracked.refuse_run("restarted")
        await self._greet(self._changes.restart(tracked))
        return tracked.computer

    async def clone(self, account: str, computer_id: str, name: str = "", workspace: str | None = None) -> Computer:
        """Another computer with the files that this one has now, which is not disturbed: it has a name, an id and
        identities of its own, and is started. Raises what `launch` does, and ConflictError when it cannot be copied."""
        source = self._fleet.find(account, computer_id)
        source.check_settled()
        self._fleet.check_room()
        await self._supplies.golden(source.computer.ref, source.computer.golden_key)
        source.check_settled()
        if source.computer.status is not ComputerStatus.RUNNING:
            await take_up(source, self._backend, self._own)
        source.check_settled()  # as it is now
        copy = clone_of(source.computer, name, workspace)
        return await self._settled(await self._changes.add(copy, source))

    async def delete(self, account: str, computer_id: str) -> None:
        """Ends it, whatever it does. When this returns nothing of it is left."""
        await asyncio.shield(self._changes.delete(self._fleet.find(account, computer_id)))

    async def get(self, account: str, computer_id: str) -> Computer:
        return self._fleet.find(account, computer_id).computer

    async def list(self, account: str) -> Sequence[Computer]:
        """Oldest first, test runs as well."""
        return self._fleet.of(account)

    async def bash(self, account: str, computer_id: str, command: str, timeout: float) -> ShellResult:
        """Runs a line in bash, as root. ConflictError when the computer does not run."""
        life = self._life(account, computer_id)
        return await life.use.run(shell_command(command, timeout, life.use.env))

    async def python(self, account: str, computer_id: str, code: str, timeout: float) -> ShellResult:
        """Runs Python code, as root. ConflictError when the computer does not run."""
        life = self._life(account, computer_id)
        return await life.use.run(python_command(code, timeout, life.use.env))

    async def screenshot(self, account: str, computer_id: str) -> bytes:
        """A PNG. ConflictError when the computer does not run or has no screen (`no_screen`)."""
        return await self._life(account, computer_id).use.screenshot()

    def view(self, account: str, computer_id: str) -> AbstractAsyncContextManager[Viewer]:
        """A connection to its screen. The same, and CapacityError when many are open."""
        return self._life(account, computer_id).use.viewing()

    def terminal(self, account: str, computer_id: str, cols: int, rows: int) -> AbstractAsyncContextManager[Terminal]:
        """A login shell of root on a terminal. ConflictError when the computer does not run, CapacityError when it has
        many already."""
        return self._life(account, computer_id).use.terminal(cols, rows)

    async def services(self, account: str, computer_id: str) -> Sequence[ServiceStatus]:
        """What its supervisor runs. ConflictError when the computer does not run."""
        life = self._life(account, computer_id)
        return await read_services(life.use.look, life.template)

    async def service_log(self, account: str, computer_id: str, service: str, lines: int) -> str:
        """The last lines of a service's log. The same, and NotFoundError for a service that it does not have."""
        life = self._life(account, computer_id)
        return await read_log(life.use.look, life.template, service, lines)

    # -- asked for by the server ---------------------------------------------------------------------------

    def counts(self) -> Mapping[ComputerStatus, int]:
        """Of all accounts, test runs as well."""
        return self._fleet.counts()

    def golden_keys(self) -> frozenset[str]:
        """The goldens that computers stand on, also those that are stopped."""
        return self._fleet.golden_keys()

    async def aclose(self) -> None:
        """Stops what runs and has it started again by the next server. Test runs, and what is only starting, end."""
        await self._changes.close()

    # -- how it is done ------------------------------------------------------------------------------------

    async def _tidy(self, work: Awaitable[None]) -> None:
        """What cannot be removed is no reason for the others not to start."""
        try:
            await work
        except (IngotError, OSError):
            log.exception("what a computer left cannot be removed", extra={"action": "computer_remains"})

    async def _greet(self, task: asyncio.Task[None]) -> None:
        """Waits a moment; raises what the work raised."""
        done, _ = await asyncio.wait([task], timeout=_GREETING)
        for ended in done:
            if not ended.cancelled():
                ended.result()

    async def _settled(self, tracked: Tracked) -> Computer:
        """Waits a moment for one that was just switched on."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GREETING):
                await tracked.alive().settled.wait()
        return tracked.computer

    def _host(self) -> HostHardware:
        return host_hardware(self._disk_dir)

    def _life(self, account: str, computer_id: str) -> Life:
        return self._fleet.find(account, computer_id).alive()
