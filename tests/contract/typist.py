"""Someone at a terminal: types lines, and reads until something shows."""

from __future__ import annotations

import asyncio
import re

from ingot.machine.contract import Terminal

DEADLINE = 120.0


class Typist:
    """`screen` is all that was shown and not yet waited for."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.screen = ""

    async def type(self, text: str) -> None:
        await self.terminal.write(text.encode())

    async def until(self, pattern: str) -> re.Match[str]:
        """Reads on until the pattern shows; what came up to its end is forgotten."""
        try:
            async with asyncio.timeout(DEADLINE):
                while (found := re.search(pattern, self.screen)) is None:
                    chunk = await self.terminal.read()
                    assert chunk, f"it ended before {pattern!r} showed: {self.screen[-2000:]!r}"
                    self.screen += chunk.decode(errors="replace")
        except TimeoutError:
            raise AssertionError(f"{pattern!r} did not show: {self.screen[-2000:]!r}") from None
        self.screen = self.screen[found.end() :]
        return found

    async def end(self) -> int:
        """Reads to the end; the exit code."""
        async with asyncio.timeout(DEADLINE):
            while chunk := await self.terminal.read():
                self.screen += chunk.decode(errors="replace")
            return await self.terminal.wait()
