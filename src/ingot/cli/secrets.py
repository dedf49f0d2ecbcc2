"""`ingot secrets`: the account's vault. Values go in, by stdin or a prompt, and never come out."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk
from ingot.cli.session import ask

app = typer.Typer(help="List, set and remove the account's secrets.", no_args_is_help=True, rich_markup_mode=None)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The secret's name, as templates declare it.")]


@app.command("ls")
def list_secrets(url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """List names and dates: never values."""
    talk = Talk(as_json)
    entries = ask(url, lambda client: client.secrets())
    rows = [(entry.name, entry.created_at, entry.updated_at) for entry in entries]
    talk.table(("NAME", "CREATED", "UPDATED"), rows, "there are no secrets: `ingot secrets set NAME`")
    talk.json({"secrets": [entry.raw for entry in entries]})


@app.command("set")
def set_secret(
    name: NameArgument,
    from_file: Annotated[
        str | None, typer.Option("--from-file", metavar="FILE", help="Take a file's content, byte for byte.")
    ] = None,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Set a secret; the value is read from a prompt on a terminal, else from stdin without its last line end."""
    talk = Talk(as_json)
    value = read_value(f"value of {name}: ") if from_file is None else _read_file(from_file)
    if not value:
        raise typer.BadParameter("the value is empty; to remove a secret use `ingot secrets rm`")
    warnings = ask(url, lambda client: client.put_secret(name, value))
    for warning in warnings:
        talk.say(f"warning: {warning}")
    talk.say(f"set {name}")
    talk.json({"name": name, "warnings": list(warnings)})


@app.command("rm")
def remove_secret(name: NameArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Remove a secret."""
    talk = Talk(as_json)
    ask(url, lambda client: client.delete_secret(name))
    talk.say(f"removed {name}")
    talk.json({"deleted": True})


def read_value(prompt: str) -> str:
    """A secret text: typed unseen on a terminal, else all of stdin without its last line end."""
    if sys.stdin.isatty():
        return getpass.getpass(prompt)
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise typer.BadParameter("the value is not UTF-8 text; encode it first, with base64 for instance") from error


def _read_file(path: str) -> str:
    try:
        return Path(path).read_bytes().decode()
    except OSError as error:
        raise typer.BadParameter(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{path} is not UTF-8 text; encode it first, with base64 for instance") from error
