"""What the tests of the queue stand on: a real database, a clock that is moved by hand, and short names."""

from dataclasses import dataclass, field
from typing import Any

from ingot.queue.builds import BuildQueue, QueueLimits
from ingot.records.build import Build, BuildFlags, BuildState, Failure, FailureCode
from ingot.records.ref import Ref
from ingot.storage.database import Database

DIGEST = "d" * 64
OTHER_DIGEST = "e" * 64
A = Ref("default", "a", "1.0.0")
B = Ref("default", "b", "1.0.0")
C = Ref("default", "c", "1.0.0")


@dataclass
class Time:
    """Milliseconds; stands still until it is moved."""

    now: int = 1_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Stage:
    """A queue with what a worker does to it, shortened."""

    db: Database
    limits: QueueLimits = field(default_factory=QueueLimits)
    time: Time = field(default_factory=Time)

    def __post_init__(self) -> None:
        self.queue = BuildQueue(self.db, self.limits, self.time)

    async def ask(
        self,
        ref: Ref = A,
        digest: str = DIGEST,
        *,
        account: str = "acme",
        golden: str | None = None,
        private: bool = False,
        force: bool = False,
        flags: BuildFlags | None = None,
    ) -> Build:
        wanted = BuildFlags(force=force) if flags is None else flags
        return await self.queue.enqueue(account, ref, digest, wanted, golden, private=private)

    async def claim(self) -> Build:
        build = await self.queue.claim()
        assert build is not None
        return build

    async def end_ready(self, build: Build, golden: str = "golden-1", **more: Any) -> Build:
        return await self.queue.finish(build.id, build.epoch, BuildState.READY, golden_key=golden, **more)

    async def end_failed(self, build: Build, code: FailureCode = FailureCode.STEP_FAILED) -> Build:
        failure = Failure(code, "it failed", "run make", 2, ("last line",))
        return await self.queue.finish(build.id, build.epoch, BuildState.FAILED, failure=failure)

    async def build_ready(self, ref: Ref = A, digest: str = DIGEST, golden: str = "golden-1", **asked: Any) -> Build:
        await self.ask(ref, digest, **asked)
        return await self.end_ready(await self.claim(), golden)

    async def cancel(self, build: Build) -> Build:
        """As the worker does: the request, then the end by whoever takes the attempt over."""
        await self.queue.request_cancel(build.account, build.ref)
        return await self.end_failed(await self.queue.reclaim(build.id), FailureCode.CANCELLED)
