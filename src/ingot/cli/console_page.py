"""`ingot console`: an address that opens the web console, signed in with this command's key.

The code in it is behind the `#`, which browsers keep to themselves, so that it reaches no server's or proxy's log. It
opens one session, within ten minutes. Nor is it in the argv of a browser: that gets a file of our own to read.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk
from ingot.cli.session import ask, find_server
from ingot.credentials import sign_in_url

_READING_SECONDS = 5.0
_PAGE = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={url}">\n'


def console(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in this host's browser.")] = False,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Print an address that opens the web console, signed in with your key: once, within ten minutes."""
    talk = Talk(as_json)
    code = ask(url, lambda client: client.console_code())
    address = sign_in_url(find_server(url).url, code.code)
    talk.result(address)
    talk.json({"url": address, "expires_at": code.expires_at})
    if open_it and not _open(address):
        talk.complain("no browser could be opened here; open the address yourself")
    talk.say(f"it signs in once, until {code.expires_at}")


def _open(address: str) -> bool:
    import webbrowser

    with tempfile.TemporaryDirectory(prefix="ingot-console-") as place:
        page = Path(place) / "sign-in.html"
        page.touch(mode=0o600)
        page.write_text(_PAGE.format(url=address))
        if not webbrowser.open(page.as_uri()):
            return False
        time.sleep(_READING_SECONDS)  # nothing tells when the browser has read it
    return True
