"""`ingot conformance`: holds any server against the contract of the event stream."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.exit_codes import ExitCode
from ingot.cli.options import JsonFlag, read_ref
from ingot.cli.output import Talk, align
from ingot.cli.session import find_server

if TYPE_CHECKING:
    from ingot.conformance.checking import Check, Finding
    from ingot.credentials import Server


def conformance(
    url: Annotated[
        str | None, typer.Argument(metavar="[URL]", help="The server's address (environment: INGOT_URL).")
    ] = None,
    core: Annotated[bool, typer.Option("--core", help="Leave out the checks that take minutes.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", metavar="NAME", help="Only this check or group; again for more.")
    ] = None,
    ref: Annotated[
        str | None,
        typer.Option("--ref", metavar="REF", help="Read this finished build, and publish and build nothing."),
    ] = None,
    show: Annotated[bool, typer.Option("--list", help="Print the checks and end.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Check a server's event stream against the contract; status 1 when it does not keep it.

    Templates `default/conformance-…` are published, built and removed again; a key and a secret are made and removed
    where the API key may do so.
    """
    import asyncio

    import ingot.conformance.checks  # noqa: F401  registers them
    from ingot.conformance.checking import CHECKS, chosen

    talk = Talk(as_json)
    try:
        wanted = chosen(CHECKS, core=core, only=only or ())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if show:
        talk.result(align([(check.name, check.sentence) for check in wanted]).rstrip("\n"))
        talk.json({"checks": [{"name": check.name, "sentence": check.sentence} for check in wanted]})
        return
    named = str(read_ref(ref)) if ref else None
    findings = asyncio.run(_run(find_server(url), wanted, named, talk))
    _tell(findings, talk)
    if any(finding.outcome == "failed" for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


async def _run(server: Server, wanted: Collection[Check], ref: str | None, talk: Talk) -> list[Finding]:
    from ingot.client import Client
    from ingot.conformance.checking import run_checks
    from ingot.conformance.subject import Subject

    async with Client(server.url, server.key) as client:
        await client.templates()  # says in words when no server answers, or the key is not good
    async with Subject(server.url, server.key, ref) as subject:
        return await run_checks(list(wanted), subject, lambda finding: _show(finding, talk))


def _show(finding: Finding, talk: Talk) -> None:
    talk.result(
        f"{_MARKS[finding.outcome]} {finding.check.name:<22} {finding.seconds:6.1f}s  {finding.detail}".rstrip()
    )


def _tell(findings: Collection[Finding], talk: Talk) -> None:
    for finding in findings:
        if finding.outcome == "failed":
            talk.say(f"\n{finding.check.name}: {finding.check.sentence}\n  {finding.detail}")
    counts = {outcome: sum(finding.outcome == outcome for finding in findings) for outcome in _MARKS}
    talk.say("\n" + ", ".join(f"{count} {outcome}" for outcome, count in counts.items()))
    shown = [
        {
            "name": finding.check.name,
            "sentence": finding.check.sentence,
            "outcome": str(finding.outcome),
            "detail": finding.detail,
            "seconds": round(finding.seconds, 3),
        }
        for finding in findings
    ]
    talk.json({"findings": shown, "passed": not counts["failed"]})


_MARKS = {"passed": "ok  ", "failed": "FAIL", "skipped": "skip"}
