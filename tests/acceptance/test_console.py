"""The console of a whole server: the address that a first start prints on a terminal signs in, once."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path

import httpx2

from tests.cli.conftest import INGOT, clean_environment
from tests.ports import held_port

_DEADLINE = 60.0


def read_until(terminal: int, pattern: str) -> re.Match[str]:
    """Reads what is written on the terminal until it has the pattern."""
    written, deadline = b"", time.monotonic() + _DEADLINE
    os.set_blocking(terminal, False)
    while (found := re.search(pattern, written.decode(errors="replace"))) is None:
        assert time.monotonic() < deadline, written
        try:
            written += os.read(terminal, 65536)
        except BlockingIOError:
            time.sleep(0.05)
    return found


def started(home: Path, port: int) -> tuple[subprocess.Popen[bytes], int]:
    """A server on a terminal, and the terminal's other end."""
    ours, theirs = os.openpty()
    environment = clean_environment(home, INGOT_DATA_DIR=str(home / "data"))
    command = [INGOT, "up", "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    return process, ours


def test_the_first_start_on_a_terminal_prints_an_address_that_signs_in(tmp_path: Path) -> None:
    tmp_path.chmod(0o711)
    with held_port() as held:
        for is_first in (True, False):
            start_and_look(tmp_path, held.getsockname()[1], is_first=is_first)


def start_and_look(home: Path, port: int, *, is_first: bool) -> None:
    url = f"http://127.0.0.1:{port}"
    process, terminal = started(home, port)
    try:
        if is_first:
            code = read_until(terminal, rf"console .*: {url}/console/sign-in#code=(\S+)\s")[1]
            sign_in(url, code)
        else:
            read_until(terminal, rf"console: {url}/console/ \(`ingot console` signs in\)")
    finally:
        process.terminate()
        assert process.wait(60) == 0
        os.close(terminal)


def sign_in(url: str, code: str) -> None:
    with httpx2.Client(base_url=url, trust_env=False, timeout=60) as browser:
        own = {"Origin": url}
        answer = browser.post("/api/session", json={"code": code}, headers=own)
        assert (answer.status_code, answer.json()["scopes"]) == (201, ["admin"])
        assert browser.get("/api/templates?builds=true").status_code == 200
        overview = browser.get("/api/admin/overview").json()
        assert overview["backend"] in ("container", "qemu")
        assert overview["backend_reason"]
        page = browser.get("/", follow_redirects=True)
        assert page.url.path == "/console/"
        assert page.status_code == 200, "the console is not built: run `sh scripts/install dev`"
        assert browser.delete("/api/session", headers=own).status_code == 204
        assert browser.get("/api/templates").status_code == 401
        assert browser.post("/api/session", json={"code": code}, headers=own).status_code == 401
