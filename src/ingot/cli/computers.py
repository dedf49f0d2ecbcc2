"""`ingot run`: a command in a machine made from a golden, as `docker run` and `ssh HOST COMMAND` do it.

The computer is a test run, which ends with the command, or by itself after 15 idle minutes; with `--detach` or a name
it is one that lasts, for `fleet`'s commands.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.options import JsonFlag, UrlFlag, read_ref
from ingot.cli.output import Talk
from ingot.cli.session import ask
from ingot.cli.settling import until_settled
from ingot.errors import NotFoundError
from ingot.records.ref import Ref

if TYPE_CHECKING:
    from ingot.client import BashAnswer, Client, ComputerAnswer


def run(
    ref: Annotated[
        str | None, typer.Argument(metavar="[REF]", help="namespace/name@version; not with --in or --end.")
    ] = None,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="One word is a shell line, several are a program's arguments."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the computer running after the command.")] = False,
    inside: Annotated[
        str | None, typer.Option("--in", metavar="ID", help="Run the command in a computer that runs already.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Make a computer that lasts, and leave it running.")
    ] = False,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="Call it so; a computer with a name lasts.")
    ] = None,
    workspace: Annotated[
        str | None, typer.Option("--workspace", metavar="ID", help="Keep it in a workspace; such a computer lasts.")
    ] = None,
    end: Annotated[str | None, typer.Option("--end", metavar="ID", help="End a computer that was kept.")] = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, max=3600, help="How long the command may take.")
    ] = 200.0,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Start a computer from a golden and run COMMAND in it; the exit status is the command's.

    Without COMMAND the computer stays, and its id is printed.
    """
    talk = Talk(as_json)
    if end is not None:
        ask(url, lambda client: client.end_run(end))
        talk.say(f"ended {end}")
        talk.json({"deleted": True})
        return
    words = [*([ref] if inside is not None and ref is not None else []), *(command or [])]
    if inside is not None:
        if not words:
            raise typer.BadParameter("--in needs a command: ingot run --in ID -- COMMAND")
        raise typer.Exit(finish(talk, ask(url, lambda client: client.bash(inside, shell_line(words), timeout))))
    if ref is None:
        raise typer.BadParameter("name a template: ingot run namespace/name@version -- COMMAND")
    wanted = read_ref(ref)
    if detach or name is not None or workspace is not None:
        raise typer.Exit(_detach(talk, url, Lasting(wanted, name or "", workspace), words, timeout))
    if not words:
        _keep(talk, ask(url, lambda client: _start(client, wanted)))
        return
    raise typer.Exit(finish(talk, ask(url, lambda client: _run_once(client, wanted, words, timeout, keep, talk))))


def shell_line(words: list[str]) -> str:
    """One word is a line for the shell; several are quoted so that the program gets exactly them."""
    return words[0] if len(words) == 1 else shlex.join(words)


@dataclass(frozen=True, slots=True)
class Lasting:
    """A computer that `--detach` asks for."""

    ref: Ref
    name: str
    workspace: str | None


def _detach(talk: Talk, url: str | None, wanted: Lasting, words: list[str], timeout: float) -> int:
    """Makes a computer that lasts, and runs the command in it if there is one; the exit status."""

    async def launch(client: Client) -> ComputerAnswer:
        made = await client.launch(wanted.ref, name=wanted.name, workspace=wanted.workspace)
        return await until_settled(client, made)

    computer = ask(url, launch)
    talk.say(
        f"computer {computer.instance_id} ({computer.name}) lasts: `ingot exec {computer.instance_id} -- COMMAND`,"
    )
    talk.say(f"`ingot stop {computer.instance_id}`, `ingot rm {computer.instance_id}`")
    if words:
        return finish(talk, ask(url, lambda client: client.bash(computer.id, shell_line(words), timeout)))
    talk.result(computer.id)
    talk.json(computer.raw)
    return 0


async def _run_once(client: Client, ref: Ref, words: list[str], timeout: float, keep: bool, talk: Talk) -> BashAnswer:
    async with _computer(client, ref, keep) as computer:
        if keep:
            talk.say(f"computer {computer.id} stays; end it with `ingot run --end {computer.desktop_id}`")
        return await client.bash(computer.id, shell_line(words), timeout)


@contextlib.asynccontextmanager
async def _computer(client: Client, ref: Ref, keep: bool) -> AsyncIterator[ComputerAnswer]:
    computer = await _start(client, ref)
    try:
        yield computer
    finally:
        if not keep:
            await _end(client, computer)


async def _start(client: Client, ref: Ref) -> ComputerAnswer:
    """A test run that runs. What could not be started is told with the server's own words, and ended, as is what Ctrl-C
    no longer waits for: nobody was told its id."""
    import asyncio

    asked = asyncio.ensure_future(client.run(ref))
    try:
        return await until_settled(client, await asyncio.shield(asked))
    except BaseException:
        await _end(client, await asked)
        raise


async def _end(client: Client, computer: ComputerAnswer) -> None:
    with contextlib.suppress(NotFoundError):
        await client.end_run(computer.desktop_id)


def _keep(talk: Talk, computer: ComputerAnswer) -> None:
    talk.result(computer.id)
    talk.json(computer.raw)
    talk.say(f"run commands in it with `ingot run --in {computer.id} -- COMMAND`; it ends after 15 idle minutes,")
    talk.say(f"or with `ingot run --end {computer.desktop_id}`")


def finish(talk: Talk, answer: BashAnswer) -> int:
    talk.json(answer.raw)
    if not talk.as_json:
        sys.stdout.write(answer.output)
        if answer.output and not answer.output.endswith("\n") and sys.stdout.isatty():
            sys.stdout.write("\n")
    return answer.exit_code & 0xFF
