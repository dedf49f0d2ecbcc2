"""The table of commands. Each group lives in a module of its own and adds its commands here."""

from __future__ import annotations

import typer

from ingot import __version__
from ingot.cli import (
    builds,
    computers,
    conformance,
    console_page,
    debugging,
    fleet,
    keeping,
    keys,
    login,
    secrets,
    server,
    services,
    shell,
    templates,
)

app = typer.Typer(
    name="ingot",
    help="Bakes declarative templates into golden machine snapshots and streams every line of the bake.",
    epilog="Exit status: 0 ready, 1 failed, 2 usage or template error, 3 unreachable, 4 cancelled, 5 timed out, "
    "6 stream lost, 130 interrupted.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ingot {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Print the version."),
) -> None:
    """Bakes declarative templates into golden machine snapshots and streams every line of the bake."""


app.command("up")(server.up)
app.command("publish")(templates.publish)
app.command("validate")(templates.validate)
app.command("plan")(templates.plan)
app.command("ls")(templates.list_templates)
app.command("build", cls=keeping.BuildCommand)(builds.build)
app.command("logs")(builds.logs)
app.command("status")(builds.status)
app.command("cancel")(builds.cancel)
app.command("debug")(debugging.debug)
app.command("run")(computers.run)
app.command("ps")(fleet.list_computers)
app.command("exec")(fleet.run_in_computer)
app.command("shell")(shell.shell)
app.command("services")(services.services)
app.command("start")(fleet.start)
app.command("stop")(fleet.stop)
app.command("restart")(fleet.restart)
app.command("clone")(fleet.clone)
app.command("rm")(fleet.remove)
app.add_typer(keys.app, name="keys")
app.add_typer(secrets.app, name="secrets")
app.command("login")(login.login)
app.command("console")(console_page.console)
app.command("gc")(server.gc)
app.command("doctor")(server.doctor)
app.command("conformance")(conformance.conformance)
app.command("version")(server.version)
