"""What "build this" and "stop building this" mean, before any worker has a hand in it.

A build whose content has a golden already is over at once, with a short log of its own. Everything else is an
attempt in the queue; its log begins here, so that whoever asked can watch right away.
"""

from __future__ import annotations

import asyncio
import logging
import time

from ingot.announce import accepted_line, quiet_reporter, tell_waiting
from ingot.errors import StaleEpochError
from ingot.events.log import EventLogs
from ingot.queue.builds import BuildQueue
from ingot.records.build import CANCELLED_ON_REQUEST, Build, BuildFlags, BuildState
from ingot.records.event import Phase, Result
from ingot.records.item import Item
from ingot.records.ref import Ref
from ingot.registry import Registry
from ingot.store.goldens import GoldenStore
from ingot.template import load_canonical

log = logging.getLogger(__name__)


class Dispatch:
    """Safe to call from any task."""

    def __init__(self, registry: Registry, queue: BuildQueue, logs: EventLogs, goldens: GoldenStore) -> None:
        self._registry = registry
        self._queue = queue
        self._logs = logs
        self._goldens = goldens
        self._takeovers: dict[str, asyncio.Task[Build]] = {}

    async def start(self, account: str, ref: Ref, flags: BuildFlags) -> Build:
        """The attempt that builds what is published as `ref`: a new one, the one under way, or, READY and `reused`,
        the one that stands for a golden that is there. Raises NotFoundError, CapacityError."""
        item = await self._registry.get(account, ref)
        private = bool(load_canonical(item.document).build.secrets)
        golden = await self._known_golden(account, item, private) if flags.takes_golden else None
        build = await self._queue.enqueue(account, ref, item.digest, flags, golden, private=private)
        if build.state is BuildState.RUNNING and build.reused and build.golden_key is not None:
            return await self._take_over(build, build.golden_key)
        if build.state in (BuildState.QUEUED, BuildState.JOINED):
            log = await self._logs.awaited(build.id)
            if log.next_seq == 0:
                await tell_waiting(self._logs, build, await self._queue.position(build.id))
        return build

    async def cancel(self, account: str, ref: Ref) -> bool:
        """Asks the worker to end what builds as `ref`; False when nothing does. Raises NotFoundError."""
        await self._registry.get(account, ref)
        return await self._queue.request_cancel(account, ref) is not None

    async def _known_golden(self, account: str, item: Item, private: bool) -> str | None:
        """A golden of this content that is complete in the store. One that got lost is forgotten."""
        key = await self._queue.golden_of(item.digest, account, item.ref, private=private)
        if key is None or await self._goldens.get(key) is not None:
            return key
        await self._queue.release_goldens([key], missing=True)
        return None

    async def _take_over(self, build: Build, golden_key: str) -> Build:
        """Two callers may find the same attempt; one of them writes its log."""
        task = self._takeovers.get(build.id)
        if task is None:
            task = asyncio.create_task(self.take_over(build, golden_key))
            self._takeovers[build.id] = task
            task.add_done_callback(lambda _: self._takeovers.pop(build.id, None))
        return await asyncio.shield(task)

    async def take_over(self, build: Build, golden_key: str) -> Build:
        """Writes the short log of an attempt that stands for a golden that is there, and ends it: READY, unless a
        cancel came first. The caller holds the attempt's epoch. Returns the attempt as it is then."""
        golden = await self._goldens.get(golden_key)
        manifest = golden.manifest if golden is not None else None
        writer = await self._logs.open_writer(build.id, build.attempt, build.epoch)
        try:
            reporter = quiet_reporter(writer, build)
            if writer.next_seq == 0:
                await reporter.say(accepted_line(build))
            await reporter.enter(Phase.COMPILE)
            await reporter.say(f"the same content was built before: reusing golden snapshot {golden_key[:12]}")
            cancelled = await self._queue.seal(build.id, build.epoch, golden_key=golden_key, manifest=manifest)
            failure = CANCELLED_ON_REQUEST if cancelled else None

            async def commit() -> None:
                await self._queue.finish(
                    build.id,
                    build.epoch,
                    BuildState.FAILED if cancelled else BuildState.READY,
                    failure=failure,
                    golden_key=None if cancelled else golden_key,
                    manifest=None if cancelled else manifest,
                    reused=True,
                )

            duration_ms = max(0, int(time.time() * 1000) - build.queued_ms)
            await reporter.finish(Result.CANCELLED if cancelled else Result.READY, duration_ms, failure, commit)
        except StaleEpochError:
            log.info("%s was taken over by another writer", build.ref, extra={"action": "take-over"})
        finally:
            await writer.aclose()
        return await self._queue.get(build.id) or build
