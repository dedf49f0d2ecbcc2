"""What stands on the wire: headers, first bytes, blocks, heartbeats, methods."""

from __future__ import annotations

from ingot.conformance.checking import check, must, within
from ingot.conformance.frames import FIRST_BYTES
from ingot.conformance.subject import Subject

HEADERS = {
    "content-type": "text/event-stream; charset=utf-8",
    "cache-control": "no-cache, no-store, no-transform",
    "x-accel-buffering": "no",
    "x-build-stream-version": "1",
}
SILENT = "echo before; sleep {seconds}; echo after"


@check("wire.headers")
async def headers(subject: Subject) -> None:
    """The headers are those of the contract: no buffering, no caching, no compression, the attempt, a request id."""
    build = await subject.finished()
    async with subject.stream(build.path) as stream:
        for name, value in HEADERS.items():
            must(stream.headers.get(name) == value, f"{name} is {stream.headers.get(name)!r}, not {value!r}")
        must(stream.headers.get("x-build-attempt") == str(build.end.attempt), "X-Build-Attempt is another")
        must(stream.resumed_from == "start", f"X-Build-Resumed-From is {stream.resumed_from!r} without an id")
        must(stream.headers.get("x-request-id"), "there is no X-Request-Id")
        must("content-encoding" not in stream.headers, "the stream is compressed")


@check("wire.first_bytes")
async def first_bytes(subject: Subject) -> None:
    """The comment `:` is there at once, `retry: 2000` rides in the first data block, and nothing else comes before."""
    path = await subject.build(SILENT.format(seconds=3))
    async with subject.stream(path) as stream, within(2, "the first bytes of a stream"):
        must((await stream.more()).startswith(b":\n"), f"the first bytes are {bytes(stream.received[:40])!r}")
    build = await subject.finished()
    async with subject.stream(build.path) as stream:
        received = await stream.all()
    must(received.startswith(FIRST_BYTES), f"the stream begins with {received[:60]!r}")


@check("wire.blocks")
async def blocks(subject: Subject) -> None:
    """Lines end with `\\n` alone; each block is one `id:` and one `data:` line, ASCII only, at most 64 KiB; there is
    never an `event:` field nor a block without data."""
    build = await subject.finished()
    async with subject.stream(build.path) as stream:
        received = await stream.all()
    must(b"\r" not in received and received.isascii(), "there are bytes on the wire that are not printable ASCII")
    must(received == b":\nretry: 2000\n" + build.raw, "there is more in the stream than comment, retry and frames")


@check("wire.heartbeat", deadline=120)
async def heartbeat(subject: Subject) -> None:
    """After 15 s of silence a comment line follows, without a blank line behind it."""
    path = await subject.build(SILENT.format(seconds=20))
    async with subject.stream(path) as stream:
        await stream.until(b'"line":"before"')
        while True:
            begin = len(stream.received)
            async with within(17, "a heartbeat"):
                must(await stream.more(), "the stream ended in a silence")
            if stream.received[begin:].startswith(b":\n"):
                break
        await stream.until(b'"line":"after"')
        must(b":\n\n" not in stream.received, "a blank line stands behind a heartbeat")
        await stream.frames()


@check("wire.live")
async def live(subject: Subject) -> None:
    """A line is on the wire while its step still runs, as soon as it is written."""
    path = await subject.build("echo marked; sleep 15")
    async with subject.stream(path) as stream:
        await stream.until(b'"line":"marked"')
        must((await subject.status(path))["status"] == "building", "the build was over when its line came")


@check("wire.head")
async def head(subject: Subject) -> None:
    """HEAD answers the headers of GET and ends."""
    build = await subject.finished()
    async with subject.stream(build.path, method="HEAD") as stream:
        must(stream.headers.get("content-type") == HEADERS["content-type"], "HEAD has another content type")
        must(await stream.all(5) == b"", "HEAD has a body")


@check("wire.methods")
async def methods(subject: Subject) -> None:
    """OPTIONS answers with Allow, other methods with 405."""
    build = await subject.finished()
    async with subject.stream(build.path, method="OPTIONS", status=None) as stream:
        must(stream.status in (200, 204), f"OPTIONS answered {stream.status}")
        must("GET" in stream.headers.get("allow", ""), "OPTIONS answers no Allow")
    async with subject.stream(build.path, method="DELETE", status=405):
        pass


@check("wire.closes")
async def closes(subject: Subject) -> None:
    """The stream closes behind the terminal frame."""
    path = await subject.build("echo soon over")
    async with subject.stream(path) as stream:
        await stream.until(b'"result":')
        async with within(5, "the end behind the terminal frame"):
            await stream.all()
