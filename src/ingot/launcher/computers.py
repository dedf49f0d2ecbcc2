"""All computers of this host: made from goldens, asked to run commands, switched on and off, copied, deleted.

An account sees its own computers and no others. They outlive the server: `aclose` stops them, their rows say which are
to run again, and `resume` brings those up. Test runs end with their server. Layers that a running computer stands on
are held from garbage collection, and `golden_keys` tells which goldens must stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

from ingot.computer_records import ComputerRecords
from ingot.errors import CapacityError, ConflictError, IngotError, NotFoundError
from ingot.launcher.hardware import HostHardware, choose_spec, host_hardware
from ingot.launcher.inspecting import read_log, read_services
from ingot.launcher.life import Ending, Life
from ingot.launcher.making import clone_of, new_computer, screen_password
from ingot.launcher.merging import Merging
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.recovery import take_up
from ingot.launcher.shell import python_command, shell_command
from ingot.launcher.supplies import Reveal, Start, Supplies
from ingot.launcher.tracked import Tracked, words_of
from ingot.machine.contract import Backend, Terminal, Viewer
from ingot.records.computer import Computer, ComputerStatus, LaunchWish, ServiceStatus, ShellResult
from ingot.records.item import Item
from ingot.settings import Settings
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore

log = logging.getLogger(__name__)

MOST_COMPUTERS = 64
_GREETING = 2.0
_COPYING = 300.0
_CLOSING = 900.0
_REMEMBERED = 3600.0
_RESUMED_AT_ONCE = 4


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
        self._merging = Merging(backend, own, self._needed)
        self._supplies = Supplies(backend, layers, goldens, reveal, settings.run_idle_timeout)
        self._disk_dir = settings.data_dir
        self._entries: dict[str, Tracked] = {}
        self._resuming = asyncio.Semaphore(_RESUMED_AT_ONCE)
        self._closing = False

    async def __aenter__(self) -> Computers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def resume(self) -> None:
        """Takes up what the last server knew: computers that are to run start, a few at a time, and deletions are
        finished. Call it once, after `recover_computers`."""
        for computer in await self._records.all():
            self._entries[computer.id] = tracked = Tracked(computer, self._records)
            if computer.vnc_password is None and self._backend.has_screen:
                await tracked.note(vnc_password=screen_password(self._backend))
        await self._tidy(self._own.sweep(self._needed()))
        for tracked in list(self._entries.values()):
            if tracked.computer.status is ComputerStatus.DELETING:
                await self._tidy(self._delete(tracked))
            elif tracked.computer.wanted and tracked.computer.machine is None:
                tracked.set(status=ComputerStatus.STARTING)
                self._work(tracked, self._resume(tracked))

    # -- asked for by users --------------------------------------------------------------------------------

    async def launch(self, account: str, item: Item, golden_key: str, wish: LaunchWish) -> Computer:
        """A computer from a golden. Comes back when it runs, failed to start, or after two seconds, whichever is
        first: then its status is `creating` or `starting`.

        Raises ConflictError: the golden is gone, a required secret is missing (`missing_secret`, names it), or more
        hardware is asked for than the host has (`capacity`); NotFoundError for its workspace; CapacityError when too
        many computers run.
        """
        self._check_room()
        golden = await self._supplies.golden(item.ref, golden_key)
        spec = choose_spec(golden, wish, self._host())
        return await self._add(new_computer(account, item, wish, spec, golden))

    async def start(self, account: str, computer_id: str) -> Computer:
        """Has it run; one that does is left alone. ConflictError while it changes, as for `launch`, and when what it
        wrote before cannot be had yet (`files_pending`)."""
        tracked = self._find(account, computer_id)
        if tracked.computer.status is ComputerStatus.RUNNING:
            return tracked.computer
        tracked.check_settled()
        self._check_room()
        await take_up(tracked, self._backend, self._own)
        tracked = self._find(account, computer_id)  # another start, or its deletion, may have come first
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
        await self._settled(self._switch_on(tracked, start))
        return tracked.computer

    async def stop(self, account: str, computer_id: str) -> Computer:
        """Ends its machine and keeps its files; one that is stopped is left alone. ConflictError while it changes, for
        a test run, and when its files cannot be kept: it then runs on."""
        tracked = self._find(account, computer_id)
        if tracked.computer.status is ComputerStatus.STOPPED:
            return tracked.computer
        tracked.check_settled()
        tracked.refuse_run("stopped")
        if tracked.computer.status is ComputerStatus.ERROR:
            await tracked.note(status=ComputerStatus.STOPPED)
            return tracked.computer
        tracked.set(status=ComputerStatus.STOPPING, wanted=False, error=None)
        await self._greet(self._work(tracked, self._stop(tracked)))
        return tracked.computer

    async def restart(self, account: str, computer_id: str) -> Computer:
        """Stops and starts it; one that is stopped is started. Raises what `stop` and `start` do."""
        tracked = self._find(account, computer_id)
        if tracked.computer.status is not ComputerStatus.RUNNING:
            return await self.start(account, computer_id)
        tracked.refuse_run("restarted")
        tracked.set(status=ComputerStatus.RESTARTING, error=None)
        await self._greet(self._work(tracked, self._restart(tracked)))
        return tracked.computer

    async def clone(self, account: str, computer_id: str, name: str = "", workspace: str | None = None) -> Computer:
        """Another computer with the files that this one has now, which is not disturbed: it has a name, an id and
        identities of its own, and is started. Raises what `launch` does, and ConflictError when it cannot be copied."""
        source = self._find(account, computer_id)
        source.check_settled()
        self._check_room()
        await self._supplies.golden(source.computer.ref, source.computer.golden_key)
        source.check_settled()
        if source.computer.status is not ComputerStatus.RUNNING:
            await take_up(source, self._backend, self._own)
        source.check_settled()  # as it is now
        computer = clone_of(source.computer, name, workspace)
        return await self._add(computer, source)

    async def delete(self, account: str, computer_id: str) -> None:
        """Ends it, whatever it does. When this returns nothing of it is left."""
        tracked = self._find(account, computer_id)
        if tracked.deleting is None or tracked.deleting.done():
            tracked.deleting = asyncio.create_task(self._delete(tracked))
        await asyncio.shield(tracked.deleting)

    async def get(self, account: str, computer_id: str) -> Computer:
        return self._find(account, computer_id).computer

    async def list(self, account: str) -> Sequence[Computer]:
        """Oldest first, test runs as well."""
        self._forget_old()
        mine = [tracked.computer for tracked in self._entries.values() if tracked.computer.account == account]
        return sorted(mine, key=lambda computer: computer.created_ms)

    def counts(self) -> Mapping[ComputerStatus, int]:
        """Of all accounts, test runs as well."""
        self._forget_old()
        return Counter(tracked.computer.status for tracked in self._entries.values())

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

    def golden_keys(self) -> frozenset[str]:
        """The goldens that computers stand on, also those that are stopped."""
        kept = [tracked for tracked in self._entries.values() if tracked.is_on or not tracked.computer.test_run]
        return frozenset(tracked.computer.golden_key for tracked in kept)

    async def aclose(self) -> None:
        """Stops what runs and has it started again by the next server. Test runs, and what is only starting, end."""
        self._closing = True
        for tracked in self._entries.values():
            if tracked.work is not None and tracked.computer.status is not ComputerStatus.STOPPING:
                tracked.work.cancel()
        endings = [asyncio.create_task(self._close(tracked)) for tracked in self._entries.values() if tracked.is_on]
        if endings:
            _, late = await asyncio.wait(endings, timeout=_CLOSING)
            lives = [tracked.life for tracked in self._entries.values() if tracked.life is not None]
            for task in (*late, *(life.task for life in lives)):
                task.cancel()
            await asyncio.gather(*endings, *(life.task for life in lives), return_exceptions=True)

    async def _close(self, tracked: Tracked) -> None:
        life = tracked.life
        if tracked.work is not None:
            await asyncio.wait([tracked.work])
        while life is not None and not life.task.done():
            if tracked.computer.test_run or not life.settled.is_set():
                life.task.cancel()
                await asyncio.wait([life.task])
            else:  # again, where a stop that was under way could not keep the files and it runs on
                await life.end(Ending.CLOSE)

    # -- how it is done ------------------------------------------------------------------------------------

    async def _add(self, computer: Computer, source: Tracked | None = None) -> Computer:
        """A new computer, its files a copy of those of `source`. While it is made it shows, and holds the layers it
        stands on; when that fails nothing of it is left."""
        computer = replace(computer, vnc_password=screen_password(self._backend))
        tracked = self._entries[computer.id] = Tracked(computer, self._records)
        try:
            if source is not None and source.computer.status is ComputerStatus.RUNNING:
                await self._copy(source, tracked)
            start = await self._supplies.gather(tracked.computer)
            with contextlib.ExitStack() as undoing:
                undoing.callback(start.holding.close)
                self._refuse_late(tracked)
                if not computer.test_run:
                    await self._records.add(tracked.computer)
                life = self._switch_on(tracked, start)
                undoing.pop_all()
        except BaseException:
            self._entries.pop(computer.id, None)
            await asyncio.shield(self._own.remove_those_of(computer.id, self._needed()))
            raise
        await self._settled(life)
        return tracked.computer

    async def _copy(self, source: Tracked, clone: Tracked) -> None:
        assert source.life is not None
        async with self._own.making(clone.computer.id) as new:
            try:
                async with asyncio.timeout(_COPYING):
                    await source.life.use.copy(new.place)
            except (TimeoutError, IngotError, OSError) as error:
                why = str(error) or f"it takes longer than {_COPYING:g} s"
                raise ConflictError(f"the computer cannot be copied: {why}", code="copy_failed") from error
            clone.set(layers=(*clone.computer.layers, await self._own.keep(new)))

    def _switch_on(self, tracked: Tracked, start: Start) -> Life:
        try:
            self._refuse_late(tracked)
        except ConflictError:
            start.holding.close()
            raise
        tracked.life = life = Life(tracked, start, self._backend, self._own, self._merging)
        life.task.add_done_callback(lambda _: self._ended(tracked, start.holding))
        return life

    def _refuse_late(self, tracked: Tracked) -> None:
        if tracked.computer.status is ComputerStatus.DELETING:
            raise ConflictError("the computer was deleted meanwhile", code="not_running")
        if self._closing:
            raise ConflictError("the server ends", hint="try again when it is back", code="not_running")

    async def _stop(self, tracked: Tracked) -> None:
        await tracked.note()
        assert tracked.life is not None
        if not await tracked.life.end(Ending.STOP):
            raise ConflictError(tracked.computer.error or "it cannot be stopped", code="stop_failed")
        if tracked.computer.status is ComputerStatus.RESTARTING:  # a reboot from inside had come first
            await tracked.note(status=ComputerStatus.STOPPED, wanted=False)

    async def _restart(self, tracked: Tracked) -> None:
        await tracked.note()
        assert tracked.life is not None
        if not await tracked.life.end(Ending.RESTART):
            raise ConflictError(tracked.computer.error or "it cannot be stopped", code="stop_failed")
        if tracked.computer.status is ComputerStatus.RESTARTING:
            await self._bring_up(tracked)

    async def _resume(self, tracked: Tracked) -> None:
        async with self._resuming:
            await self._bring_up(tracked)

    async def _tidy(self, work: Coroutine[Any, Any, None]) -> None:
        """What cannot be removed is no reason for the others not to start."""
        try:
            await work
        except (IngotError, OSError):
            log.exception("what a computer left cannot be removed", extra={"action": "computer_remains"})

    async def _bring_up(self, tracked: Tracked) -> None:
        try:
            start = await self._supplies.gather(tracked.computer)
        except Exception as error:
            log.warning("a computer cannot be started", exc_info=error, extra={"computer": tracked.computer.id})
            await tracked.note(status=ComputerStatus.ERROR, wanted=False, error=words_of(error))
            return
        await self._switch_on(tracked, start).settled.wait()

    async def _delete(self, tracked: Tracked) -> None:
        computer = tracked.computer
        tracked.set(status=ComputerStatus.DELETING, wanted=False)
        await tracked.save()
        if tracked.work is not None:
            tracked.work.cancel()
        if tracked.life is not None:
            await tracked.life.drop()
        if tracked.computer.machine is not None:
            await self._backend.discard(tracked.computer.machine)
        self._entries.pop(computer.id, None)
        await self._own.remove(tracked.computer.layers, self._needed())
        await self._own.remove_those_of(computer.id, self._needed())
        if not computer.test_run:
            await self._records.remove(computer.id)

    def _needed(self) -> frozenset[str]:
        return frozenset(name for tracked in self._entries.values() for name in tracked.computer.layers)

    def _work(self, tracked: Tracked, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Goes on when its request has been answered. What it raises then is in the computer's `error` already."""
        tracked.work = task = asyncio.create_task(work, name=f"work on {tracked.computer.instance_id}")
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _greet(self, task: asyncio.Task[None]) -> None:
        """Waits a moment; raises what the work raised."""
        done, _ = await asyncio.wait([task], timeout=_GREETING)
        for ended in done:
            if not ended.cancelled():
                ended.result()

    async def _settled(self, life: Life) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GREETING):
                await life.settled.wait()

    def _check_room(self) -> None:
        self._forget_old()
        if sum(tracked.is_on for tracked in self._entries.values()) >= MOST_COMPUTERS:
            raise CapacityError(f"this host runs {MOST_COMPUTERS} computers already", retry_after=60)

    def _host(self) -> HostHardware:
        return host_hardware(self._disk_dir)

    def _life(self, account: str, computer_id: str) -> Life:
        return self._find(account, computer_id).alive()

    def _find(self, account: str, computer_id: str) -> Tracked:
        """By id or by instance id; another account's is not there."""
        for tracked in self._entries.values():
            computer = tracked.computer
            if computer.account == account and computer_id in (computer.id, computer.instance_id):
                return tracked
        raise NotFoundError(f"there is no computer {computer_id}", hint="a test run ends after idle minutes")

    def _ended(self, tracked: Tracked, holding: contextlib.ExitStack) -> None:
        """A test run that ended is gone; one that failed can be looked at for an hour. A computer that was rebooted
        from inside starts again."""
        holding.close()
        at_work = tracked.work is not None and not tracked.work.done()
        if tracked.computer.status is ComputerStatus.RESTARTING and not at_work and not self._closing:
            self._work(tracked, self._bring_up(tracked))
        if tracked.computer.test_run:
            tracked.over_since = time.monotonic()
            if tracked.computer.status is ComputerStatus.STOPPED:
                self._entries.pop(tracked.computer.id, None)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for key, tracked in list(self._entries.items()):
            if tracked.over_since is not None and now - tracked.over_since > _REMEMBERED:
                del self._entries[key]
