"""Readers that go, stall or are too many, and a server that goes."""

import asyncio
import contextlib
import gc
import os
import re
import socket
import struct
import tracemalloc
from pathlib import Path

import pytest
from tests.service.event_stream_server import OTHER_KEY, PATH, Stream, end, serving

from ingot.api import event_stream
from ingot.api.connection import CONNECTION
from ingot.api.event_stream import EventStream
from ingot.api.open_streams import OpenStream, OpenStreams, StreamLimits
from ingot.errors import HostError
from ingot.events.log import EventLogs


async def until_open(stream: Stream, count: int) -> None:
    async with asyncio.timeout(60):
        while stream.app.count_open() != count:
            await asyncio.sleep(0.002)


async def test_a_client_that_goes_is_noticed_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=600) as stream:
        _, reporter = await stream.reporter()
        async with stream.get() as response:
            await response.more()
            await until_open(stream, 1)
        await until_open(stream, 0)
        await end(reporter)


async def test_a_client_that_goes_while_it_waits_for_a_build_is_noticed(tmp_path: Path) -> None:
    async with serving(tmp_path, heartbeat=600) as stream:
        async with stream.get("?wait=1") as response:
            await response.more()
            await until_open(stream, 1)
        await until_open(stream, 0)


async def test_a_reader_that_takes_nothing_is_cut_off_and_others_are_not(tmp_path: Path) -> None:
    async with serving(tmp_path, stall=1) as stream:
        stored = await stream.finished(60_000)
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", stream.port))
        connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_live_test\r\n\r\n".encode())
        await until_open(stream, 1)
        await until_open(stream, 0)
        async with stream.get() as response:
            assert (await response.all()).endswith(stored)
        received = 0
        try:
            while chunk := connection.recv(65536):
                received += len(chunk)
        except ConnectionResetError:
            pass
        connection.close()
        assert received < len(stored)


async def test_a_slow_reader_holds_no_memory_of_the_server(tmp_path: Path) -> None:
    async with serving(tmp_path) as stream:
        stored = await stream.finished(100_000)
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        async with contextlib.AsyncExitStack() as stack:
            slow = [await stack.enter_async_context(stream.get()) for _ in range(20)]
            for response in slow:
                await response.reader.readexactly(1000)
            await until_open(stream, 20)
            held = tracemalloc.get_traced_memory()[0] - before
        tracemalloc.stop()
        assert held < len(stored) / 2, "twenty readers of a log share it"
        async with stream.get() as response:
            assert (await response.all()).endswith(stored)


async def test_a_server_that_goes_ends_streams_without_a_terminal_frame(tmp_path: Path) -> None:
    async with serving(tmp_path) as stream:
        writer, reporter = await stream.reporter()
        await reporter.say("one")
        async with stream.get() as response:
            await response.until(b"one")
            await stream.app.aclose()
            assert (await response.all()).endswith(b"}\n\nretry: 5000\n")
        async with stream.get() as response:
            assert await response.all() == b":\nretry: 5000\n"
        await writer.aclose()


async def test_after_a_crash_a_client_with_its_id_ends_up_with_the_stored_log(tmp_path: Path) -> None:
    async with serving(tmp_path) as stream:
        writer, reporter = await stream.reporter()
        await reporter.say("one")
        await writer.flush()
        async with stream.get() as response:
            first = (await response.until(b'one"}\n\n')).removeprefix(b":\nretry: 2000\n")
        await writer.aclose()
    with (tmp_path / "build1/events.sse").open("ab") as file:
        file.write(b'id: 1-1\ndata: {"ts":')
    async with serving(tmp_path) as stream:
        stream.attempts = ["build1"]
        _, reporter = await stream.continued(epoch=2)
        async with stream.get(last="1-0") as response:
            await response.more()
            await reporter.say("two")
            await end(reporter)
            rest = (await response.all()).removeprefix(b":\nretry: 2000\n")
        assert first + rest == stream.stored()


async def test_many_watchers_get_every_frame_and_share_the_bytes(tmp_path: Path) -> None:
    async with serving(tmp_path) as stream:
        _, reporter = await stream.reporter()

        async def watch() -> bytes:
            async with stream.get() as response:
                return await response.all()

        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(watch()) for _ in range(100)]
            await until_open(stream, 100)
            async with reporter.output("run") as output:
                for n in range(100):
                    await output.write(b"line %d\n" % n)
                    await asyncio.sleep(0)
            await end(reporter)
        expected = b":\nretry: 2000\n" + stream.stored()
        assert {watcher.result() for watcher in watchers} == {expected}
        await until_open(stream, 0)
        gc.collect()
        log = await stream.logs.log("build1")
        assert log is not None
        assert not log._waiting


async def test_without_a_transport_a_stalled_writer_is_cancelled(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    helper = Stream(tmp_path, heartbeat=15, stall=0.05)
    helper.logs = logs
    await helper.finished(10)
    app = EventStream(logs, helper.resolve, stall=0.05)
    stuck = asyncio.Event()

    async def receive() -> dict[str, object]:
        await asyncio.Event().wait()
        return {}

    async def send(message: object) -> None:
        if isinstance(message, dict) and b"id: " in message.get("body", b""):
            await stuck.wait()

    scope = {
        "type": "http",
        "method": "GET",
        "path": PATH,
        "query_string": b"",
        "headers": [(b"authorization", b"Bearer sk_live_test")],
        "extensions": {CONNECTION: None},
    }
    async with asyncio.timeout(60):
        await app(scope, receive, send)
    assert not app.count_open()


async def test_the_oldest_stream_of_the_key_with_most_makes_room(tmp_path: Path) -> None:
    async with serving(tmp_path, limits=StreamLimits(process=3, account=3)) as stream:
        _, reporter = await stream.reporter()
        async with contextlib.AsyncExitStack() as stack:
            viewers = [await stack.enter_async_context(stream.get()) for _ in range(4)]
            assert (await viewers[0].all()).endswith(b"retry: 5000\n"), "the oldest is asked to come back"
            assert stream.app.figures().ended["limit"] == 1
            await until_open(stream, 3)
            await end(reporter)
            for viewer in viewers[1:]:
                assert stream.stored() in await viewer.all()


async def test_who_waits_for_a_first_build_makes_room_for_the_own_account_alone(tmp_path: Path) -> None:
    limits = StreamLimits(process=100, account=2)
    async with serving(tmp_path, limits=limits) as stream, contextlib.AsyncExitStack() as stack:
        other = await stack.enter_async_context(stream.get("?wait=1", key=OTHER_KEY))
        own = [await stack.enter_async_context(stream.get("?wait=1")) for _ in range(3)]
        assert (await own[0].all()).endswith(b"retry: 5000\n")
        await until_open(stream, 3)
        stored = await stream.finished(1)
        for waiter in (other, *own[1:]):
            assert stored in await waiter.all()


async def test_a_first_build_is_looked_for_when_one_may_have_begun(tmp_path: Path) -> None:
    changes = 0
    async with (
        serving(tmp_path, builds=lambda: changes, heartbeat=0.2) as stream,
        stream.get("?wait=1") as response,
    ):
        await response.until(b":\n:\n")
        assert stream.resolved == 2, "by the request, and once when it waits"
        _, reporter = await stream.reporter()
        await end(reporter)
        await response.until(b":\n:\n:\n")
        assert stream.resolved == 2
        changes += 1
        assert (await response.all()).endswith(stream.stored())


async def test_a_first_build_is_looked_for_now_and_then_in_any_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_LOOK_AGAIN", 0.1)
    async with serving(tmp_path, builds=lambda: 0) as stream, stream.get("?wait=1") as response:
        await response.more()
        stored = await stream.finished(1)
        assert (await response.all()).endswith(stored)


@pytest.mark.parametrize("reason", ["revoked", "limit", "drain"])
async def test_a_long_download_ends_as_streams_do(tmp_path: Path, reason: str) -> None:
    revoked = False

    async def is_live(key_id: str, session: str) -> bool:
        return not revoked

    async with serving(tmp_path, is_live=is_live, limits=StreamLimits(process=9, account=1)) as stream:
        await stream.finished(100_000)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", stream.port))
            head = f"GET {PATH}?format=text HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_live_test\r\n\r\n"
            connection.sendall(head.encode())
            await until_open(stream, 1)
            length = int(re.search(rb"content-length: (\d+)", await take(connection)).group(1))  # type: ignore[union-attr]
            if reason == "limit":
                async with stream.get() as other:
                    await other.all()
            elif reason == "drain":
                await stream.app.aclose()
            revoked = reason == "revoked"
            async with asyncio.timeout(60):
                while not stream.app.figures().ended[reason]:
                    await asyncio.sleep(0.01)
                received = 0
                with contextlib.suppress(ConnectionResetError):
                    while chunk := await take(connection):
                        received += len(chunk)
        assert received < length
        await until_open(stream, 0)


async def take(connection: socket.socket) -> bytes:
    return await asyncio.to_thread(connection.recv, 65536)


async def test_who_waits_with_a_revoked_key_is_ended(tmp_path: Path) -> None:
    async def is_live(key_id: str, session: str) -> bool:
        return key_id != "key-1"

    async with serving(tmp_path, is_live=is_live) as stream, stream.get("?wait=1") as response:
        async with asyncio.timeout(60):
            assert await response.all() == b":\n"
        assert stream.app.figures().ended["revoked"] == 1


async def test_a_revoked_keys_streams_end(tmp_path: Path) -> None:
    revoked: set[str] = set()

    async def is_live(key_id: str, session: str) -> bool:
        return key_id not in revoked

    async with serving(tmp_path, is_live=is_live) as stream:
        _, reporter = await stream.reporter()
        async with stream.get() as response:
            await response.more()
            revoked.add("key-1")
            async with asyncio.timeout(60):
                assert await response.all() == b":\n"
        assert stream.app.figures().ended["revoked"] == 1
        await end(reporter)


async def test_a_database_that_fails_for_a_while_ends_neither_heartbeats_nor_revocation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked, revoked = 0, False

    async def is_live(key_id: str, session: str) -> bool:
        nonlocal asked
        asked += 1
        if asked < 3:
            raise HostError("the database failed")
        return not revoked

    async with serving(tmp_path, is_live=is_live, heartbeat=0.5) as stream:
        _, reporter = await stream.reporter()
        async with asyncio.timeout(60), stream.get() as response:
            while asked < 2:
                await response.more()
            beats = len(response.body)
            while len(response.body) == beats:
                await response.more()
            revoked = True
            await response.all()
        assert stream.app.figures().ended["revoked"] == 1
        await end(reporter)
    assert caplog.text.count("which keys still open streams failed and is tried again: the database failed") == 1


async def test_a_stream_that_cannot_be_looked_after_is_cut_off_and_others_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_after, broken = OpenStreams._look_after, []

    def fail_for_one(streams: OpenStreams, opened: OpenStream, now: float) -> None:
        broken.append(opened)
        if opened is broken[0]:
            raise OSError(9, "Bad file descriptor")
        look_after(streams, opened, now)

    monkeypatch.setattr(OpenStreams, "_look_after", fail_for_one)
    async with serving(tmp_path, heartbeat=0.2) as stream:
        _, reporter = await stream.reporter()
        async with asyncio.timeout(60), stream.get() as first:
            await until_open(stream, 1)
            async with stream.get() as second:
                with pytest.raises((ConnectionError, asyncio.IncompleteReadError, ValueError)):
                    await first.all()
                await second.until(b":\n:\n:\n")
                await end(reporter)
                assert (await second.all()).endswith(stream.stored())


async def test_a_drain_is_spread_and_late_comers_end_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as stream:
        _, reporter = await stream.reporter()
        ends: list[float] = []

        async def watch() -> None:
            async with stream.get() as response:
                assert (await response.all()).endswith(b"retry: 5000\n")
                ends.append(asyncio.get_running_loop().time())

        async with asyncio.TaskGroup() as group:
            for _ in range(20):
                group.create_task(watch())
            await until_open(stream, 20)
            await stream.app.aclose(spread=5)
        assert max(ends) - min(ends) > 2
        async with stream.get() as response:
            assert (await response.all()).endswith(b"retry: 5000\n")
        await end(reporter)


async def test_a_client_that_resets_its_connection_leaves_no_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gc.collect()  # what tests before left is told now
    caplog.clear()
    async with serving(tmp_path) as stream:
        await stream.finished(60_000)
        for _ in range(20):
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.connect(("127.0.0.1", stream.port))
            connection.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_live_test\r\n\r\n".encode())
            await until_open(stream, 1)
            connection.close()
            await until_open(stream, 0)
        before = len(os.listdir("/proc/self/fd"))
        await asyncio.sleep(0)
        assert len(os.listdir("/proc/self/fd")) <= before
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
