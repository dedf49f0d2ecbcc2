"""`ingot shell`: a login shell in a computer, on the caller's own terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from ingot.cli.fleet import ComputerArgument
from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk
from ingot.cli.session import ask
from ingot.cli.settling import find_computer

if TYPE_CHECKING:
    from ingot.client import Client


def shell(computer: ComputerArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Open a login shell in a computer, as root; the exit status is the shell's.

    It ends with `exit`, or with this command: what runs in it then ends as well.
    """
    code = ask(url, lambda client: _open(client, computer))
    Talk(as_json).json({"exit_code": code})
    raise typer.Exit(code & 0xFF)


async def _open(client: Client, computer: str) -> int:
    from ingot.cli.attaching import attach, window_size

    found = await find_computer(client, computer)
    async with client.terminal(found.id, *window_size()) as terminal:
        return await attach(terminal)
