"""The console on real pseudo-terminals: what is on the screen at the end, at any width, with and without colour."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import struct
import termios
from pathlib import Path

import pytest

from tests.cli.conftest import INGOT, clean_environment
from tests.cli.fake_server import KEY, build_object, fake_server, frame, ready_log

REF = "default/hello@1.0.0"
BUILD = "/api/templates/default/hello/1.0.0/build"
ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07]*\x07)")


async def on_terminal(home: Path, url: str, columns: int, lines: int, **environment: str) -> tuple[int, str]:
    """The command's status and every byte it wrote to a terminal of that size."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    loop = asyncio.get_running_loop()
    written, over = bytearray(), asyncio.Event()

    def read() -> None:
        try:
            chunk = os.read(ours, 65536)
        except OSError:
            chunk = b""
        written.extend(chunk)
        if not chunk:
            loop.remove_reader(ours)
            over.set()

    process = await asyncio.create_subprocess_exec(
        INGOT,
        "build",
        "--follow",
        REF,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=clean_environment(home, INGOT_URL=url, INGOT_API_KEY=KEY, **environment),
    )
    os.close(theirs)
    loop.add_reader(ours, read)
    async with asyncio.timeout(60):
        await over.wait()
        status = await process.wait()
    os.close(ours)
    return status, written.decode()


def final_screen(written: str) -> list[str]:
    """What is left when redrawn rows are taken away: each repaint goes up over the rows it draws again."""
    rows: list[str] = []
    for up, text in re.findall(r"(?:\x1b\[(\d+)A\r)|([^\x1b]*(?:\x1b(?!\[\d+A\r)[^\x1b]*)*)", written):
        if up:
            del rows[len(rows) - int(up) :]
        elif text:
            rows += [ESCAPE.sub("", row).rstrip() for row in text.replace("\r\n", "\n").split("\n")[:-1]]
    return rows


async def test_a_ready_build_leaves_a_line_a_phase_and_step(tmp_path: Path) -> None:
    async with fake_server(ready_log()) as fake:
        fake.answers["GET", BUILD] = (200, build_object("ready", build_time_ms=2700))
        status, written = await on_terminal(tmp_path, fake.url, 60, 24)
    assert status == 0
    rows = final_screen(written)
    assert [row.split()[:2] for row in rows[:7]] == [
        ["✓", "publish"],
        ["✓", "compile"],
        ["✓", "boot"],
        ["✓", "install"],
        ["✓", "1/2"],
        ["✓", "2/2"],
        ["✓", "archive"],
    ]
    assert rows[4].startswith("  ✓ 1/2 apt ripgrep  ")
    assert rows[4].endswith("CACHED")
    assert rows[5].startswith("  ✓ 2/2 run make  ")
    assert rows[5].endswith("1.5s")
    assert rows[7] == "✓ golden snapshot ready in 2.7s"
    assert rows[8] == f"ready {REF} in 2.7s"
    assert "\x1b[?25h" in written[-200:], "the cursor must be shown again"


@pytest.mark.parametrize("columns", [40, 80])
async def test_a_failed_step_shows_its_whole_output_and_no_row_is_too_wide(tmp_path: Path, columns: int) -> None:
    wide = "日本語の行" * 20
    log = [
        frame(0, "info", "install", "step 1/1 run " + "make very long " * 8 + ": run (new)", "builder"),
        *(frame(seq, "info", "install", f"output {seq}", "run") for seq in range(1, 40)),
        frame(40, "info", "install", f"\x1b[31m{wide}\x1b[0m\t\x1b[2Jx", "run"),
        frame(
            41,
            "error",
            "install",
            "build failed: step 1/1: exit code 2",
            "builder",
            result="failed",
            attempt=1,
            duration_ms=900,
            error={"code": "step_failed", "message": "exit code 2"},
        ),
    ]
    async with fake_server(log) as fake:
        fake.answers["GET", BUILD] = (200, build_object("failed"))
        status, written = await on_terminal(tmp_path, fake.url, columns, 12)
    assert status == 1
    rows = final_screen(written)
    begin = next(place for place, row in enumerate(rows) if row.startswith("--- output of step 1/1 run make"))
    assert rows[begin + 1 : begin + 40] == [f"output {seq}" for seq in range(1, 40)]
    assert rows[begin + 40].startswith(wide)
    assert "✗ build failed: step 1/1: exit code 2" in rows
    assert all(len(row) < columns for row in rows[: begin + 40])
    assert "\x1b[2J" not in written


async def test_no_color_leaves_no_colour(tmp_path: Path) -> None:
    log = [frame(0, "info", "boot", "\x1b[31mred\x1b[0m"), *ready_log()[1:]]
    async with fake_server(log) as fake:
        fake.answers["GET", BUILD] = (200, build_object("ready"))
        _, written = await on_terminal(tmp_path, fake.url, 80, 24, NO_COLOR="1")
        _, coloured = await on_terminal(tmp_path, fake.url, 80, 24)
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|38)(?:;\d+)*m")
    assert colour.search(written) is None
    assert colour.search(coloured) is not None


async def test_a_dumb_terminal_gets_plain_lines(tmp_path: Path) -> None:
    async with fake_server(ready_log(2)) as fake:
        fake.answers["GET", BUILD] = (200, build_object("ready"))
        status, written = await on_terminal(tmp_path, fake.url, 80, 24, TERM="dumb")
    assert status == 0
    assert "\x1b" not in written
    assert "0.5s install  run      made part 5" in written


async def test_a_terminal_without_utf8_gets_ascii(tmp_path: Path) -> None:
    async with fake_server(ready_log(2)) as fake:
        fake.answers["GET", BUILD] = (200, build_object("ready"))
        _, written = await on_terminal(tmp_path, fake.url, 80, 24, PYTHONIOENCODING="ascii:replace")
    assert "+ publish" in "\n".join(final_screen(written))
