"""What every backend promises of terminals (machine/contract.py), asked of each of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingot.machine.contract import Backend
from ingot.machine.scripted import Scripted, ScriptedBackend
from tests.contract.test_machine_contract import SPEC, backend, base_layers, layers, run_dir, shell, stack
from tests.contract.typist import Typist

__all__ = ["backend", "base_layers", "layers", "run_dir", "stack"]
pytestmark = pytest.mark.timeout(600)

# What the scripted backend has to be told so that it answers as a real shell would.
SCRIPT = {
    'echo "<$((40 + 2)) $TERM $PWD $(id -un) $OWN>"': Scripted(
        output=(b"<42 xterm-256color /root root of its own>\n",)
    ),
    "sh -c 'echo be''gun; exec sleep 600'": Scripted(output=(b"begun\n",), until=asyncio.Event()),
    "echo mark$((2 + 3))": Scripted(output=(b"mark5\n",)),
    "false": Scripted(exit_code=1),
}


def prepared(backend: Backend) -> Backend:
    if isinstance(backend, ScriptedBackend):
        backend.script = SCRIPT
    return backend


async def test_a_shell_of_root_at_home_whose_exit_code_is_told(backend: Backend, stack: list[Path]) -> None:
    async with prepared(backend).open(SPEC, stack) as machine:
        async with machine.terminal(80, 24, {"OWN": "of its own"}) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            await typist.type('echo "<$((40 + 2)) $TERM $PWD $(id -un) $OWN>"\n')
            await typist.until("<42 xterm-256color /root root of its own>")
            await typist.type("exit 7\n")
            assert await typist.end() == 7
            assert (await terminal.read(), await terminal.wait()) == (b"", 7)
            await terminal.write(b"nobody hears this\n")
            await terminal.resize(10, 10)
        async with machine.terminal(80, 24) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            await typist.type("false\n")
            await typist.until("# ")
            await typist.type("\x04")
            assert await typist.end() == 1


async def test_control_c_ends_what_runs_and_not_the_shell(backend: Backend, stack: list[Path]) -> None:
    async with prepared(backend).open(SPEC, stack) as machine, machine.terminal(80, 24) as terminal:
        typist = Typist(terminal)
        await typist.until("# ")
        await typist.type("sh -c 'echo be''gun; exec sleep 600'\n")
        await typist.until("begun")  # what is typed before that may be for the shell alone, which it can end
        await typist.type("\x03")
        await typist.until(r"\^C")
        await typist.type("echo mark$((2 + 3))\n")
        await typist.until("mark5")


BEHIND = ("sleep 7716 &", "(trap '' HUP; while :; do echo on and on; done) &")


@pytest.mark.parametrize("behind", BEHIND)
async def test_it_is_over_with_its_shell_also_when_something_else_holds_it(
    backend: Backend, stack: list[Path], behind: str
) -> None:
    async with prepared(backend).open(SPEC, stack) as machine, machine.terminal(80, 24) as terminal:
        typist = Typist(terminal)
        await typist.until("# ")
        await typist.type(f"{behind}\n")
        await typist.until("# ")
        await typist.type("exit 3\n")
        assert await typist.end() == 3


async def test_it_has_the_size_that_it_was_given_last(backend: Backend, stack: list[Path]) -> None:
    async with prepared(backend).open(SPEC, stack) as machine, machine.terminal(101, 31) as terminal:
        typist = Typist(terminal)
        await typist.until("# ")
        await typist.type("stty size\n")
        await typist.until("31 101\r\n")
        await terminal.resize(64, 20)
        await typist.type("stty size\n")
        await typist.until("20 64\r\n")


async def test_several_are_open_beside_commands(backend: Backend, stack: list[Path]) -> None:
    async with prepared(backend).open(SPEC, stack) as machine, contextlib.AsyncExitStack() as opened:
        typists = [Typist(await opened.enter_async_context(machine.terminal(80, 24))) for _ in range(8)]
        for typist in typists:
            await typist.until("# ")
            await typist.type("echo mark$((2 + 3))\n")
        for typist in typists:
            await typist.until("mark5")
        assert (await shell(machine, "true"))[0].exit_code == 0


LEFT = (
    "sh -c 'sleep 7711 & trap \"\" HUP; sleep 7712' & setsid sleep 7713 & nohup sleep 7714 2>/dev/null & sleep 7715\n"
)
COUNT = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -c '^771[1-5]$'"


async def test_hanging_up_ends_everything_in_it_and_no_command_beside_it(backend: Backend, stack: list[Path]) -> None:
    async with prepared(backend).open(SPEC, stack) as machine:
        if backend.name != "scripted":
            await shell(machine, "sleep 7715 >/dev/null 2>&1 &")
        async with machine.terminal(80, 24) as terminal:
            typist = Typist(terminal)
            await typist.until("# ")
            await typist.type(LEFT)
            async with asyncio.timeout(60):
                while backend.name != "scripted" and (await shell(machine, COUNT))[1] != "6\n":
                    await asyncio.sleep(0.05)
        if backend.name != "scripted":
            assert (await shell(machine, COUNT))[1] == "1\n"
            zombies = "grep -ls '^State:.*zombie' /proc/[0-9]*/status"
            async with asyncio.timeout(60):
                while (await shell(machine, zombies))[1] != "":  # what ended just now is about to be waited for
                    await asyncio.sleep(0.1)
        async with machine.terminal(80, 24) as terminal:
            await Typist(terminal).until("# ")


async def test_it_goes_on_over_a_copy_and_ends_with_a_checkpoint_and_with_its_machine(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    async with contextlib.AsyncExitStack() as opened:
        async with prepared(backend).open(SPEC, stack) as machine:
            first = Typist(await opened.enter_async_context(machine.terminal(80, 24)))
            await first.until("# ")
            await machine.copy(next(layers))
            await first.type("echo mark$((2 + 3))\n")
            await first.until("mark5")
            await machine.checkpoint(next(layers))
            assert await first.end() == 137
            second = Typist(await opened.enter_async_context(machine.terminal(80, 24)))
            await second.until("# ")
        assert await second.end() == 137


async def test_much_goes_through_it_whole_both_ways(backend: Backend, stack: list[Path]) -> None:
    if backend.name == "scripted":
        return
    async with backend.open(SPEC, stack) as machine, machine.terminal(80, 24) as terminal:
        typist = Typist(terminal)
        await typist.until("# ")
        await typist.type("stty -echo; echo read''y; head -c 101000 | cksum; seq 100000 140000; echo en''d\n")
        await typist.until("ready\r\n")
        typing = asyncio.create_task(typist.type(("x" * 99 + "\n") * 1010))
        await typist.until("1976691048 101000\r\n")
        await typing
        shown = (await typist.until("(?s)(100000.*140000)\r\nend"))[1]
        assert shown.split("\r\n") == [str(number) for number in range(100_000, 140_001)]
