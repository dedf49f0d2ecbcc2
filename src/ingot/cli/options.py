"""Arguments and flags that several commands share, and how their text is read. Nothing here talks to a server."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ingot.records.ref import Ref

UrlFlag = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="The server's address (environment: INGOT_URL)."),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print the answer as JSON on stdout.")]
RefArgument = Annotated[str, typer.Argument(metavar="REF", help="namespace/name@version; without namespace: default.")]
NamespaceFlag = Annotated[
    str | None,
    typer.Option("--namespace", "-n", metavar="NAME", help="The namespace to publish in; `default` when not told."),
]


_UNITS = {"s": 1, "m": 60, "h": 3600}


@dataclass(frozen=True, slots=True)
class Document:
    """A template's file as it was read; `name` is what messages call it."""

    name: str
    content: bytes
    content_type: str


def read_ref(text: str) -> Ref:
    """`namespace/name@version` or `name@version`; a usage error says which part is wrong."""
    try:
        return Ref.parse(text if "/" in text else f"default/{text}")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def read_document(file: str) -> Document:
    """A YAML or JSON file, `-` for stdin; a usage error when it cannot be read."""
    if file == "-":
        return Document("<stdin>", sys.stdin.buffer.read(), "application/yaml")
    try:
        content = Path(file).read_bytes()
    except OSError as error:
        raise typer.BadParameter(f"{file} cannot be read: {error.strerror}") from error
    return Document(file, content, "application/json" if file.endswith(".json") else "application/yaml")


def read_duration(text: str) -> int:
    """`90s`, `30m`, `2h` or bare seconds, as seconds; a usage error for what is none."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise typer.BadParameter(f"{text!r} is no duration such as 90s, 30m or 2h")
    return int(number) * _UNITS[unit]


def ref_or_document(target: str) -> Ref | Document:
    """What `ingot build` was given. A file that exists is a file, even when its name looks like a reference."""
    if target == "-" or Path(target).is_file():
        return read_document(target)
    if "@" in target:
        return read_ref(target)
    raise typer.BadParameter(f"{target!r} is neither a file nor a reference such as default/hello@1.0.0")
