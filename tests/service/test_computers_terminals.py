"""Terminals of computers, their services and logs: limits, idleness, and what a computer that is off answers."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from house import ACCOUNT, DOCUMENT, RUN, house
from tests.contract.typist import Typist

from ingot.errors import CapacityError, ConflictError, NotFoundError
from ingot.launcher.use import MOST_TERMINALS
from ingot.machine.scripted import Scripted
from ingot.records.computer import ComputerStatus, ServiceStatus

SITE: dict[str, Any] = {
    **DOCUMENT,
    "apps": [
        {
            "name": "site",
            "services": [
                {"name": "web", "run": "serve"},
                {"name": "mail", "run": "post", "log": "/srv/mail 100%;.log"},
            ],
            "autostart": [{"run": "open-page"}],
            "health": {"type": "tcp", "port": 80},
        }
    ],
}
STATUS = (
    b"autostart-site-1                 EXITED    Nov 25 03:14 PM\n"
    b"ingot-health                     RUNNING   pid 41, uptime 0:00:05\n"
    b"web                              RUNNING   pid 40, uptime 1 day, 0:00:05\n"
    b"mail                             FATAL     Exited too quickly (process log may have details)\n"
)


async def test_a_terminal_has_the_templates_environment_and_ends_with_the_computer(tmp_path: Path) -> None:
    async with house(tmp_path, {"env": Scripted(output=(b"here\n",))}) as home:
        computer = await home.launch()
        async with home.computers.terminal(ACCOUNT, computer.id, 80, 24) as terminal:
            typist = Typist(terminal)
            await typist.type("env\n")
            await typist.until("here")
            [typed] = [command for command in home.backend.commands if command.argv[-1] == "env"]
            assert (typed.env["MODE"], typed.env["TOKEN"]) == ("test", "it's a secret")
            await home.computers.stop(ACCOUNT, computer.id)
            assert await typist.end() == 137
        with pytest.raises(ConflictError, match="the computer is stopped"):
            async with home.computers.terminal(ACCOUNT, computer.id, 80, 24):
                pass


async def test_no_more_than_some_at_a_time(tmp_path: Path) -> None:
    async with house(tmp_path) as home:
        computer = await home.launch()
        async with contextlib.AsyncExitStack() as opened:
            for _ in range(MOST_TERMINALS):
                await opened.enter_async_context(home.computers.terminal(ACCOUNT, computer.id, 80, 24))
            with pytest.raises(CapacityError, match="the computer has 8 terminals open already; try again in 30 s"):
                async with home.computers.terminal(ACCOUNT, computer.id, 80, 24):
                    pass
        async with home.computers.terminal(ACCOUNT, computer.id, 80, 24) as terminal:
            await Typist(terminal).until("# ")


async def test_one_with_a_terminal_open_is_not_idle(tmp_path: Path) -> None:
    async with house(tmp_path, idle=3) as home:
        run = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        async with home.computers.terminal(ACCOUNT, run.id, 80, 24):
            await asyncio.sleep(4)
            assert (await home.computers.get(ACCOUNT, run.id)).status is ComputerStatus.RUNNING
        async with asyncio.timeout(60):
            while await home.computers.list(ACCOUNT):
                await asyncio.sleep(0.05)


async def test_who_reads_its_services_and_logs_keeps_it_not_awake(tmp_path: Path) -> None:
    async with house(tmp_path, document=SITE, idle=0.3) as home:
        run = await home.computers.launch(ACCOUNT, home.item, home.golden.key, RUN)
        async with asyncio.timeout(60):
            with contextlib.suppress(ConflictError, NotFoundError):  # as soon as it has ended
                while await home.computers.services(ACCOUNT, run.id):
                    await home.computers.service_log(ACCOUNT, run.id, "web", 5)
            while await home.computers.list(ACCOUNT):
                await asyncio.sleep(0.02)


async def test_services_are_told_in_the_templates_order(tmp_path: Path) -> None:
    async with house(
        tmp_path, {"supervisorctl -c /etc/ingot/supervisord.conf status": Scripted((STATUS,))}, document=SITE
    ) as home:
        computer = await home.launch()
        assert await home.computers.services(ACCOUNT, computer.id) == [
            ServiceStatus("web", "site", "running", "uptime 1 day, 0:00:05", 40),
            ServiceStatus("mail", "site", "fatal", "Exited too quickly (process log may have details)", None),
            ServiceStatus("autostart-site-1", "site", "exited", "Nov 25 03:14 PM", None),
            ServiceStatus("ingot-health", None, "running", "uptime 0:00:05", 41),
        ]


async def test_where_supervisord_does_not_answer_states_are_unknown(tmp_path: Path) -> None:
    said = Scripted((b"unix:///run/ingot/supervisor.sock no such file\n",), exit_code=4)
    async with house(tmp_path, {"supervisorctl": said}, document=SITE) as home:
        computer = await home.launch()
        [first, *_] = await home.computers.services(ACCOUNT, computer.id)
        assert first == ServiceStatus("web", "site", "unknown", "unix:///run/ingot/supervisor.sock no such file", None)
    other = tmp_path / "other"
    other.mkdir()
    async with house(other) as home:
        assert await home.computers.services(ACCOUNT, (await home.launch()).id) == ()
        assert not [command for command in home.backend.commands if "supervisorctl" in command.argv[0]]


async def test_the_log_that_is_read_is_the_services_own(tmp_path: Path) -> None:
    async with house(tmp_path, {"tail -n": Scripted((b"one\ntwo\n",))}, document=SITE) as home:
        computer = await home.launch()
        assert await home.computers.service_log(ACCOUNT, computer.id, "web", 5) == "one\ntwo\n"
        await home.computers.service_log(ACCOUNT, computer.id, "mail", 7)
        asked = [command.argv[4:6] for command in home.backend.commands if "tail -n" in " ".join(command.argv)]
        assert asked == [("/var/log/ingot/web.log", "5"), ("/srv/mail 100%.log", "7")]
        with pytest.raises(NotFoundError, match="no service 'nginx'; it has web, mail, autostart-site-1, ingot-health"):
            await home.computers.service_log(ACCOUNT, computer.id, "nginx", 5)
        await home.computers.stop(ACCOUNT, computer.id)
        with pytest.raises(ConflictError, match="the computer is stopped"):
            await home.computers.service_log(ACCOUNT, computer.id, "web", 5)
