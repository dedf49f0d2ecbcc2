"""Commands in a computer: how they are started, and how much of their output is kept."""

from __future__ import annotations

from collections.abc import Mapping

from ingot.machine.contract import Machine
from ingot.records.computer import ShellResult
from ingot.records.machine import Command

OUTPUT_LIMIT = 1024 * 1024
_HEAD = OUTPUT_LIMIT // 2
_TAIL = OUTPUT_LIMIT // 2 - 128
TIMED_OUT = 124


class BoundedOutput:
    """The first and the last half MiB of what a command prints; a line between them tells what was left out."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._dropped = 0

    async def write(self, chunk: bytes) -> None:
        room = max(0, _HEAD - len(self._head))
        self._head += chunk[:room]
        self._tail += chunk[room:]
        if len(self._tail) > 2 * _TAIL:
            self._trim()

    def text(self) -> str:
        """UTF-8; what is not becomes U+FFFD."""
        self._trim()
        between = f"\n[{self._dropped} bytes left out]\n".encode() if self._dropped else b""
        return (bytes(self._head) + between + bytes(self._tail)).decode(errors="replace")

    def _trim(self) -> None:
        over = max(0, len(self._tail) - _TAIL)
        self._dropped += over
        del self._tail[:over]


def shell_command(line: str, timeout: float, env: Mapping[str, str]) -> Command:
    """A line for bash, as a login of root would run it."""
    return Command(("/bin/bash", "-lc", line), timeout=timeout, env={"HOME": "/root", **env}, cwd="/root")


def python_command(code: str, timeout: float, env: Mapping[str, str]) -> Command:
    """Python code, given on stdin so that it may be long and shows in no process list."""
    return Command(
        ("/usr/bin/python3", "-"), timeout=timeout, env={"HOME": "/root", **env}, cwd="/root", stdin=code.encode()
    )


async def run_command(machine: Machine, command: Command) -> ShellResult:
    """Runs a command to its end. Past its time it is killed and the result says so, with exit code 124."""
    output = BoundedOutput()
    result = await machine.exec(command, output.write)
    if result.timed_out:
        await output.write(f"\n[killed: it did not end within {command.timeout:g} s]\n".encode())
    elif result.memory_killed:
        await output.write(b"\n[the machine's memory limit killed a process]\n")
    elif result.disk_full:
        await output.write(b"\n[the machine's disk is full]\n")
    return ShellResult(output.text(), TIMED_OUT if result.timed_out else result.exit_code)
