"""`ingot keys`: the API keys of an account. A key itself is shown once, when it is made."""

from __future__ import annotations

from typing import Annotated

import typer

from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk
from ingot.cli.session import ask
from ingot.records.account import Scope

app = typer.Typer(help="List, make and revoke API keys.", no_args_is_help=True, rich_markup_mode=None)


@app.command("ls")
def list_keys(url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """List keys: never the key itself."""
    talk = Talk(as_json)
    keys = ask(url, lambda client: client.keys())
    rows = [
        (
            key.id,
            key.name,
            key.prefix,
            ",".join(key.scopes),
            key.created_at,
            f"revoked {key.revoked_at}" if key.revoked_at else (key.last_used_at or "never used"),
        )
        for key in keys
    ]
    talk.table(("ID", "NAME", "PREFIX", "SCOPES", "CREATED", "LAST USED"), rows, "there are no keys")
    talk.json({"keys": [key.raw for key in keys]})


@app.command("create")
def create_key(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the key is for.")],
    scope: Annotated[
        list[Scope] | None, typer.Option("--scope", help="What it may do; again for more. All but admin by default.")
    ] = None,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Make a key; prints the key on stdout, once."""
    talk = Talk(as_json)
    scopes = [str(one) for one in scope or [one for one in Scope if one is not Scope.ADMIN]]
    key = ask(url, lambda client: client.create_key(name, scopes))
    talk.say(f"key {key.id} with scopes {', '.join(key.scopes)}; it is not shown again:")
    talk.result(key.key or "")
    talk.json(key.raw)


@app.command("revoke")
def revoke_key(
    key_id: Annotated[str, typer.Argument(metavar="ID", help="As `ingot keys ls` shows it.")],
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Revoke a key; its open streams end within seconds."""
    talk = Talk(as_json)
    ask(url, lambda client: client.revoke_key(key_id))
    talk.say(f"revoked {key_id}")
    talk.json({"revoked": key_id})
