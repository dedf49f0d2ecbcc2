"""`ingot debug`: commands in the machine of a build that failed, while it is held.

Without a command it reads lines and runs each as one of bash. The machine stays held when the loop ends. A line is a
process of its own: of one line to the next only the working directory stays.
"""

from __future__ import annotations

import secrets
import shlex
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.computers import finish, shell_line
from ingot.cli.options import JsonFlag, RefArgument, UrlFlag, read_ref
from ingot.cli.output import Talk
from ingot.cli.session import ask

if TYPE_CHECKING:
    from ingot.client import BashAnswer

_START = "/"


def debug(
    ref: RefArgument,
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="One word is a shell line, several are a program's arguments."),
    ] = None,
    end: Annotated[bool, typer.Option("--end", help="End the machine instead; nothing of it is left.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=1, max=3600, help="How long a command may take.")
    ] = 200.0,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Look into the machine of a failed build that is kept (`ingot build --keep-on-failure`).

    With COMMAND the exit status is the command's. Without, lines are read and run until Ctrl-D.
    """
    talk, wanted = Talk(as_json), read_ref(ref)
    if end:
        if command:
            raise typer.BadParameter("--end takes no command")
        ask(url, lambda client: client.end_held_machine(wanted))
        talk.say(f"ended the machine of {wanted}")
        talk.json({"deleted": True})
        return

    def run(line: str) -> BashAnswer:
        return ask(url, lambda client: client.debug(wanted, line, timeout))

    if command:
        raise typer.Exit(finish(talk, run(shell_line(command))))
    held = ask(url, lambda client: client.held_machine(wanted))
    talk.say(f"{held.step} failed here; the machine is kept until {held.expires_at}, or `ingot debug --end {wanted}`")
    _read_and_run(talk, f"{wanted} {held.step}", run)


def _read_and_run(talk: Talk, name: str, run: Callable[[str], BashAnswer]) -> None:
    """Runs lines of stdin until it ends."""
    place = _START
    while (line := _read_line(f"{name}:{place}# ", talk)) is not None:
        if line.strip():
            answer, place = run_at(place, line, run)
            finish(talk, answer)
            sys.stdout.flush()


def _read_line(prompt: str, talk: Talk) -> str | None:
    """The next line; None at the end. On a terminal it can be edited, and earlier lines had back."""
    if sys.stdin.isatty() and not talk.as_json:
        import readline  # noqa: F401 - makes `input` a line editor

        try:
            return input(prompt)
        except EOFError:
            talk.say("")
            return None
    if not talk.as_json:
        sys.stderr.write(prompt)
        sys.stderr.flush()
    line = sys.stdin.readline()
    if not line and not talk.as_json:
        sys.stderr.write("\n")
    return line.rstrip("\n") if line else None


def run_at(place: str, line: str, run: Callable[[str], BashAnswer]) -> tuple[BashAnswer, str]:
    """Runs a line in the directory `place`; its answer, and the directory where it ended."""
    marker = f"ingot-{secrets.token_hex(8)}:"
    quoted = shlex.quote(place), shlex.quote(line)
    answer = run(f'trap \'printf "\\n%s%s" {marker} "$PWD"\' EXIT; cd -- {quoted[0]} || exit; eval {quoted[1]}')
    output, found, after = answer.output.rpartition(f"\n{marker}")
    if not found:  # it was killed, or became another program
        return answer, place
    ended_in, newline, note = after.partition("\n")  # the server may have a word to add, such as a full disk
    output += newline + note
    return replace(answer, output=output, raw={**answer.raw, "output": output}), ended_in or place
