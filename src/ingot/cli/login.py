"""`ingot login`: keeps a server's address and key in the credentials file, after asking that server."""

from __future__ import annotations

from typing import Annotated

import typer

from ingot.cli.options import JsonFlag
from ingot.cli.output import Talk
from ingot.cli.secrets import read_value
from ingot.cli.session import find_server
from ingot.credentials import write_key
from ingot.settings import load_settings


def login(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The server's address (environment: INGOT_URL).")
    ] = None,
    default: Annotated[
        bool, typer.Option("--default/--no-default", help="Make it the server of commands that name none.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Keep an API key for a server; the key is read from a prompt on a terminal, else from stdin.

    The file is credentials.json in the configuration directory (environment: INGOT_CREDENTIALS_FILE), mode 0600.
    """
    import asyncio

    talk = Talk(as_json)
    server = find_server(url)
    key = read_value(f"API key for {server.url}: ").strip()
    if not key:
        raise typer.BadParameter("the key is empty")
    asyncio.run(_try(server.url, key))
    settings, _ = load_settings()
    write_key(settings.credentials_file, server.url, key, default=default)
    talk.say(f"kept the key for {server.url} in {settings.credentials_file}")
    talk.json({"url": server.url, "file": str(settings.credentials_file)})


async def _try(url: str, key: str) -> None:
    """Raises what the server says to the key."""
    from ingot.client import Client

    async with Client(url, key) as client:
        await client.templates()
