"""Terminals, services and their logs through a whole server with real machines; nothing is left, however it ends."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests.acceptance.conftest import NewServer
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, path_of

DEADLINE = 60.0


def document() -> dict[str, Any]:
    counter = "n=0; while :; do n=$((n+1)); echo told $n ü; sleep 0.1; done"
    app = {
        "name": "site",
        "services": [{"name": "teller", "user": "root", "run": counter}],
        "autostart": [{"run": "echo no good; exit 3"}],
    }
    return template("echo golden > /srv/golden", apps=[app], env={"MODE": "live"})


def open_terminal(server: Server, computer: str, query: str = "") -> ClientConnection:
    headers = {"Authorization": server.client.headers["Authorization"]}
    address = server.url.replace("http", "ws", 1) + f"/api/computers/{computer}/terminal{query}"
    return connect(address, additional_headers=headers, proxy=None, open_timeout=DEADLINE, ping_interval=None)


def until(websocket: ClientConnection, pattern: str) -> re.Match[str]:
    seen, end = "", time.monotonic() + DEADLINE
    while (found := re.search(pattern, seen)) is None:
        message = websocket.recv(timeout=max(0.1, end - time.monotonic()), decode=False)
        assert isinstance(message, bytes)
        seen += message.decode(errors="replace")
    return found


def closing(websocket: ClientConnection) -> tuple[int, str]:
    with contextlib.suppress(ConnectionClosed):
        while True:
            websocket.recv(timeout=DEADLINE)
    return websocket.close_code or 0, websocket.close_reason or ""


def settled_services(server: Server, computer: str, states: list[str]) -> list[dict[str, Any]]:
    """Once they are in these states."""
    end = time.monotonic() + DEADLINE
    while True:
        found: list[dict[str, Any]] = server.ask("GET", f"/computers/{computer}/services", 200)["services"]
        if [entry["state"] for entry in found] == states:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_a_shell_the_services_and_their_logs(server: Server) -> None:
    ref, frames = server.make(document())
    assert frames[-1].data["result"] == "ready", dump(frames)
    with server.computer(ref) as computer:
        with open_terminal(server, computer, "?cols=111&rows=22") as websocket:
            websocket.send(b"stty size; echo $MODE-$TERM; tty; cat /srv/golden\r")
            until(websocket, r"22 111\r\nlive-xterm-256color\r\n/dev/pts/\d+\r\ngolden\r\n")
            websocket.send(b"sh -c 'echo be''gun; exec sleep 600'\r")
            until(websocket, "begun")  # what is typed before that may be for the shell alone
            websocket.send(b"\x03")
            until(websocket, r"\^C")
            websocket.send('{"resize": {"cols": 70, "rows": 20}}')
            websocket.send(b"stty size\r")
            until(websocket, r"20 70\r\n")
            websocket.send(b"exit 5\r")
            assert closing(websocket) == (1000, "exited 5")
        teller, autostart = settled_services(server, computer, ["running", "exited"])
        assert (teller["name"], teller["app"], teller["state"]) == ("teller", "site", "running")
        assert (autostart["name"], autostart["app"], autostart["state"]) == ("autostart-site-1", "site", "exited")
        assert server.bash(computer, f"tr '\\0' ' ' </proc/{teller['pid']}/cmdline").startswith("/bin/bash")
        log = server.client.get(f"/api/computers/{computer}/logs/teller", params={"tail": "3"})
        assert re.fullmatch(r"told \d+ ü\ntold \d+ ü\ntold \d+ ü\n", log.text), log.text
        assert server.client.get(f"/api/computers/{computer}/logs/autostart-site-1").text == "no good\n"
        status, out = server.cli("services", computer, "autostart-site-1")
        assert (status, out) == (0, "no good\n")
        status, out = server.cli("shell", computer, stdin=b"echo $((40 + 2))\nexit 9\n")
        assert status == 9
        assert "42\r\n" in out


def test_what_builds_in_a_container_has_no_screen(server: Server) -> None:
    ref = server.publish(template("sleep 30"))
    place = f"{path_of(ref)}/build/screenshot"
    assert server.ask("GET", place, 404)["code"] == "nothing_builds"
    server.build(ref)
    with server.watch(ref) as watch:
        watch.until(phase="install")
        end = time.monotonic() + DEADLINE
        while (answer := server.client.get(f"/api{place}")).status_code == 404 and time.monotonic() < end:
            time.sleep(0.05)
        assert (answer.status_code, answer.json()["code"]) == (409, "no_screen")
        server.cancel(ref)
        watch.to_end()


@pytest.mark.parametrize("ends", ["in order", "killed"])
def test_a_terminal_ends_with_its_server(new_server: NewServer, ends: str) -> None:
    server = new_server()
    ref, _ = server.make(template("true"))
    computer = server.launch(ref)["id"]
    with open_terminal(server, computer) as websocket:
        websocket.send(b"trap '' HUP; setsid sleep 9601 & sleep 9602\r")
        until(websocket, "sleep 9602")
        if ends == "in order":
            server.end(signal.SIGTERM)
            assert closing(websocket)[0] == 1012
        else:
            server.kill()
            assert closing(websocket)[0] == 1006
    server.start()
    server.until(computer, "running")
    server.ask("DELETE", f"/computers/{computer}", 200)
    server.host.assert_clean()
