"""Runs the command as a user does: a process of its own, with its own home, against a real server."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.fake_server import KEY

INGOT = Path(sys.executable).with_name("ingot")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str


Run = Callable[..., Awaitable[Ran]]


def clean_environment(home: Path, **more: str) -> dict[str, str]:
    """The environment without any setting of ours, homes in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("INGOT_", "XDG_"))}
    return kept | {"HOME": str(home), "TERM": "xterm-256color", "PYTHONWARNINGS": "error", **more}


@pytest.fixture
def ingot(tmp_path: Path) -> Run:
    """`await ingot("status", REF, url=…)` runs the command to its end and returns what it printed."""

    async def run(*arguments: str, url: str = "", key: str = KEY, stdin: bytes = b"", **environment: str) -> Ran:
        extra = {"INGOT_URL": url, "INGOT_API_KEY": key} if url else {}
        process = await asyncio.create_subprocess_exec(
            INGOT,
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=clean_environment(tmp_path, **extra, **environment),
            cwd=tmp_path,
        )
        try:
            async with asyncio.timeout(60):
                out, err = await process.communicate(stdin)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise
        assert process.returncode is not None
        return Ran(process.returncode, out.decode(), err.decode())

    return run
