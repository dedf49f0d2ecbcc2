"""Replay and resume: late joiners, cuts, ids that mean something and ids that do not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from ingot.conformance.checking import Skipped, check, must, together
from ingot.conformance.frames import Frame, check_frames, check_whole, read_frames, stored_bytes
from ingot.conformance.subject import Recorded, Subject, frames_so_far

_STEADY = "for i in $(seq 1 {count}); do echo steady $i; sleep 0.01; done"
_FLAT_OUT = 'for i in $(seq 1 {rounds}); do seq -f "round $i line %g" 1 500; sleep 0.03; done'


@check("replay.same")
async def same(subject: Subject) -> None:
    """A finished build replays in full and the same for every reader, also for two at once."""
    build = await subject.finished()
    for frames in await together(*(subject.read(build.path) for _ in range(2))):
        _equal(frames, build.frames)


@check("replay.joins", alone=True)
async def joins(subject: Subject) -> None:
    """Readers who join at any time while the build writes get the whole attempt, without a gap or a repetition."""
    await _join(subject, readers=25, rounds=60)


@check("replay.many_joins", core=False, alone=True, deadline=300)
async def many_joins(subject: Subject) -> None:
    """So do 200 readers who join while the build writes as fast as it can."""
    await _join(subject, readers=200, rounds=80)


@check("replay.queued", core=False, alone=True, deadline=300)
async def queued(subject: Subject) -> None:
    """A build that waits in the queue has a stream: 200, and a line that tells the place."""
    for _ in range(24):
        path = await subject.build("sleep 30")
        if (await subject.status(path))["queue_position"]:
            async with subject.stream(path) as stream:
                await stream.until(b" in the queue", 5)
            return
    raise Skipped("no build had to wait")


@check("resume.every_id")
async def every_id(subject: Subject) -> None:
    """With a frame's id the stream goes on at the next frame, by header or by query; the header wins."""
    build = await subject.finished()
    last = len(build.frames) - 1
    for seq in {0, 1, last // 2, last - 2, last - 1}:
        known = build.frames[seq].id
        for more in ({"last": known}, {"query": f"?last_event_id={known}"}):
            async with subject.stream(build.path, **more) as stream:  # type: ignore[arg-type]
                must(stream.resumed_from == known, f"X-Build-Resumed-From is {stream.resumed_from}, not {known}")
                _equal(await stream.frames(), build.frames[seq + 1 :])
    async with subject.stream(build.path, f"?last_event_id={build.frames[0].id}", last=build.frames[1].id) as stream:
        must(stream.resumed_from == build.frames[1].id, "the query wins over the header")


@check("resume.no_such_id")
async def no_such_id(subject: Subject) -> None:
    """An id that is malformed, from the future or of another attempt is never refused: everything is sent, and
    X-Build-Resumed-From says `start`."""
    build = await subject.finished()
    attempt = build.end.attempt
    strange = [
        f"{attempt}-{len(build.frames)}",
        f"{attempt + 1}-0",
        f"{attempt}-",
        "nonsense",
        f"{attempt}-" + "9" * 60,
    ]
    for last in strange:
        async with subject.stream(build.path, last=last) as stream:
            must(stream.resumed_from == "start", f"X-Build-Resumed-From is {stream.resumed_from} for {last!r}")
            _equal(await stream.frames(), build.frames)


@check("resume.over")
async def over(subject: Subject) -> None:
    """A reconnect with the terminal frame's id gets 204 and no body."""
    build = await subject.finished()
    for method in ("GET", "HEAD"):
        async with subject.stream(build.path, last=build.end.id, method=method, status=204) as stream:
            must(await stream.all(5) == b"", "the 204 has a body")


@check("resume.cuts", alone=True)
async def cuts(subject: Subject) -> None:
    """A reader whose connection breaks again and again, at any byte, ends with every frame once."""
    await _cut(subject, cuts=60, lines=400)


@check("resume.many_cuts", core=False, alone=True, deadline=600)
async def many_cuts(subject: Subject) -> None:
    """So does one who is cut off a thousand times."""
    await _cut(subject, cuts=1000, lines=4000)


@check("resume.another_attempt")
async def another_attempt(subject: Subject) -> None:
    """Attempts count from 1, each has frames of its own from 0, and an older one can still be read."""
    path = await subject.build("echo once more")
    first = await subject.whole(path)
    await subject.start(path, "?force=1")
    second = await subject.whole(path)
    must((first.end.attempt, second.end.attempt) == (1, 2), "the attempts do not count from 1")
    async with subject.stream(path, last=first.frames[0].id) as stream:
        must(stream.resumed_from == "start", "the id of another attempt was continued")
        must(stream.headers.get("x-build-attempt") == "2", "X-Build-Attempt is another")
        _equal(await stream.frames(), second.frames)
    _equal(await subject.read(path, "?attempt=1"), first.frames)
    async with subject.stream(path, "?attempt=3", status=404):
        pass


async def _join(subject: Subject, readers: int, rounds: int) -> None:
    path = await subject.build(_FLAT_OUT.format(rounds=rounds))
    async with subject.stream(path) as stream:
        await stream.until(b"round 1 ")

        async def join() -> bytes:
            await asyncio.sleep(random.uniform(0, 0.03 * rounds))  # noqa: S311 - spreads the joins
            async with subject.stream(path) as joined:
                return stored_bytes(await joined.all())

        received, *others = await together(stream.all(), *(join() for _ in range(readers)))
    first = stored_bytes(received)
    check_whole(read_frames(first))
    for other in others:
        if other != first:
            _equal(read_frames(other), read_frames(first))


async def _cut(subject: Subject, cuts: int, lines: int) -> None:
    path = await subject.build(_STEADY.format(count=lines))
    frames: list[Frame] = []
    made = 0
    while not (frames and frames[-1].is_end):
        last = frames[-1].id if frames else None
        async with subject.stream(path, last=last) as stream:
            if last is not None:
                must(stream.resumed_from == last, f"{last} was not continued, but {stream.resumed_from}")
            stop = random.randrange(1, 3000) if made < cuts else None  # noqa: S311 - any byte
            while (stop is None or len(stream.received) < stop) and await stream.more():
                pass
            frames += frames_so_far(stream)
        made += 1
    check_frames(frames)
    _equal(frames, (await subject.whole(path)).frames)
    must(made >= min(cuts, 10), f"the build was over after {made} cuts")


def _equal(frames: Sequence[Frame], wanted: Sequence[Frame] | Recorded) -> None:
    wanted = wanted.frames if isinstance(wanted, Recorded) else wanted
    if [frame.raw for frame in frames] == [frame.raw for frame in wanted]:
        return
    ids = [frame.id for frame in frames]
    must(len(set(ids)) == len(ids), "frames came twice")
    must(ids == [frame.id for frame in wanted], f"{len(ids)} frames came, {len(wanted)} are right")
    must(False, "a frame is not the same in every replay")
