"""The small program that a launch runs in a machine, here on the host: it joins services and sees that all is well."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socketserver
import threading
import xmlrpc.client
import xmlrpc.server
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.ports import held_port
from tests.unit.test_guest_health import serve

from ingot.guest.boot import join_command, launch_check_command, plan_boot, quick_checks
from ingot.process import run
from ingot.records.template import Template
from ingot.template import load_canonical, parse_template

HEALTHY = {"web": {"statename": "RUNNING", "exitstatus": 0}, "once": {"statename": "EXITED", "exitstatus": 0}}


class Handler(xmlrpc.server.SimpleXMLRPCRequestHandler):
    disable_nagle_algorithm = False

    def address_string(self) -> str:
        return "unix"


class FakeSupervisor(socketserver.ThreadingUnixStreamServer, xmlrpc.server.SimpleXMLRPCDispatcher):
    """What supervisord says of its services, and what it was asked to do. `busy` answers come before the others."""

    daemon_threads = True
    logRequests = False  # noqa: N815 - the library's name

    def __init__(self, place: Path) -> None:
        xmlrpc.server.SimpleXMLRPCDispatcher.__init__(self, allow_none=True)
        socketserver.ThreadingUnixStreamServer.__init__(self, str(place), Handler)
        self.processes: dict[str, dict[str, Any]] = dict(HEALTHY)
        self.asked: list[str] = []
        self.busy = 0
        self.register_function(lambda: [[["new", "more"], ["changed"], ["gone"]]], "supervisor.reloadConfig")
        self.register_function(self._state, "supervisor.getProcessInfo")
        for name in ("stopProcessGroup", "removeProcessGroup", "addProcessGroup"):
            self.register_function(lambda group, name=name: self.asked.append(f"{name} {group}"), f"supervisor.{name}")

    def _state(self, name: str) -> dict[str, Any]:
        if name not in self.processes:
            raise xmlrpc.client.Fault(10, f"BAD_NAME: {name}")
        if self.busy:
            self.busy -= 1
            return {"statename": "STARTING", "exitstatus": 0}
        return self.processes[name]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[FakeSupervisor]:
    with FakeSupervisor(tmp_path / "sock") as fake:
        thread = threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield fake
        fake.shutdown()
        thread.join()


def template(*health: dict[str, Any], services: tuple[str, ...] = ("web",)) -> Template:
    apps = [
        {"name": f"app{number}", "services": [{"name": name, "run": "serve"} for name in services], "health": rule}
        for number, rule in enumerate(health)
    ]
    document = {"api_version": "orgo.ai/v1", "template": {"name": "s", "version": "1.0.0"}, "apps": apps}
    return load_canonical(parse_template(json.dumps(document).encode()).canonical)


async def ask(place: Path, *requests: str, seconds: float = 0.2) -> tuple[int, str]:
    program = join_command(template({"type": "tcp", "port": 1})).stdin
    status, said = await run(["perl", "-", str(place), str(seconds), *requests], timeout=30, stdin=program, check=False)
    return status, said.decode()


async def test_what_is_new_starts_and_what_is_gone_or_changed_stops(supervisor: FakeSupervisor, tmp_path: Path) -> None:
    assert await ask(tmp_path / "sock", "join") == (0, "")
    assert supervisor.asked == [
        *("stopProcessGroup changed", "removeProcessGroup changed", "stopProcessGroup gone", "removeProcessGroup gone"),
        *("addProcessGroup new", "addProcessGroup more", "addProcessGroup changed"),
    ]


async def test_services_that_run_or_ended_well_are_waited_for(supervisor: FakeSupervisor, tmp_path: Path) -> None:
    supervisor.busy = 2
    assert await ask(tmp_path / "sock", "service", "web", "service", "once", seconds=10) == (0, "")
    supervisor.busy = 1000
    assert await ask(tmp_path / "sock", "service", "web") == (75, "")


@pytest.mark.parametrize("state", [{"statename": "FATAL", "exitstatus": 0}, {"statename": "EXITED", "exitstatus": 3}])
async def test_a_service_that_gave_up_is_not_waited_for(
    supervisor: FakeSupervisor, tmp_path: Path, state: dict[str, Any]
) -> None:
    supervisor.processes["web"] = state
    assert await ask(tmp_path / "sock", "service", "web", seconds=600) == (75, "")


async def test_a_fault_and_no_answer_are_told(supervisor: FakeSupervisor, tmp_path: Path) -> None:
    status, said = await ask(tmp_path / "sock", "service", "unknown")
    assert (status != 0, "supervisord refused getProcessInfo: BAD_NAME: unknown" in said) == (True, True)
    status, said = await ask(tmp_path / "none", "join")
    assert (status != 0, "no answer from supervisord" in said) == (True, True)


async def test_apps_are_asked(tmp_path: Path) -> None:
    place = tmp_path / "sock"
    async with await serve(b"HTTP/1.0 200 OK\r\n\r\nhello") as good, await serve(b"HTTP/1.0 503 Busy\r\n\r\n") as bad:
        well, ill = (str(server.sockets[0].getsockname()[1]) for server in (good, bad))
        assert await ask(place, "tcp", well, "20", "http", "127.0.0.1", well, "/a?b=c", "20") == (0, "")
        assert (await ask(place, "http", "127.0.0.1", ill, "/", "20"))[0] == 75
    with held_port() as held:
        assert (await ask(place, "tcp", str(held.getsockname()[1]), "2"))[0] == 75
    assert (await ask(place, "http", "no-such-host.invalid", "80", "/", "2"))[0] == 75
    assert await ask(place, "command", "echo shown nowhere; test 1 = 1", "5") == (0, "")
    assert (await ask(place, "command", "sleep 600", "0.1"))[0] == 75


async def test_an_answer_that_does_not_come_is_not_waited_for(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = str(server.sockets[0].getsockname()[1])
        assert (await ask(tmp_path / "sock", "http", "127.0.0.1", port, "/", "0.5"))[0] == 75


def test_only_what_the_small_program_knows_is_asked_of_it() -> None:
    known = template(
        {"type": "http", "url": "http://localhost:8000/ok?a=1", "timeout": "2s"}, services=("web", "other")
    )
    assert quick_checks(known) == (
        *("service", "web", "service", "other"),
        *("http", "localhost", "8000", "/ok?a=1", "2"),
    )
    assert quick_checks(template({"type": "tcp", "port": 80})) == ("service", "web", "tcp", "80", "5")
    for rule in ({"type": "http", "url": "https://localhost/"}, {"type": "process", "process": "web"}):
        assert quick_checks(template(rule)) is None
        assert launch_check_command(template(rule)).argv[0] == "python3"


def test_a_resumed_machine_whose_build_ran_everything_is_asked_nothing() -> None:
    watched = template({"type": "tcp", "port": 80})
    plain = replace(watched, apps=tuple(replace(app, health=None) for app in watched.apps))
    [joining, checking] = plan_boot(watched, {}, resumed=True).commands
    assert "join" in joining.command.argv[-1]
    assert checking.name == "health checks"
    [nothing] = plan_boot(plain, {}, resumed=True).commands
    assert "join" not in nothing.command.argv[-1]
    assert nothing.command.stdin == b""
