"""Less than everything, and other formats: follow, tail, phase, source, level, NDJSON, text, downloads, ranges."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from ingot.conformance.checking import check, must, within
from ingot.conformance.frames import LEVELS, Frame
from ingot.conformance.subject import Subject


@check("select.no_follow")
async def no_follow(subject: Subject) -> None:
    """`follow=0` sends what there is and ends, while the build goes on."""
    path = await subject.build("echo so far; sleep 600")
    async with subject.stream(path) as stream:
        await stream.until(b'"line":"so far"')
        async with within(10, "the end of a stream that does not follow"):
            frames = await subject.read(path, "?follow=0")
    must(any(frame.line == "so far" for frame in frames), "what there was is not in it")
    must(not frames[-1].is_end, "the build ended")


@check("select.tail")
async def tail(subject: Subject) -> None:
    """`tail=N` sends the last N frames, the terminal frame always, and says `gap`; an id wins over it."""
    build = await subject.finished()
    for query, count in (("?tail=5", 5), ("?tail=0", 1), ("?tail=1", 1)):
        async with subject.stream(build.path, query) as stream:
            must(stream.resumed_from == "gap", f"X-Build-Resumed-From is {stream.resumed_from} with {query}")
            must(_raw(await stream.frames()) == _raw(build.frames[-count:]), f"{query} sends other frames")
    async with subject.stream(build.path, "?tail=1", last=build.frames[-3].id) as stream:
        must(_raw(await stream.frames()) == _raw(build.frames[-2:]), "tail wins over the id")


@check("select.filters")
async def filters(subject: Subject) -> None:
    """`phase`, `source` and `level` send only what was asked for, under its own ids, and always the terminal frame."""
    build = await subject.finished()
    source = next((frame.source for frame in build.frames if frame.source), "run")
    phases = sorted({frame.phase for frame in build.frames})[:2]
    wanted: dict[str, Callable[[Frame], bool]] = {
        f"?phase={','.join(phases)}": lambda frame: frame.phase in phases,
        f"?source={source}": lambda frame: frame.source == source,
        "?level=warn": lambda frame: LEVELS.index(frame.data["level"]) >= LEVELS.index("warn"),
        f"?source={source}&phase=boot": lambda frame: frame.source == source and frame.phase == "boot",
    }
    for query, wants in wanted.items():
        async with subject.stream(build.path, query) as stream:
            received = (await stream.all()).removeprefix(b":\nretry: 2000\n")
        right = b"".join(frame.raw for frame in build.frames if wants(frame) or frame.is_end)
        must(received == right, f"{query} sends other frames")


@check("select.nonsense")
async def nonsense(subject: Subject) -> None:
    """A value that means nothing is refused before the stream begins: 400 with a message."""
    build = await subject.finished()
    for query in ("?tail=x", "?attempt=0", "?follow=maybe", "?phase=nowhere", "?level=loud", "?format=xml"):
        async with subject.stream(build.path, query, status=400) as stream:
            must(json.loads(await stream.all(5)).get("error"), f"{query} is refused without a word")


@check("format.ndjson")
async def ndjson(subject: Subject) -> None:
    """NDJSON is one event a line, the id first, by `Accept` or by `format=`."""
    build = await subject.finished()
    right = [{"id": frame.id} | frame.data for frame in build.frames]
    for query, headers in (("", {"Accept": "application/x-ndjson"}), ("?format=ndjson", {})):
        async with subject.stream(build.path, query, headers=headers) as stream:
            kind = stream.headers.get("content-type", "")
            must(kind.startswith("application/x-ndjson"), f"the content type is {kind}")
            lines = (await stream.all()).decode().splitlines()
        must([json.loads(line) for line in lines] == right, "the events are not those of the stream")
        must(all(line.startswith('{"id":"') for line in lines), "the id is not the first key")


@check("format.text")
async def text(subject: Subject) -> None:
    """Text is the lines alone, one a frame; `download=1` names a file."""
    build = await subject.finished()
    right = "".join(f"{frame.line}\n" for frame in build.frames)
    async with subject.stream(build.path, "?format=text&download=1") as stream:
        must(stream.headers.get("content-type", "").startswith("text/plain"), "the content type is another")
        disposition = stream.headers.get("content-disposition", "")
        must(disposition.startswith("attachment"), f"Content-Disposition is {disposition!r}")
        must((await stream.all()).decode() == right, "the lines are not those of the stream")


@check("format.range")
async def ranges(subject: Subject) -> None:
    """The text of a finished build takes a range of bytes: 206, and 416 for one that is not there."""
    build = await subject.finished()
    whole = "".join(f"{frame.line}\n" for frame in build.frames).encode()
    for wanted, begin, end in (("bytes=3-41", 3, 42), ("bytes=-20", len(whole) - 20, len(whole))):
        async with subject.stream(build.path, "?format=text", headers={"Range": wanted}, status=206) as stream:
            told = stream.headers.get("content-range")
            must(told == f"bytes {begin}-{end - 1}/{len(whole)}", f"Content-Range is {told!r}")
            must(await stream.all() == whole[begin:end], f"{wanted} sends other bytes")
    beyond = {"Range": f"bytes={len(whole) + 10}-"}
    async with subject.stream(build.path, "?format=text", headers=beyond, status=416):
        pass


def _raw(frames: Sequence[Frame]) -> list[bytes]:
    return [frame.raw for frame in frames]
