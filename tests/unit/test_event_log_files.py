"""The log on disk: durable before visible, whole after a crash, one writer at a time."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from ingot.errors import CorruptStoreError, StaleEpochError
from ingot.events import log_file
from ingot.events.cursor import Cursor
from ingot.events.frames import encode_lines, encode_terminal
from ingot.events.log import EventLogs, StoredLog
from ingot.events.log_index import BATCH, LogIndex
from ingot.events.writer import LogWriter
from ingot.records.event import FrameId, Level, Phase, Result

TS = 1_780_938_001_007


def frames(first: int, lines: Sequence[str], phase: Phase = Phase.INSTALL) -> list[bytes]:
    return encode_lines(FrameId(1, first), lines, ts_ms=TS, level=Level.INFO, phase=phase, source="run")


def ready(seq: int) -> bytes:
    return encode_terminal(
        FrameId(1, seq), ts_ms=TS, reached=Phase.ARCHIVE, result=Result.READY, duration_ms=12, failure=None
    )


async def nothing() -> None:
    """Commits nothing."""


async def write(writer: LogWriter, count: int, size: int = 50) -> list[bytes]:
    made = frames(writer.next_seq, [f"{n:06d} " + "x" * size for n in range(count)])
    writer.append(made)
    await writer.room()
    return made


async def finish(writer: LogWriter) -> bytes:
    frame = ready(writer.next_seq)
    await writer.finish(frame, nothing)
    return frame


async def everything(cursor: Cursor) -> bytes:
    batches = [batch async for batch in cursor]
    assert all(0 < len(batch) <= BATCH for batch in batches)
    assert all(batch.startswith(b"id: 1-") and batch.endswith(b"}\n\n") for batch in batches)
    return b"".join(batches)


async def opened(logs: EventLogs, build_id: str) -> StoredLog:
    log = await logs.log(build_id)
    assert log is not None
    return log


async def test_a_log_that_was_never_written_is_not_there(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    assert await logs.log("b1") is None
    log = await logs.awaited("b1")
    assert log.next_seq == 0
    assert not log.is_over


async def test_what_was_written_reads_back_exactly_live_and_later(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    reader = asyncio.create_task(everything((await opened(logs, "b1")).cursor()))
    made = [*await write(writer, 3000), *await write(writer, 500, size=3000), *await write(writer, 3)]
    made.append(await finish(writer))
    expected = b"".join(made)
    assert await reader == expected
    assert (tmp_path / "b1/events.sse").read_bytes() == expected
    late = (await opened(logs, "b1")).cursor()
    assert await everything(late) == expected
    fresh = await opened(EventLogs(tmp_path), "b1")
    assert fresh.terminal is not None
    assert fresh.terminal.result is Result.READY
    assert await everything(fresh.cursor()) == expected


async def test_a_reader_begins_at_any_frame(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    made = [*await write(writer, 2000, size=700), *await write(writer, 7)]
    await writer.flush()
    live = await opened(logs, "b1")
    for seq in (0, 1, 90, 1500, 1999, 2006):
        assert (await live.cursor(seq).read()).startswith(made[seq])
    made.append(await finish(writer))
    fresh = await opened(EventLogs(tmp_path), "b1")
    for seq in (0, 1, 90, 1500, 1999, 2007):
        assert await everything(fresh.cursor(seq)) == b"".join(made[seq:])
    assert await everything(fresh.cursor(2008)) == b""
    with pytest.raises(ValueError, match="the log has 2008 frames, none with the number 2009"):
        fresh.cursor(2009)


async def test_memory_of_a_live_log_is_bounded_and_shared(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    await write(writer, 20_000, size=300)
    await writer.flush()
    log = await opened(logs, "b1")
    assert sum(map(len, log._tail)) <= 1024 * 1024
    place = log._tail_offsets[-1]
    assert log.in_memory(place) is log.in_memory(place)
    assert log.in_memory(0) is None
    await writer.aclose()


async def test_readers_see_frames_only_behind_the_commit_at_the_end(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    made = await write(writer, 1)
    await writer.flush()
    log = await opened(logs, "b1")
    order: list[str] = []

    async def commit() -> None:
        assert (tmp_path / "b1/events.sse").read_bytes().endswith(ready(1))
        assert log.next_seq == 1
        assert log.terminal is None
        order.append("commit")

    reader = asyncio.create_task(everything(log.cursor()))
    reader.add_done_callback(lambda _: order.append("read"))
    await writer.finish(ready(1), commit)
    assert await reader == made[0] + ready(1)
    await asyncio.sleep(0)
    assert order == ["commit", "read"]


async def test_a_failing_commit_shows_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)

    async def refuse() -> None:
        raise ConnectionError("the database is busy")

    with pytest.raises(ConnectionError):
        await writer.finish(ready(0), refuse)
    log = await opened(logs, "b1")
    assert (log.next_seq, log.terminal) == (0, None)
    with pytest.raises(StaleEpochError, match="being ended"):
        writer.append(frames(0, ["late"]))
    await writer.finish(ready(0), nothing)
    assert log.terminal is not None


async def test_a_newer_epoch_fences_an_older_writer(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    queue = await logs.open_writer("b1", 1, 0)
    first = await write(queue, 2)
    worker = await logs.open_writer("b1", 1, 1)
    assert worker.next_seq == 2
    with pytest.raises(StaleEpochError, match="moved on to epoch 1, so its writer of epoch 0 may not write"):
        queue.append(frames(2, ["late"]))
    with pytest.raises(StaleEpochError):
        await queue.finish(ready(2), nothing)
    await queue.aclose()
    with pytest.raises(StaleEpochError, match="the build is at epoch 1, so a writer of epoch 0 may not write"):
        await logs.open_writer("b1", 1, 0)
    made = await write(worker, 2)
    await worker.aclose()
    assert (tmp_path / "b1/events.sse").read_bytes() == b"".join(first + made)
    with pytest.raises(StaleEpochError, match="epoch 1"):
        await EventLogs(tmp_path).open_writer("b1", 1, 0)


async def test_a_writer_fenced_between_terminal_frame_and_commit_ends_nothing(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    old = await logs.open_writer("b1", 1, 1)

    async def refused() -> None:
        raise StaleEpochError("another worker has this build")

    with pytest.raises(StaleEpochError, match="another worker"):
        await old.finish(ready(0), refused)
    new = await logs.open_writer("b1", 1, 2)
    with pytest.raises(StaleEpochError, match="moved on to epoch 2"):
        await old.finish(ready(0), nothing)
    assert new.terminal is None
    made = await write(new, 1)
    await new.aclose()
    assert (tmp_path / "b1/events.sse").read_bytes() == made[0]


async def test_epoch_0_may_be_opened_again_and_again(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    for n in range(3):
        writer = await logs.open_writer("b1", 1, 0)
        writer.append(frames(n, [f"queue position {n}"], Phase.PUBLISH))
        await writer.aclose()
    again = await logs.open_writer("b1", 1, 1)
    assert (again.next_seq, again.last_phase, again.last_ts_ms) == (3, Phase.PUBLISH, TS)
    await again.aclose()


@pytest.mark.parametrize("torn", [b"id: 1-3", b'id: 1-3\ndata: {"ts":"2026', b"\0" * 5000, b"id: 1-9\ndata: {}\n\n"])
async def test_a_torn_end_is_cut_off_and_numbers_go_on(tmp_path: Path, torn: bytes) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    made = await write(writer, 3)
    await writer.aclose()
    with (tmp_path / "b1/events.sse").open("ab") as file:
        file.write(torn)
    fresh = EventLogs(tmp_path)
    before = await opened(fresh, "b1")
    assert await before.cursor().read() == b"".join(made)
    recovered = await fresh.open_writer("b1", 1, 2)
    assert recovered.next_seq == 3
    made += await write(recovered, 2)
    made.append(await finish(recovered))
    assert (tmp_path / "b1/events.sse").read_bytes() == b"".join(made)
    assert await everything(before.cursor()) == b"".join(made)


async def test_a_recovered_log_with_a_terminal_frame_is_over(tmp_path: Path) -> None:
    writer = await EventLogs(tmp_path).open_writer("b1", 1, 1)
    await write(writer, 2)
    await finish(writer)
    (tmp_path / "b1/events.idx").unlink()
    recovered = await EventLogs(tmp_path).open_writer("b1", 1, 2)
    assert recovered.terminal is not None
    assert recovered.terminal.duration_ms == 12
    with pytest.raises(StaleEpochError, match="log has ended"):
        recovered.append(frames(3, ["late"]))
    await recovered.aclose()
    assert (tmp_path / "b1/events.sse").read_bytes().endswith(ready(2))


@pytest.mark.parametrize("damage", [b"", b"short", b"INGOTIX1" + b"\0" * 40])
async def test_a_damaged_index_is_made_again_from_the_frames(tmp_path: Path, damage: bytes) -> None:
    writer = await EventLogs(tmp_path).open_writer("b1", 1, 1)
    made = [*await write(writer, 3000), await finish(writer)]
    (tmp_path / "b1/events.idx").write_bytes(damage)
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor(1234)) == b"".join(made[1234:])


async def test_a_log_that_lost_its_end_is_reported_and_not_read_for_ever(tmp_path: Path) -> None:
    writer = await EventLogs(tmp_path).open_writer("b1", 1, 1)
    await write(writer, 3000)
    await finish(writer)
    log = await opened(EventLogs(tmp_path), "b1")
    os.truncate(tmp_path / "b1/events.sse", 1000)
    with pytest.raises(CorruptStoreError, match="is shorter than it was; restore it from a backup"):
        await everything(log.cursor())


async def test_frames_that_do_not_follow_on_are_refused(tmp_path: Path) -> None:
    writer = await EventLogs(tmp_path).open_writer("b1", 1, 1)
    for wrong in (frames(1, ["gap"]), frames(0, ["a"]) * 2):
        with pytest.raises(ValueError, match="does not follow on"):
            writer.append(wrong)
    writer.append(frames(0, ["right"]))
    await writer.aclose()


async def test_a_disk_that_is_full_for_a_while_loses_nothing(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    made = await write(writer, 2)
    await writer.flush()
    commits = writer._commits
    good, commits._fd = commits._fd, os.open("/dev/full", os.O_RDWR)
    writer.append(frames(2, ["kept for later"]))
    with pytest.raises(OSError, match=r"No space left|Illegal seek"):
        await writer.flush()
    with pytest.raises(OSError, match=r"No space left|Illegal seek"):
        writer.append(frames(3, ["refused"]))
    os.close(commits._fd)
    commits._fd = good
    await writer.flush()
    made += [*frames(2, ["kept for later"]), await finish(writer)]
    assert (tmp_path / "b1/events.sse").read_bytes() == b"".join(made)


async def test_a_log_ends_in_order_where_there_is_no_room_for_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log_file, "write_index", refuse)
    writer = await EventLogs(tmp_path).open_writer("b1", 1, 1)
    made = await write(writer, 3)
    end = await finish(writer)
    assert "has no index" in caplog.text
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor()) == b"".join(made) + end


async def test_deleting_a_log_ends_its_readers_and_refuses_its_writer(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    log = await opened(logs, "b1")
    cursor = log.cursor()
    waiting = asyncio.create_task(cursor.wait())
    await asyncio.sleep(0)
    await logs.delete("b1")
    assert await waiting
    assert cursor.ended
    assert not (tmp_path / "b1").exists()
    with pytest.raises(StaleEpochError):
        writer.append(frames(0, ["late"]))
    await writer.aclose()


async def test_a_wait_ends_by_time_by_news_and_by_wake(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    cursor = (await opened(logs, "b1")).cursor()
    assert await cursor.wait(0.01) is False
    assert await cursor.wait(0.01) is False
    waiting = asyncio.create_task(cursor.wait(600))
    await asyncio.sleep(0)
    cursor.wake()
    assert await waiting is True
    waiting = asyncio.create_task(cursor.wait(600))
    await asyncio.sleep(0)
    await write(writer, 1)
    assert await waiting is True
    assert await cursor.read() != b""
    cursor.close()
    await writer.aclose()


def test_the_index_names_a_block_at_least_every_batch() -> None:
    index = LogIndex()
    for _ in range(1000):
        index.extend(1000, 5)
    assert index.seqs == [65 * 5 * n for n in range(len(index.seqs))]
    assert index.block_of(0) == (0, 65_000)
    assert index.block_of(4999) == (975_000, 1_000_000)
    assert index.block_end(66_000) == 130_000


async def test_a_build_id_is_no_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a build id"):
        await EventLogs(tmp_path).log("../b1")
