"""`ingot up` on machines that run nothing: their commands do what their own text says. To be run as a module.

A script's lines, of those that it knows: `lines N` prints so many, `say TEXT` one, `flood` prints until it is ended,
`wait FILE` until the file is there on the host, `exit N` ends with that status; `memory`, `disk`, `lost` and `broken`
end it as a machine does that has no more memory, no more room, is gone, or cannot be understood.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import struct
import sys
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

from ingot import service
from ingot.errors import MachineError, MachineLostError
from ingot.host import Chosen
from ingot.machine.scripted import ScriptedBackend, ScriptedMachine
from ingot.process import Sink
from ingot.records.machine import Command, CommandResult
from ingot.settings import load_settings

_FLOOD_BATCH = 500
_POLL_SECONDS = 0.02
_TIMED_OUT = 137
_ENDS = {"memory": CommandResult(137, 0, memory_killed=True), "disk": CommandResult(1, 0, disk_full=True)}
_ERRORS = {
    "lost": MachineLostError("the machine ended by itself"),
    "broken": MachineError("the machine said something that cannot be understood"),
}
_COLOURS = ((20, 60, 110), (40, 110, 70))


class TalkingMachine(ScriptedMachine):
    """Does what scripts say. Health checks of an app that is named `sick` fail; nothing can be fetched."""

    async def exec(self, command: Command, sink: Sink) -> CommandResult:
        begun = time.monotonic()
        try:
            async with asyncio.timeout(command.timeout):
                result = await self._do(command, sink)
        except TimeoutError:
            result = CommandResult(_TIMED_OUT, 0, timed_out=True)
        spent = round((time.monotonic() - begun) * 1000)
        return CommandResult(result.exit_code, spent, result.timed_out, result.memory_killed, result.disk_full)

    async def _do(self, command: Command, sink: Sink) -> CommandResult:
        if command.argv[0] == "curl":
            await sink(b"curl: (6) Could not resolve host: nowhere.invalid\n")
            return CommandResult(6, 0)
        if "check" in " ".join(command.argv) and any(b"sick" in body for body in self.files.values()):
            await sink(b"sick is not ready: its port 9999 does not answer\n")
            return CommandResult(1, 0)
        for line in command.argv[-1].splitlines():
            if (result := await self._line(line.strip(), sink)) is not None:
                return result
        self._write({f"/srv/{abs(hash(command.argv))}": command.argv[-1].encode()})
        return CommandResult(0, 0)

    async def _line(self, line: str, sink: Sink) -> CommandResult | None:
        """None when the script goes on."""
        word, _, rest = line.partition(" ")
        match word:
            case "lines":
                await sink(b"".join(b"line %d of the output\n" % number for number in range(1, int(rest) + 1)))
            case "say":
                await sink(f"{rest}\n".encode())
            case "flood":
                await _flood(sink)
            case "wait":
                while not Path(rest).exists():
                    await asyncio.sleep(_POLL_SECONDS)
            case "exit":
                return CommandResult(int(rest), 0)
            case "lost" | "broken":
                raise _ERRORS[word]
        return _ENDS.get(word)

    async def set_screen_password(self, password: str) -> None:
        """Nobody can look at it but through pictures."""

    async def screenshot(self) -> bytes:
        return _picture(_COLOURS[int(time.monotonic()) % len(_COLOURS)])


class TalkingBackend(ScriptedBackend):
    has_screen = True

    @contextlib.asynccontextmanager
    async def open(self, *arguments: object, **more: object) -> AsyncIterator[ScriptedMachine]:
        async with super().open(*arguments, **more) as machine:  # type: ignore[arg-type]
            machine.__class__ = TalkingMachine
            yield machine


async def _flood(sink: Sink) -> None:
    batch = b"".join(b"%d bottles of beer on the wall, %d bottles of beer\n" % (n, n) for n in range(_FLOOD_BATCH))
    while True:
        await sink(batch)
        await asyncio.sleep(0)


@functools.cache
def _picture(colour: tuple[int, int, int], width: int = 320, height: int = 200) -> bytes:
    """A PNG of one colour."""

    def part(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = (b"\0" + bytes(colour) * width) * height
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


async def _talking(_: object) -> Chosen:
    return Chosen(TalkingBackend(), "a test asked for it")


if __name__ == "__main__":
    service.choose_backend = _talking
    sys.exit(service.serve(*load_settings()))
