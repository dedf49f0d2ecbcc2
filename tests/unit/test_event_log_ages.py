"""Logs that grow old: compacted without a reader noticing, removed when their time is over, whole after a crash."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.test_event_log_files import everything, finish, opened, write

from ingot.errors import CorruptStoreError, StaleEpochError
from ingot.events import compacted, log_file
from ingot.events.keeper import LogAges, LogKeeper
from ingot.events.log import EventLogs

HOUR, DAY = 3600.0, 86_400.0


async def finished(directory: Path, build_id: str = "b1", lines: int = 12_000) -> bytes:
    """A finished log; its bytes."""
    logs = EventLogs(directory)
    writer = await logs.open_writer(build_id, 1, 1)
    made = await write(writer, lines, size=random.Random(lines).randrange(30, 200))
    return b"".join(made) + await finish(writer)


async def test_what_fails_ends_no_keeper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    logs = EventLogs(tmp_path)
    await finished(tmp_path, "b1", lines=10)
    await finished(tmp_path, "b2", lines=10)
    compact, stored, rounds = logs.compact, logs.stored, 0

    async def compact_others(build_id: str) -> bool:
        if build_id == "b1":
            raise ValueError("nobody thought of this")
        return await compact(build_id)

    async def stored_later() -> Sequence[tuple[str, float, bool]]:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise OSError(24, "Too many open files")
        return await stored()

    monkeypatch.setattr(logs, "compact", compact_others)
    monkeypatch.setattr(logs, "stored", stored_later)
    keeping = asyncio.create_task(LogKeeper(logs, LogAges(0.01, 0)).run())
    async with asyncio.timeout(60):
        while rounds < 5:
            await asyncio.sleep(0.01)
    assert not keeping.done()
    keeping.cancel()
    assert caplog.text.count("looking through old logs failed and is tried again: [Errno 24]") == 1
    assert caplog.text.count("the log of build b1 failed and is tried again: nobody thought") == 1
    assert (tmp_path / "b2" / "events.zst").exists()


def frames_of(log: bytes) -> list[bytes]:
    return [frame + b"\n\n" for frame in log.split(b"\n\n")[:-1]]


@pytest.mark.parametrize("lines", [0, 1, 500, 12_000])
async def test_a_compacted_log_is_the_same_to_its_readers(tmp_path: Path, lines: int) -> None:
    stored = await finished(tmp_path, lines=lines)
    assert await EventLogs(tmp_path).compact("b1")
    assert sorted(path.name for path in (tmp_path / "b1").iterdir()) == ["epoch", "events.zst"]
    log = await opened(EventLogs(tmp_path), "b1")
    assert (log.end, log.next_seq, log.is_plain) == (len(stored), lines + 1, False)
    assert log.terminal is not None
    assert await everything(log.cursor()) == stored
    frames = frames_of(stored)
    for seq in {0, lines // 3, lines // 2, max(0, lines - 1), lines}:
        assert await everything(log.cursor(seq)) == b"".join(frames[seq:])


async def test_any_zstd_tool_gives_the_frames(tmp_path: Path) -> None:
    stored = await finished(tmp_path)
    await EventLogs(tmp_path).compact("b1")
    path = tmp_path / "b1" / compacted.COMPACTED_FILE
    assert path.stat().st_size < len(stored) / 8
    assert subprocess.run(["zstd", "-dcq", str(path)], capture_output=True, check=True).stdout == stored


async def test_who_reads_while_it_is_compacted_or_removed_reads_on(tmp_path: Path) -> None:
    stored = await finished(tmp_path)
    logs = EventLogs(tmp_path)
    log = await opened(logs, "b1")
    cursor = log.cursor()
    begin = await cursor.read()
    assert await logs.compact("b1")
    second = await cursor.read()
    assert log.is_plain, "what is open stays as it is"
    assert await logs.expire("b1")
    assert begin + second + await everything(cursor) == stored


async def test_a_log_that_is_not_over_stays_as_it_is(tmp_path: Path) -> None:
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 1)
    await write(writer, 100)
    await writer.aclose()
    keeper = LogKeeper(logs, LogAges(compact_after=HOUR, keep_days=1))
    await keeper.look_after(now=os.stat(tmp_path / "b1").st_mtime + 400 * DAY)
    assert (tmp_path / "b1" / log_file.FRAMES_FILE).exists()
    assert not (tmp_path / "b1" / compacted.COMPACTED_FILE).exists()


async def test_logs_are_compacted_and_removed_at_their_time(tmp_path: Path) -> None:
    stored = await finished(tmp_path)
    written = (tmp_path / "b1" / log_file.FRAMES_FILE).stat().st_mtime
    keeper = LogKeeper(EventLogs(tmp_path), LogAges(compact_after=HOUR, keep_days=90))
    await keeper.look_after(written + HOUR - 10)
    assert (await opened(EventLogs(tmp_path), "b1")).is_plain
    await keeper.look_after(written + HOUR + 10)
    assert not (await opened(EventLogs(tmp_path), "b1")).is_plain
    await keeper.look_after(written + 90 * DAY - 10)
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor()) == stored
    await keeper.look_after(written + 90 * DAY + 10)
    log = await opened(EventLogs(tmp_path), "b1")
    assert (log.expired, log.end) == (True, 0)
    assert sorted(path.name for path in (tmp_path / "b1").iterdir()) == ["epoch", "expired"]
    with pytest.raises(StaleEpochError, match="was removed"):
        await EventLogs(tmp_path).open_writer("b1", 1, 2)


async def test_logs_are_kept_for_ever_when_told_so(tmp_path: Path) -> None:
    await finished(tmp_path)
    keeper = LogKeeper(EventLogs(tmp_path), LogAges(compact_after=HOUR, keep_days=0))
    await keeper.look_after(os.stat(tmp_path / "b1").st_mtime + 10_000 * DAY)
    assert not (await opened(EventLogs(tmp_path), "b1")).expired


@pytest.mark.parametrize("left", ["half", "both"])
async def test_a_crash_while_compacting_loses_nothing(tmp_path: Path, left: str) -> None:
    stored = await finished(tmp_path)
    directory = tmp_path / "b1"
    frames = (directory / log_file.FRAMES_FILE).read_bytes()
    await EventLogs(tmp_path).compact("b1")
    if left == "half":
        whole = (directory / compacted.COMPACTED_FILE).read_bytes()
        (directory / compacted.UNFINISHED_FILE).write_bytes(whole[: len(whole) // 2])
        (directory / compacted.COMPACTED_FILE).unlink()
    (directory / log_file.FRAMES_FILE).write_bytes(frames)
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor()) == stored
    assert await EventLogs(tmp_path).compact("b1")
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor()) == stored
    assert sorted(path.name for path in directory.iterdir()) == ["epoch", "events.zst"]


async def test_a_writer_that_comes_late_finds_the_end(tmp_path: Path) -> None:
    stored = await finished(tmp_path)
    await EventLogs(tmp_path).compact("b1")
    logs = EventLogs(tmp_path)
    writer = await logs.open_writer("b1", 1, 2)
    assert writer.terminal is not None
    with pytest.raises(StaleEpochError, match="has ended"):
        writer.append([b"id: 1-12001\n"])
    await writer.aclose()
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor()) == stored


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.97, 0.999])
async def test_a_damaged_file_is_an_error_and_never_wrong_frames(tmp_path: Path, place: float) -> None:
    await finished(tmp_path)
    await EventLogs(tmp_path).compact("b1")
    path = tmp_path / "b1" / compacted.COMPACTED_FILE
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x55
    path.write_bytes(content)
    logs = EventLogs(tmp_path)
    with pytest.raises(CorruptStoreError):
        await everything((await opened(logs, "b1")).cursor())


async def test_a_full_disk_leaves_the_log_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = await finished(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    keeper = LogKeeper(EventLogs(tmp_path), LogAges(compact_after=HOUR, keep_days=90))
    await keeper.look_after(os.stat(tmp_path / "b1").st_mtime + DAY)
    monkeypatch.undo()
    assert await everything((await opened(EventLogs(tmp_path), "b1")).cursor()) == stored
    assert not (tmp_path / "b1" / compacted.UNFINISHED_FILE).exists()


@pytest.mark.parametrize("size", [0, 5, 16, 300])
async def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, size: int) -> None:
    await finished(tmp_path)
    await EventLogs(tmp_path).compact("b1")
    os.truncate(tmp_path / "b1" / compacted.COMPACTED_FILE, size)
    with pytest.raises(CorruptStoreError, match="has no index"):
        await EventLogs(tmp_path).log("b1")


async def test_a_stray_file_among_the_logs_holds_nothing_up(tmp_path: Path) -> None:
    await finished(tmp_path)
    (tmp_path / "lost+found").write_text("no log")
    keeper = LogKeeper(EventLogs(tmp_path), LogAges(compact_after=HOUR, keep_days=90))
    await keeper.look_after(os.stat(tmp_path / "b1").st_mtime + DAY)
    assert not (await opened(EventLogs(tmp_path), "b1")).is_plain
