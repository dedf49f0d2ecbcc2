"""`ingot ps`, `exec`, `start`, `stop`, `restart`, `clone` and `rm`: computers that last.

A computer is named by its id, its short id, or its name where no other has it. A command comes back when what it asked
for is done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.computers import finish, shell_line
from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk
from ingot.cli.session import ask
from ingot.cli.settling import STOP_DEADLINE, find_computer, until_settled

if TYPE_CHECKING:
    from ingot.client import BashAnswer, Client, ComputerAnswer

ComputerArgument = Annotated[str, typer.Argument(metavar="COMPUTER", help="Its id, its short id, or its name.")]
ComputersArgument = Annotated[list[str], typer.Argument(metavar="COMPUTER...", help="Ids, short ids, or names.")]


def list_computers(url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """List computers, test runs as well: what each is, and what went wrong with it."""
    talk = Talk(as_json)
    found = ask(url, lambda client: client.computers())
    rows = [(one.instance_id, one.name, one.status, one.ref, one.created_at, one.error or "") for one in found]
    talk.table(
        ("ID", "NAME", "STATUS", "TEMPLATE", "CREATED", "ERROR"), rows, "there are no computers: `ingot run -d REF`"
    )
    talk.json({"computers": [one.raw for one in found]})


def run_in_computer(
    computer: ComputerArgument,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="One word is a shell line, several are a program.")
    ],
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, max=3600, help="How long the command may take.")
    ] = 200.0,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Run COMMAND in a computer, as root; the exit status is the command's."""

    async def execute(client: Client) -> BashAnswer:
        found = await find_computer(client, computer)
        return await client.bash(found.id, shell_line(command), timeout)

    raise typer.Exit(finish(Talk(as_json), ask(url, execute)))


def start(computers: ComputersArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Have computers run again, with the files that they had."""

    async def change(client: Client, computer: ComputerAnswer) -> ComputerAnswer:
        return await until_settled(client, await client.start_computer(computer.id))

    _change_each(computers, change, "started", url, as_json)


def stop(computers: ComputersArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Stop computers; their files stay."""

    async def change(client: Client, computer: ComputerAnswer) -> ComputerAnswer:
        return await until_settled(client, await client.stop_computer(computer.id), "stopped", STOP_DEADLINE)

    _change_each(computers, change, "stopped", url, as_json)


def restart(computers: ComputersArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Stop computers and start them again."""

    async def change(client: Client, computer: ComputerAnswer) -> ComputerAnswer:
        restarting = await client.restart_computer(computer.id)
        return await until_settled(client, restarting, deadline=STOP_DEADLINE)

    _change_each(computers, change, "restarted", url, as_json)


def remove(computers: ComputersArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """End computers, whatever they do, and remove their files."""
    talk = Talk(as_json)
    removed: list[str] = []
    for text in computers:

        async def delete(client: Client, text: str = text) -> str:
            found = await find_computer(client, text)
            await client.delete_computer(found.id)
            return found.id

        removed.append(ask(url, delete))
        talk.say(f"removed {text}")
    talk.json({"deleted": removed})


def clone(
    computer: ComputerArgument,
    name: Annotated[
        str | None, typer.Option("--name", metavar="NAME", help="What the clone is called; NAME-clone when not told.")
    ] = None,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Make another computer with the files that this one has now; this one goes on undisturbed."""
    talk = Talk(as_json)

    async def copy(client: Client) -> ComputerAnswer:
        found = await find_computer(client, computer)
        return await until_settled(client, await client.clone_computer(found.id, name=name or ""))

    made = ask(url, copy)
    talk.say(f"computer {made.instance_id} ({made.name}) is a clone of {computer}")
    talk.result(made.id)
    talk.json(made.raw)


def _change_each(
    computers: list[str],
    change: Callable[[Client, ComputerAnswer], Awaitable[ComputerAnswer]],
    done: str,
    url: str | None,
    as_json: bool,
) -> None:
    """One after another; the first that fails ends it."""
    talk = Talk(as_json)
    changed = []
    for text in computers:

        async def find_and_change(client: Client, text: str = text) -> ComputerAnswer:
            return await change(client, await find_computer(client, text))

        changed.append(ask(url, find_and_change))
        talk.say(f"{done} {text}")
        if changed[-1].error:
            talk.say(f"warning: {changed[-1].error}")
    talk.json({"computers": [one.raw for one in changed]})
