"""Commands of a virtual machine: started by a process that waits inside, read from a port, killed by their group."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ingot.errors import DeadlineError, MachineError, MachineLostError
from ingot.machine.environment import DEFAULT_ENVIRONMENT
from ingot.machine.qemu.control import Control
from ingot.machine.qemu.hardware import PORTS, Places
from ingot.machine.qemu.helper import Helper, NotStartedError, command_head
from ingot.machine.qemu.output import End
from ingot.machine.qemu.ports import Port, Ports, nowhere
from ingot.machine.threads import uninterrupted
from ingot.process import Sink
from ingot.records.machine import Command

GROUP = "/sys/fs/cgroup/system.slice/ingot.service"
_PROGRAMS = "/usr/lib/ingot/machine"
_KILL, _KILLS = 5.0, 5
_KILLED, _NOT_STARTED = 137, 126
_QUICK = 60.0
_QUICK_POLL = 0.01
_BUSY = f"not started: the machine runs {PORTS} commands already, and none of them ended in time\n".encode()


class Commands:
    """`helper` starts them; where that is too old, `agent` does, the guest agent."""

    def __init__(self, places: Places, agent: Control, helper: Helper) -> None:
        self._agent = agent
        self._helper = helper
        self._ports = Ports(places)
        self._count = 0

    async def run(self, command: Command, sink: Sink) -> tuple[End, bool]:
        """How it ended, and whether that was at its deadline. Waiting for others to end counts. It is killed before an
        error of the sink is passed on."""
        begun, runs = time.monotonic(), await self._helper.can_run()
        try:
            port = await self._ports.take(command.timeout)
        except TimeoutError:
            await sink(_BUSY)
            return End(_KILLED, 0, disk_full=False), True
        try:
            return await self._run(command, sink, port, runs, begun + command.timeout - time.monotonic())
        except NotStartedError as error:
            await sink(f"not started: {error}\n".encode())
            return End(_NOT_STARTED, 0, disk_full=False), False
        finally:
            self._ports.give_back(port)

    async def run_quickly(self, argv: Sequence[str], *, stdin: bytes = b"") -> str:
        """Runs a short program of our own, outside of what is frozen. Raises MachineError with what it said."""
        process = await self.start_program(argv, stdin=stdin, captured=True)
        deadline = time.monotonic() + _QUICK
        while not (status := await self.status(process))["exited"]:
            if time.monotonic() > deadline:
                raise DeadlineError(f"{argv[0]} did not end within {_QUICK:g} s", seconds=_QUICK)
            await asyncio.sleep(_QUICK_POLL)
        said = b"".join(base64.b64decode(status.get(name, "")) for name in ("out-data", "err-data"))
        if status.get("exitcode") != 0:
            raise MachineError(f"{argv[0]} failed in the machine: {said.decode(errors='replace').strip()[-500:]}")
        return said.decode(errors="replace")

    async def start_program(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, stdin: bytes = b"", captured: bool = False
    ) -> int:
        """Has the agent start a program; its process id."""
        arguments: dict[str, Any] = {"path": argv[0], "arg": list(argv[1:]), "capture-output": captured}
        if env is not None:
            arguments["env"] = [f"{name}={value}" for name, value in env.items()]
        if stdin:
            arguments["input-data"] = base64.b64encode(stdin).decode()
        return int((await self._agent.call("guest-exec", arguments))["pid"])

    async def status(self, process: int) -> Mapping[str, Any]:
        """Of a program that the agent started, which forgets one that it told to have ended."""
        found: Mapping[str, Any] = await self._agent.call("guest-exec-status", {"pid": process})
        return found

    async def close(self) -> None:
        await self._ports.close()

    async def _run(self, command: Command, sink: Sink, port: Port, runs: bool, within: float) -> tuple[End, bool]:
        self._count += 1
        group, timed_out = f"c{self._count}-{port.nonce[:6]}", False
        head = command_head(command, group, environment(command)) if runs else b""
        port.given = head + command.stdin if head else b""
        reading = asyncio.ensure_future(port.read(sink))
        try:
            port.asked = True
            process = await uninterrupted(self._start(command, port, head, group))
            try:
                async with asyncio.timeout(within):
                    end = await asyncio.shield(reading)
            except TimeoutError:
                timed_out = True
                end = replace(await uninterrupted(self._kill(group, reading)), status=_KILLED)
        except BaseException as error:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            if isinstance(error, NotStartedError):
                port.asked = False
            elif not isinstance(error, MachineLostError):
                await uninterrupted(self._give_up(group, port))
            raise
        if process is not None:
            with contextlib.suppress(MachineError):
                await self.status(process)
        return end, timed_out

    async def _start(self, command: Command, port: Port, head: bytes, group: str) -> int | None:
        """Has the helper start it; where that one is too old (no `head`) the agent does, whose process id is
        returned."""
        if head:
            await self._helper.start(port.number, port.nonce, head, command.stdin)
            return None
        argv = [f"{_PROGRAMS}/run", f"ingot.{port.number}", port.nonce, group, command.user, command.cwd]
        return await self.start_program([*argv, *command.argv], env=environment(command), stdin=command.stdin)

    async def _kill(self, group: str, reading: asyncio.Future[End]) -> End:
        """Kills a command and all it started, also one that is only about to begin. MachineLostError when that has no
        effect."""
        script = f"[ ! -e {GROUP}/{group} ] || echo 1 >{GROUP}/{group}/cgroup.kill"
        for _ in range(_KILLS):
            await self.run_quickly(["/bin/sh", "-c", script])
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_KILL / _KILLS):
                    return await asyncio.shield(reading)
        raise MachineLostError(f"a command could not be killed within {_KILL:g} s")

    async def _give_up(self, group: str, port: Port) -> None:
        """Kills a command whose output nobody wants any more."""
        reading = asyncio.ensure_future(port.read(nowhere))
        try:
            with contextlib.suppress(MachineError, DeadlineError):
                await self._kill(group, reading)
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


def environment(command: Command) -> dict[str, str]:
    """What a command sees."""
    own = {"HOME": "/root", "USER": "root"} if command.user == "root" else {}
    return {**DEFAULT_ENVIRONMENT, **own, **command.env}
