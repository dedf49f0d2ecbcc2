"""`ingot services`: what a computer's services do, and what one of them logs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.fleet import ComputerArgument
from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk
from ingot.cli.session import ask
from ingot.cli.settling import find_computer

if TYPE_CHECKING:
    from ingot.client import Client, ServiceAnswer


def services(
    computer: ComputerArgument,
    service: Annotated[
        str | None, typer.Argument(metavar="[SERVICE]", help="Print the log of this one instead.")
    ] = None,
    tail: Annotated[
        int, typer.Option("--tail", "-n", metavar="LINES", min=1, max=100_000, help="How much of the log.")
    ] = 1000,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """List the services of a computer and how they are; with SERVICE, print the end of its log."""
    talk = Talk(as_json)
    if service is not None:
        text = ask(url, lambda client: _read_log(client, computer, service, tail))
        if not as_json:
            sys.stdout.write(text)
        talk.json({"service": service, "log": text})
        return
    found = ask(url, lambda client: _list(client, computer))
    rows = [(one.name, one.app or "-", one.state, str(one.pid or ""), one.detail) for one in found]
    talk.table(("NAME", "APP", "STATE", "PID", "DETAIL"), rows, "its template has no services")
    talk.json({"services": [one.raw for one in found]})


async def _list(client: Client, computer: str) -> tuple[ServiceAnswer, ...]:
    return await client.services((await find_computer(client, computer)).id)


async def _read_log(client: Client, computer: str, service: str, tail: int) -> str:
    return await client.service_log((await find_computer(client, computer)).id, service, tail)
