"""The queue of builds and the history of attempts.

An attempt is written by whoever holds its epoch: `claim`, `reclaim` and a reuse at `enqueue` hand one out, and
every later change names it; a stale one changes nothing and raises StaleEpochError. The queue ends no build by
itself: cancels, expiries and joined builds are listed here and ended by the worker. It starts nothing and knows
neither logs nor machines. Each method is one transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from ingot.errors import ConflictError, NotFoundError
from ingot.queue import attempts, ends, lists
from ingot.records.build import Build, BuildFlags, BuildState, BuildStatus, Failure, Standing, StepRecord
from ingot.records.event import Phase
from ingot.records.ref import Ref
from ingot.storage.clock import Clock, now_ms
from ingot.storage.database import Database

__all__ = ["BuildQueue", "QueueLimits"]


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """`builds` run at once, `account_builds` of them for one account; `waiting` may wait (queued or joined),
    `account_waiting` of them for one account, each at most `wait_seconds`."""

    builds: int = 2
    account_builds: int = 2
    waiting: int = 100
    account_waiting: int = 20
    wait_seconds: float = 3600


class BuildQueue:
    """Safe to call from any task. `changes` grows with everything that could make `claim`, `cancels`, `expired` or
    `position` answer differently; wait for more with `wait_change`."""

    def __init__(self, db: Database, limits: QueueLimits, clock: Clock = now_ms) -> None:
        self._db = db
        self._limits = limits
        self._clock = clock
        self._changed = asyncio.Event()
        self.changes = 0

    # -- asking for a build ------------------------------------------------------------------------------

    async def enqueue(
        self,
        account: str,
        ref: Ref,
        digest: str,
        flags: BuildFlags = BuildFlags(),  # noqa: B008 - a frozen value
        ready_golden: str | None = None,
        *,
        private: bool = False,
    ) -> Build:
        """Asks for a build of `digest` as `ref`; the answer's state says what became of it:

        - RUNNING, QUEUED or JOINED from before: an attempt of this ref and content is under way already.
        - READY, `reused`: the ref's last attempt left `ready_golden`; no new attempt is made.
        - RUNNING, `reused`, `golden_key` set, epoch 1: a new attempt that takes over `ready_golden` from another
          ref, account or earlier attempt. It never waits and counts against no limit. The caller holds epoch 1: it
          writes the short log and calls `finish`; after a crash `unfinished` lists it.
        - JOINED: another ref or account has the same content queued or running (`joined_to`).
        - QUEUED: it waits for `claim`.

        `ready_golden` is a golden of `digest` known to be in the store (see `golden_of`); `force`, `no_cache` and
        `refresh` mean that it is not wanted. With `keep_on_failure` a build joins no other ref's. `private` keeps to
        the account's own builds: for documents whose steps are given secrets.
        Raises CapacityError `queue_full` or `quota_full`.
        """
        wanted = attempts.Wanted(account, ref, digest, flags, ready_golden, private, self._clock())
        limits = attempts.WaitingLimits(self._limits.waiting, self._limits.account_waiting)
        build = await self._db.run(lambda connection: attempts.enqueue(connection, wanted, limits))
        self.wake()
        return build

    async def request_cancel(self, account: str, ref: Ref) -> Build | None:
        """Marks every unfinished attempt of the ref to be cancelled and returns the newest; None when nothing
        builds or the end is decided already (`seal`). Asking again changes nothing."""
        build = await self._db.run(lambda connection: attempts.request_cancel(connection, account, ref))
        if build is not None:
            self.wake()
        return build

    # -- the worker's side -------------------------------------------------------------------------------

    async def claim(self) -> Build | None:
        """The next build to run, RUNNING now under a new epoch; None when none may start. First in, first out,
        within the limits of builds at once, in all and for each account."""
        limits = (self._limits.builds, self._limits.account_builds)
        build = await self._db.run(lambda connection: attempts.claim(connection, *limits, self._clock()))
        if build is not None:
            self.wake()
        return build

    async def reclaim(self, build_id: str) -> Build:
        """Takes an unfinished attempt over, to go on with it or to end it: bumps its epoch, so that whoever held
        it before changes nothing more. A queued attempt becomes RUNNING without `started_ms`; a joined one stays
        joined. Raises NotFoundError, or ConflictError `build_over` when it ended."""

        def take(connection: Connection) -> Build:
            build = attempts.reclaim(connection, build_id)
            if build is None:
                over = lists.one(connection, build_id)
                if over is None:
                    raise NotFoundError(f"there is no build {build_id}")
                raise ConflictError(f"build {build_id} is over: {over.state}", code="build_over")
            return build

        build = await self._db.run(take)
        self.wake()
        return build

    async def progress(self, build_id: str, epoch: int, phase: Phase | None, step: str | None) -> None:
        """Says where the attempt is. Raises StaleEpochError."""
        await self._db.run(lambda connection: ends.progress(connection, build_id, epoch, phase, step))

    async def record_step(self, build_id: str, epoch: int, record: StepRecord) -> None:
        """Keeps a step of the history; the record of the same index replaces the earlier one. Raises
        StaleEpochError."""
        await self._db.run(lambda connection: ends.record_step(connection, build_id, epoch, record))

    async def seal(
        self, build_id: str, epoch: int, *, golden_key: str | None = None, manifest: Mapping[str, Any] | None = None
    ) -> bool:
        """Decides the end, to be called before the terminal frame is written: from here on a cancel finds nothing
        to stop. True when a cancel was asked for before: then the attempt has to end as cancelled. `reclaim`
        opens it again. The golden and its manifest are kept with the attempt, so that whoever reclaims it after a
        crash can end it as its log says; it is no golden of the ref before `finish`. Raises StaleEpochError."""
        text = ends.manifest_text(manifest)
        return await self._db.run(lambda connection: ends.seal(connection, build_id, epoch, golden_key, text))

    async def finish(
        self,
        build_id: str,
        epoch: int,
        state: BuildState,
        *,
        failure: Failure | None = None,
        golden_key: str | None = None,
        manifest: Mapping[str, Any] | None = None,
        reused: bool = False,
    ) -> Build:
        """Ends the attempt: READY with its golden, or FAILED with `failure`. Steps still running end as failed.

        When it was cancelled or expired in the queue, those joined to it are not: the oldest is QUEUED in its
        place, the others join that one. After any other end `joiners` still lists them, for the worker to end alike.
        Raises StaleEpochError when the epoch is stale or the attempt is over; nothing changed then.
        """
        end = ends.End(state, failure, golden_key, manifest, reused, self._clock())
        build = await self._db.run(lambda connection: ends.finish(connection, build_id, epoch, end))
        self.wake()
        return build

    async def joiners(self, build_id: str) -> tuple[Build, ...]:
        """The builds joined to this one that are not over, oldest first."""
        return await self._db.run(lambda connection: lists.joiners(connection, build_id))

    async def unfinished(self) -> tuple[Build, ...]:
        """What a killed server left behind: attempts that are RUNNING, and JOINED ones whose leading build is
        over. To be asked for at start, before the first claim."""
        return await self._db.run(lists.unfinished)

    async def cancels(self) -> tuple[Build, ...]:
        """Unfinished attempts that are asked to be cancelled, whatever their state, oldest first."""
        return await self._db.run(lists.cancels)

    async def expired(self, now: int | None = None) -> tuple[Build, ...]:
        """Queued attempts that waited longer than `wait_seconds`, oldest first. `now` is ms since the epoch."""
        deadline = (self._clock() if now is None else now) - int(self._limits.wait_seconds * 1000)
        return await self._db.run(lambda connection: lists.queued_before(connection, deadline))

    # -- reading -----------------------------------------------------------------------------------------

    async def get(self, build_id: str) -> Build | None:
        return await self._db.run(lambda connection: lists.one(connection, build_id))

    async def current(self, account: str, ref: Ref) -> Build | None:
        """The ref's last attempt, of whatever content."""
        return await self._db.run(lambda connection: lists.current(connection, account, ref))

    async def attempt(self, account: str, ref: Ref, number: int) -> Build | None:
        return await self._db.run(lambda connection: lists.attempt(connection, account, ref, number))

    async def history(self, account: str, ref: Ref, limit: int = 100) -> tuple[Build, ...]:
        """The ref's attempts with their steps, newest first."""
        return await self._db.run(lambda connection: lists.history(connection, account, ref, limit))

    async def status(self, account: str, ref: Ref, digest: str) -> tuple[BuildStatus, Build | None]:
        """What to show of the published content `digest`: its status as `status_of` tells it from all attempts,
        and its last attempt, None when this content was never built."""
        return await self._db.run(lambda connection: lists.status(connection, account, ref, digest))

    async def active(self, account: str | None = None) -> tuple[Build, ...]:
        """Every unfinished attempt, oldest first, of one account or of all."""
        return await self._db.run(lambda connection: lists.active(connection, account))

    async def ended(self, account: str, limit: int) -> tuple[Build, ...]:
        """The account's attempts that ended last, newest end first."""
        return await self._db.run(lambda connection: lists.ended(connection, account, limit))

    async def standings(self, account: str) -> dict[tuple[Ref, str], Standing]:
        """How all that is published for the account stands, by ref and digest; what it never built is left out."""
        return await self._db.run(lambda connection: lists.standings(connection, account))

    async def positions(self) -> dict[str, int]:
        """The places of all that wait in the queue, from 1, by build."""
        return await self._db.run(lists.positions)

    async def position(self, build_id: str) -> int | None:
        """The place among the waiting, from 1; None for a build that does not wait in the queue."""
        return await self._db.run(lambda connection: lists.position(connection, build_id))

    # -- goldens -----------------------------------------------------------------------------------------

    async def golden_of(
        self, digest: str, account: str | None = None, ref: Ref | None = None, *, private: bool = False
    ) -> str | None:
        """The newest golden of this content: of the ref itself when it has one (give `account` and `ref`), else of
        the account or any other. `private` looks at the account's own alone. Whether it is still in the store is
        for the caller to see; call `release_goldens` for one that is not."""
        return await self._db.run(lambda connection: lists.golden_of(connection, digest, account, ref, private))

    async def refs_to_goldens(self) -> dict[str, tuple[str, ...]]:
        """Goldens that must be kept, with what needs each, in words: published refs (the newest golden of their
        content) and unfinished attempts."""
        return await self._db.run(lists.needed_goldens)

    async def release_goldens(self, keys: Iterable[str], *, missing: bool = False) -> frozenset[str]:
        """Forgets goldens before they are deleted from the store, so that no new build takes them over; returns
        those that were forgotten and may be deleted: what came to be needed meanwhile is left out. `missing`
        forgets needed ones as well, for goldens that the store has lost."""
        wanted = frozenset(keys)
        return await self._db.run(lambda connection: ends.release_goldens(connection, wanted, missing))

    # -- waking ------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Tells everyone who waits for a change to look again; for changes made elsewhere, such as a forced
        publish that superseded builds."""
        self.changes += 1
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_change(self, seen: int, timeout: float | None = None) -> int:
        """Returns `changes` once it is above `seen`, or after `timeout` seconds whatever it is."""
        try:
            async with asyncio.timeout(timeout):
                while self.changes <= seen:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.changes
