"""The command line: `ingot`. It talks to a server through `ingot.client` and to nothing else; `ingot up` is the server.

`main` turns every error into a sentence on stderr and an exit code (see `exit_codes`). Heavy imports happen inside the
commands that need them, so that `ingot --help` answers at once.
"""

from __future__ import annotations

import sys

from ingot.cli.exit_codes import ExitCode, code_of
from ingot.errors import IngotError, TemplateError


def main() -> None:
    """The entry point of the `ingot` command; ends the process."""
    from ingot.cli.app import app

    try:
        app(prog_name="ingot")
    except IngotError as error:
        _show(error)
        sys.exit(code_of(error))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)  # noqa: T201 the terminal is this program's output
        sys.exit(ExitCode.INTERRUPTED)


def _show(error: IngotError) -> None:
    from ingot.cli.output import Talk, error_object

    talk = Talk(as_json="--json" in _own_arguments())
    if isinstance(error, TemplateError):
        talk.complain(f"ingot: {error}")
    else:
        talk.complain(f"ingot: {error.message}")
        if error.hint:
            talk.complain(f"  {error.hint}")
    if talk.as_json:
        talk.json(error_object(error))


def _own_arguments() -> list[str]:
    """What was said to us, without the command that is meant for a machine."""
    arguments = sys.argv[1:]
    return arguments[: arguments.index("--")] if "--" in arguments else arguments
