"""A finished log that is asked for again in the same words: the same answer without a look-up, while it holds."""

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.service.event_stream_server import PATH, Stream, serving

from ingot.api.stream_request import StreamRequest

REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk_live_test\r\n%s\r\n"
OWN = re.compile(rb"(x-request-id|date): [^\r]*\r\n")


@dataclass
class Watched:
    """A server that tells how often it had to look up whose events are asked for."""

    stream: Stream
    looked_up: int = 0
    stamp: int = 0


@contextlib.asynccontextmanager
async def watched(directory: Path, **options: Any) -> AsyncIterator[Watched]:
    found: Watched
    async with serving(directory, stamp=lambda: found.stamp, **options) as stream:
        found = Watched(stream)
        resolve = stream.app._resolve

        async def counted(request: StreamRequest) -> Any:
            found.looked_up += 1
            return await resolve(request)

        stream.app._resolve = counted
        yield found


async def ask(port: int, headers: str = "", count: int = 1) -> bytes:
    """The raw answer to requests that are sent in one piece each, over one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 25)
    answer = b""
    for _ in range(count):
        writer.write((REQUEST % headers).encode())
        answer += await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    return answer


def body_of(answer: bytes) -> bytes:
    """The content of an answer in chunks."""
    rest, body = answer.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body


async def test_the_second_answer_is_the_first_without_a_look_up(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        stored = await server.stream.finished(1000)
        first, second = [await ask(server.stream.port) for _ in range(2)]
        assert server.looked_up == 1
        assert body_of(first) == body_of(second) == b":\nretry: 2000\n" + stored
        heads = [OWN.sub(b"", answer.partition(b"\r\n\r\n")[0] + b"\r\n") for answer in (first, second)]
        assert sorted(heads[0].split(b"\r\n")) == sorted(heads[1].split(b"\r\n"))
        ids = {re.findall(rb"x-request-id: (\S{36})\r\n", answer)[0] for answer in (first, second)}
        assert len(ids) == 2
        assert server.stream.app.figures().opened == 2
        assert server.stream.app.figures().frames == 2 * stored.count(b"\n\n")


async def test_a_connection_is_kept_for_the_next_request(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        await server.stream.finished(10)
        answers = await ask(server.stream.port, count=5)
        assert answers.count(b"HTTP/1.1 200 OK") == 5
        assert server.looked_up == 1


async def test_requests_sent_without_waiting_are_answered_in_their_order(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        stored = await server.stream.finished(20_000)
        await ask(server.stream.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.stream.port, limit=1 << 25)
        for _ in range(3):
            writer.write((REQUEST % "").encode())
            await asyncio.sleep(0.02)  # pieces of their own: the first is under way when the second comes
        for _ in range(3):
            answer = await reader.readuntil(b"\r\n0\r\n\r\n")
            assert body_of(answer).endswith(stored)
        writer.close()


async def test_an_answer_is_looked_up_again_when_anything_was_written(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        await server.stream.finished(10)
        await ask(server.stream.port)
        server.stamp += 1
        await ask(server.stream.port)
        assert server.looked_up == 2


async def test_a_new_attempt_is_what_is_sent_from_then_on(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        await server.stream.finished(10)
        await ask(server.stream.port)
        stored = await server.stream.finished(20)
        server.stamp += 1
        assert body_of(await ask(server.stream.port)).endswith(stored)


async def test_other_words_are_another_request(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        await server.stream.finished(10)
        await ask(server.stream.port)
        answer = await ask(server.stream.port, "Last-Event-ID: 1-3\r\n")
        assert b"x-build-resumed-from: 1-3" in answer
        assert body_of(answer).startswith(b":\nretry: 2000\nid: 1-4\n")
        assert await ask(server.stream.port, "Last-Event-ID: 1-3\r\n") != answer
        assert server.looked_up == 3


async def test_a_client_that_closes_is_closed_to(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        await server.stream.finished(10)
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.stream.port)
            writer.write((REQUEST % "Connection: close\r\n").encode())
            answer = await reader.read()
            assert b"connection: close\r\n" in answer
            assert answer.endswith(b"\r\n0\r\n\r\n")
            writer.close()
        assert server.looked_up == 1


async def test_a_slow_reader_of_a_long_log_gets_all_of_it(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        stored = await server.stream.finished(60_000)
        await ask(server.stream.port)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.stream.port))
            slow.sendall((REQUEST % "").encode())
            slow.setblocking(False)
            answer = b""
            async with asyncio.timeout(60):
                while not answer.endswith(b"\r\n0\r\n\r\n"):
                    answer += await asyncio.get_running_loop().sock_recv(slow, 16_384)
        assert body_of(answer).endswith(stored)
        assert server.looked_up == 1
        assert server.stream.app.count_open() == 0


async def test_a_reader_that_takes_nothing_is_cut_off(tmp_path: Path) -> None:
    async with watched(tmp_path, stall=1) as server:
        await server.stream.finished(60_000)
        await ask(server.stream.port)
        with socket.socket() as stalled:
            stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stalled.connect(("127.0.0.1", server.stream.port))
            stalled.sendall((REQUEST % "").encode())
            async with asyncio.timeout(60):
                while not server.stream.app.figures().ended["stalled"]:
                    await asyncio.sleep(0.01)
        async with asyncio.timeout(60):
            while server.stream.app.count_open():
                await asyncio.sleep(0.01)


async def test_a_server_that_goes_asks_a_slow_reader_to_come_back(tmp_path: Path) -> None:
    async with watched(tmp_path) as server:
        stored = await server.stream.finished(60_000)
        await ask(server.stream.port)
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", server.stream.port))
            slow.sendall((REQUEST % "").encode())
            slow.setblocking(False)
            loop = asyncio.get_running_loop()
            answer = await loop.sock_recv(slow, 1000)
            await server.stream.app.aclose()
            async with asyncio.timeout(60):
                while not answer.endswith(b"\r\n0\r\n\r\n"):
                    answer += await loop.sock_recv(slow, 65_536)
        body = body_of(answer)
        assert body.endswith(b"\n\nretry: 5000\n")
        assert (b":\nretry: 2000\n" + stored).startswith(body.removesuffix(b"retry: 5000\n"))
