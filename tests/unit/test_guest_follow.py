"""The small program that copies services' logs, here on the host, and how what it prints is taken apart."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ingot.builder.following import Parting
from ingot.errors import MachineError
from ingot.guest.boot import follow_command
from ingot.process import run


class Kept:
    def __init__(self) -> None:
        self.text = ""

    async def write(self, chunk: bytes) -> None:
        self.text += chunk.decode()

    def last_lines(self) -> tuple[str, ...]:
        return ()


async def test_files_are_copied_under_their_numbers_while_they_come_grow_and_are_replaced(tmp_path: Path) -> None:
    web, more, mail = tmp_path / "web", tmp_path / "more", tmp_path / "mail"
    kept = [Kept(), Kept()]

    async def said(holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(50):
            while not holds():
                await asyncio.sleep(0.02)

    web.write_text("one\n")
    end = tmp_path / "end"
    command = follow_command([[str(web), str(more)], [str(mail), "/dev/zero"]], str(end), 60)
    copying = asyncio.create_task(run(command.argv, timeout=60, stdin=command.stdin, sink=Parting(kept).write))
    try:
        await said(lambda: kept[0].text == "one\n")
        mail.write_text("x" * 200_000)
        with web.open("a") as file:
            file.write("two")
        await said(lambda: (len(kept[1].text), kept[0].text) == (200_000, "one\ntwo"))
        web.rename(tmp_path / "old")
        web.write_text("new\n")
        await said(lambda: kept[0].text == "one\ntwonew\n")
        more.write_text("long line\n")
        await said(lambda: kept[0].text.endswith("long line\n"))
        more.write_text("a\n")
        await said(lambda: kept[0].text.endswith("long line\na\n"))
        with mail.open("a") as file:
            file.write("y" * 200_000)
        end.touch()
        assert (await copying)[0] == 0
        assert kept[1].text == "x" * 200_000 + "y" * 200_000
        assert not end.exists()
    finally:
        copying.cancel()
        await asyncio.wait([copying])


async def test_one_that_begins_when_it_is_enough_copies_what_there_is(tmp_path: Path) -> None:
    """Also from one that grows without an end."""
    web, end, kept = tmp_path / "web", tmp_path / "end", [Kept()]
    web.write_text("all of it\n")
    end.touch()
    growing = await asyncio.create_subprocess_exec("sh", "-c", f"while :; do echo more; done >>{web}")
    try:
        command = follow_command([[str(web)]], str(end), 60)
        assert (await run(command.argv, timeout=60, stdin=command.stdin, sink=Parting(kept).write))[0] == 0
    finally:
        growing.kill()
        await growing.wait()
    assert kept[0].text.startswith("all of it\n")


async def test_pieces_are_told_apart_however_they_come() -> None:
    chance = random.Random(4)
    pieces = [(chance.randrange(3), str(number) * chance.randrange(40)) for number in range(50)]
    whole = b"".join(struct.pack(">II", number, len(text)) + text.encode() for number, text in pieces)
    for size in (1, 9, 1000):
        kept = [Kept() for _ in range(3)]
        parting = Parting(kept)
        for start in range(0, len(whole), size):
            await parting.write(whole[start : start + size])
        assert [one.text for one in kept] == ["".join(text for own, text in pieces if own == n) for n in range(3)]


@pytest.mark.parametrize("chunk", [b"perl: No such file or directory\n", struct.pack(">II", 0, 1 << 20)])
async def test_what_is_no_piece_is_told(chunk: bytes) -> None:
    with pytest.raises(MachineError, match="did not tell its services' logs apart"):
        await Parting([Kept()]).write(chunk)
