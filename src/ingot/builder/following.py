"""What services of a build log, copied into its log under their apps' names as it grows, by one command for all.

The command is told when it is enough, and what the services had logged by then is in the build's log, also where it
began late.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import struct
from collections.abc import AsyncIterator, Sequence

from ingot.builder.report import Output, Reporter
from ingot.errors import MachineError
from ingot.guest import layout
from ingot.guest.boot import follow_command
from ingot.guest.services import build_services
from ingot.machine.contract import Machine
from ingot.records.machine import Command, CommandResult
from ingot.records.template import App

_HEAD = struct.Struct(">II")
_LARGEST = 64 * 1024
_FINISHING = 15.0


@contextlib.asynccontextmanager
async def followed(
    machine: Machine, apps: Sequence[App], report: Reporter, timeout: float
) -> AsyncIterator[list[Output]]:
    """Within the context logs are copied, to what they have when it ends in order; the outputs of the apps, those
    without a service left out."""
    async with contextlib.AsyncExitStack() as opened:
        logs, outputs = [], []
        for app in apps:
            if services := build_services(app):
                logs.append([service.log or layout.service_log(service.name) for service in services])
                outputs.append(await opened.enter_async_context(report.output(app.name)))
        if not logs:
            yield []
            return
        end = f"{layout.RUN}/followed-{secrets.token_hex(4)}"
        copying = asyncio.create_task(machine.exec(follow_command(logs, end, timeout), Parting(outputs).write))
        try:
            yield outputs
            await _finish(machine, copying, end)
        finally:
            copying.cancel()
            await asyncio.gather(copying, return_exceptions=True)


async def _finish(machine: Machine, copying: asyncio.Task[CommandResult], end: str) -> None:
    """Where the machine cannot be told, what has come by then is what there is."""
    with contextlib.suppress(MachineError):
        await machine.exec(Command(("/bin/sh", "-c", f": >{end}"), timeout=_FINISHING), _ignored)
        await asyncio.wait([copying], timeout=_FINISHING)


async def _ignored(_: bytes) -> None:
    return None


class Parting:
    """Takes what the command prints apart into what each output is to get."""

    def __init__(self, outputs: Sequence[Output]) -> None:
        self._outputs = outputs
        self._held = bytearray()

    async def write(self, chunk: bytes) -> None:
        """Raises MachineError for what the command does not print: it was meddled with."""
        self._held += chunk
        while len(self._held) >= _HEAD.size:
            number, length = _HEAD.unpack_from(self._held)
            if number >= len(self._outputs) or length > _LARGEST:
                raise MachineError("the machine did not tell its services' logs apart")
            end = _HEAD.size + length
            if len(self._held) < end:
                return
            piece = bytes(self._held[_HEAD.size : end])
            del self._held[:end]
            await self._outputs[number].write(piece)
