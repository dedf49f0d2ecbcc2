"""A server that is asked to go while a thousand clients watch."""

import asyncio
import re
from pathlib import Path

import uvicorn
from tests.service.event_stream_server import PATH, Stream, end

from ingot.api.connection import StreamingProtocol, listen
from ingot.service import DrainingServer

WATCHERS = 1000
FRAME = re.compile(rb"id: [^\n]*\ndata: [^\n]*\n\n")
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer sk_live_test\r\n%s\r\n"


async def watch(port: int, last: bytes = b"") -> bytes:
    """The body of one stream, to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    resumed = f"Last-Event-ID: {last.decode()}\r\n" if last else ""
    writer.write((REQUEST % resumed).encode())
    answer = (await reader.read()).partition(b"\r\n\r\n")[2]
    writer.close()
    body = b""
    while answer:
        size, _, answer = answer.partition(b"\r\n")
        body, answer = body + answer[: int(size, 16)], answer[int(size, 16) + 2 :]
    return body


def serve(stream: Stream) -> tuple[DrainingServer, asyncio.Task[None], int]:
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(
        stream.app,
        http=StreamingProtocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = DrainingServer(config, stream.app)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    serving.add_done_callback(lambda _: listener.close())
    return server, serving, listener.getsockname()[1]


async def test_a_thousand_streams_end_in_time_and_resume_elsewhere_without_loss(tmp_path: Path) -> None:
    first = Stream(tmp_path)
    server, serving, port = serve(first)
    _, reporter = await first.reporter()
    for n in range(50):
        await reporter.say(f"line {n}")
    watchers = [asyncio.create_task(watch(port)) for _ in range(WATCHERS)]
    async with asyncio.timeout(60):
        while first.app.count_open() < WATCHERS:
            await asyncio.sleep(0.05)
    server.should_exit = True
    async with asyncio.timeout(10):
        await serving
        bodies = await asyncio.gather(*watchers)
    assert {body[-40:] for body in bodies if not body.endswith(b"retry: 5000\n")} == set()
    assert all((b":\nretry: 2000\n" + first.stored()).startswith(body[: -len(b"retry: 5000\n")]) for body in bodies)

    second = Stream(tmp_path)
    second.logs, second.attempts = first.logs, first.attempts
    second.app._logs = first.logs
    server, serving, port = serve(second)
    lasts = [re.findall(rb"^id: (.*)$", body, re.M)[-1:] for body in bodies]  # none: it had only just come
    again = [asyncio.create_task(watch(port, *last)) for last in lasts]
    await reporter.say("after the restart")
    await end(reporter)
    async with asyncio.timeout(60):
        rests = await asyncio.gather(*again)
    for body, rest in zip(bodies, rests, strict=True):
        assert b"".join(FRAME.findall(body) + FRAME.findall(rest)) == first.stored()
    server.should_exit = True
    await serving
