"""Talking to the process that waits inside every machine (`payload/arrive`): a request and its answer, a line each."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from ingot.errors import MachineError, MachineLostError
from ingot.machine.threads import uninterrupted
from ingot.records.machine import Command

_DEADLINE = 60.0
_GONE = "the machine is gone: it did not answer its host"
_TRIES, _QUICK = 10, 40_000_000


class NotStartedError(MachineError):
    """The machine has no process for a command."""


class Helper:
    """Connects when it is first asked."""

    def __init__(self, place: Path) -> None:
        self._runs: bool | None = None
        self._place = place
        self._link: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._asking = asyncio.Lock()

    async def arrive(self, identity: Sequence[str]) -> None:
        """Sets the machine's clock, gives it entropy and an identity, and lets frozen commands go on."""
        await self.can_run()  # the first answer takes longest, and would tell the time badly
        offset = await self._clock_offset()
        said = await self._answer(f"arrive {offset} {secrets.token_hex(64)} {' '.join(identity)}")
        if said != "ok":
            raise MachineLostError(f"the machine could not take up its clock and identity: {said}")

    async def _clock_offset(self) -> int:
        """By how many nanoseconds the machine's clock is behind, as exact as half of how long the answer took: on a
        busy host the best of a few."""
        found = []
        for _ in range(_TRIES):
            before = time.time_ns()
            inside = int((await self._answer("time")).split()[0])
            after = time.time_ns()
            found.append((after - before, (before + after) // 2 - inside))
            if found[-1][0] <= _QUICK:
                break
        return min(found)[1]

    async def can_run(self) -> bool:
        """Whether it starts commands itself. One that an older base holds, or a state captured then, does not."""
        if self._runs is None:
            self._runs = (await self._answer("time")).endswith(" runs")
        return self._runs

    async def start(self, port: int, nonce: str, head: bytes, stdin: bytes) -> None:
        """Has it start a command whose output comes through a port. It wants head and input through that port, not
        before the command's begin has come: until then the port may be that of the command before. Raises
        NotStartedError."""
        said = await self._answer(f"run {port} {nonce} {len(head)} {len(stdin)}")
        if said != "ok":
            raise NotStartedError(said.removeprefix("failed: "))

    async def close(self) -> None:
        if self._link is not None:
            self._link[1].close()

    async def _answer(self, request: str) -> str:
        try:
            async with self._asking:
                answer = await uninterrupted(self._exchange(request))
        except (TimeoutError, ValueError) as error:
            raise MachineLostError(f"the machine did not answer its host: {error!r}") from error
        except OSError as error:
            raise MachineLostError(_GONE) from error
        if not answer:
            raise MachineLostError(_GONE)
        return answer.decode(errors="replace").strip()

    async def _exchange(self, request: str) -> bytes:
        """To its end even when the caller is cancelled: a late answer would be taken for the next request's."""
        async with asyncio.timeout(_DEADLINE):
            if self._link is None:
                self._link = await asyncio.open_unix_connection(str(self._place))
            reader, writer = self._link
            writer.write(f"{request}\n".encode())
            return await reader.readline()


def command_head(command: Command, group: str, env: Mapping[str, str]) -> bytes:
    """What `run` reads first: words with NUL between them."""
    variables = [f"{name}={value}" for name, value in env.items()]
    words = [group, command.user, command.cwd, str(len(variables)), *variables, *command.argv]
    return "\0".join(words).encode(errors="surrogateescape")
