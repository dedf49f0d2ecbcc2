"""The health program as it runs inside a machine, here on the host: what counts as healthy, and in which words."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.ports import held_port

from ingot.guest.payload import health
from ingot.process import run

PROGRAM = Path(health.__file__)


async def check(tmp_path: Path, rule: dict[str, Any] | None, deadline: float = 0.2) -> tuple[int, str]:
    app = {"app": "site", "services": [], "check": rule, "watch": rule}
    config = tmp_path / "health.json"
    config.write_text(json.dumps({"socket": str(tmp_path / "none.sock"), "apps": [app]}))
    argv = [sys.executable, "-I", str(PROGRAM), "check", "--deadline", str(deadline), "--config", str(config)]
    status, output = await run(argv, timeout=30, check=False)
    return status, output.decode()


async def serve(answer: bytes) -> asyncio.Server:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(65536):
            writer.write(answer)
            await writer.drain()
        writer.close()

    return await asyncio.start_server(handle, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("answer", "status", "words"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", 0, "app site is ready"),
        (b"HTTP/1.0 503 Busy\r\n\r\n", 1, "answered 503"),
    ],
)
async def test_http_is_healthy_below_400(tmp_path: Path, answer: bytes, status: int, words: str) -> None:
    async with await serve(answer) as server:
        port = server.sockets[0].getsockname()[1]
        found, output = await check(tmp_path, {"type": "http", "url": f"http://127.0.0.1:{port}/", "timeout": 20})
    assert (found, words in output) == (status, True), output


async def test_tcp_needs_somebody_who_listens(tmp_path: Path) -> None:
    async with await serve(b"") as server:
        port = server.sockets[0].getsockname()[1]
        assert (await check(tmp_path, {"type": "tcp", "port": port}))[0] == 0
    with held_port() as held:
        port = held.getsockname()[1]
        status, output = await check(tmp_path, {"type": "tcp", "port": port})
    assert status == 1
    assert f"app site is not ready after 0.2 s: port {port}: Connection refused" in output


@pytest.mark.parametrize(
    ("command", "status", "words"),
    [
        ("true", 0, "app site is ready"),
        ("echo no database; exit 4", 1, "`echo no database; exit 4` ended with status 4: no database"),
        ("sleep 60", 1, "`sleep 60` took longer than 0.1 s"),
        ("read line", 1, "ended with status 1"),
    ],
)
async def test_a_command_decides_by_its_status(tmp_path: Path, command: str, status: int, words: str) -> None:
    found, output = await check(
        tmp_path, {"type": "command", "command": command, "timeout": 0.1 if "sl" in command else 5}
    )
    assert (found, words in output) == (status, True), output


async def test_a_process_is_found_by_the_name_of_its_program(tmp_path: Path) -> None:
    name = Path(sys.executable).name
    assert (await check(tmp_path, {"type": "process", "process": name}))[0] == 0
    status, output = await check(tmp_path, {"type": "process", "process": "no-such-program"})
    assert (status, "no process no-such-program is running" in output) == (1, True), output


async def test_an_app_without_services_and_check_is_ready(tmp_path: Path) -> None:
    assert (await check(tmp_path, None))[0] == 0
