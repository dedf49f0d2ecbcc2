"""Processes on the host that end with the server that started them, by real processes that are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

_SERVER = """
import asyncio, sys
from ingot.process import run
asyncio.run(run(["sh", "-c", 'echo $$ >"$1.half" && mv "$1.half" "$1" && exec sleep 60', "-", sys.argv[1]],
                timeout=60, dies_with_us=True))
"""
_SLOW_SETPRIV = """#!/bin/sh
echo $$ >"$WAITING.half" && mv "$WAITING.half" "$WAITING"
while [ ! -e "$GO" ]; do sleep 0.01; done
exec /usr/bin/setpriv "$@"
"""


async def appears(file: Path) -> int:
    """The process id that is written there."""
    async with asyncio.timeout(60):
        while not file.exists():
            await asyncio.sleep(0.02)
    return int(file.read_text())


async def ends(pid: int) -> None:
    async with asyncio.timeout(60):
        with contextlib.suppress(OSError):
            while Path(f"/proc/{pid}/cmdline").read_bytes():  # nothing for one that nobody has waited for yet
                await asyncio.sleep(0.02)


async def test_a_process_ends_with_a_server_that_is_killed(tmp_path: Path) -> None:
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", _SERVER, str(tmp_path / "runs"))
    process = await appears(tmp_path / "runs")
    server.send_signal(signal.SIGKILL)
    await server.wait()
    await ends(process)


async def test_a_process_whose_server_ended_before_it_began_does_not_run(tmp_path: Path) -> None:
    setpriv = tmp_path / "bin/setpriv"
    setpriv.parent.mkdir()
    setpriv.write_text(_SLOW_SETPRIV)
    setpriv.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{setpriv.parent}:{os.environ['PATH']}",
        "WAITING": str(tmp_path / "waiting"),
        "GO": str(tmp_path / "go"),
    }
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", _SERVER, str(tmp_path / "runs"), env=env)
    process = await appears(tmp_path / "waiting")
    server.send_signal(signal.SIGKILL)
    await server.wait()
    (tmp_path / "go").touch()
    await ends(process)
    assert not (tmp_path / "runs").exists()
