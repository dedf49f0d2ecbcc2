"""Ends of builds when a cancel comes at a bad moment or the disk takes nothing: told when it can be, and once."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.service.test_held_machines import Works, ref, works

from ingot import worker
from ingot.events import log_file
from ingot.machine.scripted import Scripted
from ingot.records.build import Build, BuildFlags, BuildState
from ingot.records.ref import Ref

FORCE = BuildFlags(force=True)
FINE = "fine".ljust(64, "0")


class Disk:
    """Has no room for what `log_file.<name>` writes, until `room` is set; `tried` is set when that was noticed."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str) -> None:
        self.tried, self.room = asyncio.Event(), threading.Event()
        write, loop = getattr(log_file, name), asyncio.get_running_loop()

        def write_where_there_is_room(*args: Any, **more: Any) -> Any:
            if not self.room.is_set() and self.refuses(args):
                loop.call_soon_threadsafe(self.tried.set)
                raise OSError(28, "No space left on device")
            return write(*args, **more)

        patch.setattr(log_file, name, write_where_there_is_room)
        patch.setattr(worker, "_AGAIN_SECONDS", 0.05)

    def refuses(self, args: Any) -> bool:
        return True


class DiskAtEnds(Disk):
    """Has no room for terminal frames alone."""

    def refuses(self, args: Any) -> bool:
        return b'"result":' in b"".join(args[1])


async def ended(shop: Works, build: Build) -> Build:
    """The build, once it is over."""
    async with asyncio.timeout(60):
        while True:
            found = await shop.queue.get(build.id)
            assert found is not None
            if found.state.is_over:
                return found
            await asyncio.sleep(0.02)


@contextlib.contextmanager
def stopped_at(patch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """(set when the worker comes to the call, to be set for it to go on)."""
    call, came, go = getattr(owner, name), asyncio.Event(), asyncio.Event()

    async def wait_and_call(*args: Any, **more: Any) -> Any:
        came.set()
        await go.wait()
        return await call(*args, **more)

    with patch.context() as patched:
        patched.setattr(owner, name, wait_and_call)
        yield came, go


async def test_a_cancel_that_comes_while_a_build_begins_cancels_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with works(tmp_path) as shop:
        with stopped_at(monkeypatch, shop.logs, "open_writer") as (came, go):
            made = await shop.queue.enqueue("acme", ref("fine"), FINE, FORCE, private=True)
            await came.wait()
            assert await shop.queue.request_cancel("acme", ref("fine"))
            await asyncio.sleep(0.2)
            go.set()
            over = await ended(shop, made)
        assert over.failure is not None
        assert over.failure.message == "cancelled on request"
        assert shop.lines(over).count('"result":') == 1
        assert (await shop.end("fine", flags=FORCE)).state is BuildState.READY, "the slot is free"


async def test_a_cancelled_task_that_nobody_cancelled_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with works(tmp_path) as shop:
        open_writer, calls = shop.logs.open_writer, 0

        async def break_off_once(*args: Any) -> Any:
            nonlocal calls
            calls += args[2] > 0
            if calls == 1:
                raise asyncio.CancelledError
            return await open_writer(*args)

        monkeypatch.setattr(shop.logs, "open_writer", break_off_once)
        assert (await shop.end("fine", flags=FORCE)).state is BuildState.READY


async def test_a_build_that_cannot_begin_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch, "write_epoch")
    async with works(tmp_path) as shop:
        ending = asyncio.create_task(shop.end("fine", flags=FORCE))
        await asyncio.wait_for(disk.tried.wait(), 60)
        disk.room.set()
        over = await ending
        assert over.state is BuildState.READY
        assert "the server restarted" not in shop.lines(over)


async def test_an_end_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = DiskAtEnds(monkeypatch, "write_at")
    async with works(tmp_path) as shop:
        ending = asyncio.create_task(shop.end(flags=FORCE))
        await asyncio.wait_for(disk.tried.wait(), 60)
        [waiting] = await shop.queue.active()
        assert waiting.state is BuildState.RUNNING
        assert '"result":' not in shop.lines(waiting)
        disk.room.set()
        over = await ending
        assert over.failure is not None
        assert over.failure.message == "run break it ended with exit code 3"
        assert shop.lines(over).count('"result":') == 1


async def test_a_log_without_its_index_ends_in_order_with_those_that_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Disk(monkeypatch, "write_index")
    async with works(tmp_path) as shop:
        made = await shop.queue.enqueue("acme", ref("fine"), FINE, FORCE)
        joined = await shop.queue.enqueue("acme", Ref("other", "fine", "1.0.0"), FINE)
        assert joined.state is BuildState.JOINED
        for build in (made, joined):
            over = await ended(shop, build)
            assert over.state is BuildState.READY
            assert shop.lines(over).count('"result":') == 1
    assert "was taken over" not in caplog.text
    assert "has no index" in caplog.text


async def test_a_joined_build_whose_end_fails_is_ended_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with works(tmp_path) as shop:
        made = await shop.queue.enqueue("acme", ref("fine"), FINE, FORCE)
        joined = await shop.queue.enqueue("acme", Ref("other", "fine", "1.0.0"), FINE)
        open_writer, refused = shop.logs.open_writer, 0

        async def refuse_once(build_id: str, *more: Any) -> Any:
            nonlocal refused
            if build_id == joined.id and not refused:
                refused += 1
                raise OSError(28, "No space left on device")
            return await open_writer(build_id, *more)

        monkeypatch.setattr(shop.logs, "open_writer", refuse_once)
        assert (await ended(shop, made)).state is BuildState.READY
        assert (await ended(shop, joined)).state is BuildState.READY
        assert refused


async def test_ends_of_waiting_builds_on_a_full_disk_end_no_other_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    class Begun(asyncio.Event):
        async def wait(self) -> bool:  # type: ignore[override]
            begun.set()
            return await go.wait()

    async with works(tmp_path, builds=1) as shop:
        shop.stage.backend.script["break it"] = Scripted(until=Begun(), exit_code=3)
        running = await shop.queue.enqueue("acme", ref("demo"), "demo".ljust(64, "0"), FORCE, private=True)
        await asyncio.wait_for(begun.wait(), 60)
        waiting = await shop.queue.enqueue("acme", ref("fine"), FINE, FORCE, private=True)
        disk = Disk(monkeypatch, "write_epoch")
        assert await shop.queue.request_cancel("acme", ref("fine"))
        await asyncio.wait_for(disk.tried.wait(), 60)
        await asyncio.sleep(2.5)
        assert not shop.worker.done(), "the worker lives"
        assert caplog.text.count("the end of default/fine@1.0.0 failed and is tried again: [Errno 28]") == 1
        disk.room.set()
        cancelled = await ended(shop, waiting)
        assert cancelled.failure is not None
        assert cancelled.failure.message == "cancelled on request"
        go.set()
        assert (await ended(shop, running)).failure is not None


async def test_a_database_that_fails_for_a_while_ends_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with works(tmp_path) as shop:
        with monkeypatch.context() as patched:

            async def fail() -> Any:
                raise OSError(28, "No space left on device")

            for name in ("cancels", "expired", "active", "claim", "unfinished"):
                patched.setattr(shop.queue, name, fail)
            made = await shop.queue.enqueue("acme", ref("fine"), FINE, FORCE, private=True)
            await asyncio.sleep(2.5)
            assert not shop.worker.done()
        assert caplog.text.count("claiming builds failed and is tried again") == 1
        assert (await ended(shop, made)).state is BuildState.READY
