"""`ingot up`, `doctor`, `gc` and `version`: the server on this host and what it stands on."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ingot import __version__
from ingot.cli.exit_codes import ExitCode
from ingot.cli.options import JsonFlag, UrlFlag
from ingot.cli.output import Talk, align, size
from ingot.cli.session import ask
from ingot.settings import describe_settings, load_settings

if TYPE_CHECKING:
    from ingot.client import FindingAnswer
    from ingot.machine.contract import Finding


class MachineKind(StrEnum):
    AUTO = "auto"
    CONTAINER = "container"
    QEMU = "qemu"


def up(
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen (environment: INGOT_LISTEN).")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="Where all is kept (environment: INGOT_DATA_DIR).")
    ] = None,
    machine: Annotated[
        MachineKind | None, typer.Option("--machine", help="What machines are made of (environment: INGOT_MACHINE).")
    ] = None,
    builds: Annotated[
        int | None,
        typer.Option("--builds", metavar="N", help="How many builds run at once (environment: INGOT_BUILDS)."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A settings file, TOML (environment: INGOT_CONFIG).")
    ] = None,
    show_settings: Annotated[
        bool, typer.Option("--show-settings", help="Print every setting with its source, secrets hidden, and end.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --show-settings: print JSON.")] = False,
) -> None:
    """Start the server on this host and stay until SIGINT or SIGTERM."""
    flags = {
        "listen": listen,
        "data_dir": data_dir,
        "machine": str(machine) if machine else None,
        "builds": builds,
    }
    settings, origin = load_settings(flags, file=config)
    if show_settings:
        _show_settings(describe_settings(settings, origin), as_json)
        return
    from ingot.service import serve

    raise typer.Exit(serve(settings, origin))


def doctor(
    server: Annotated[bool, typer.Option("--server", help="Look at the server's host instead of this one.")] = False,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Say what this host can do, and the command that mends what it lacks; status 1 when it lacks what is needed."""
    talk = Talk(as_json)
    findings: Sequence[FindingAnswer | Finding]
    findings = ask(url, lambda client: client.host()) if server or url else _local_findings()
    rows = [(_mark(finding), finding.name, finding.detail) for finding in findings]
    talk.table(("", "WHAT", "FOUND"), rows, "nothing was looked at")
    for finding in findings:
        if not finding.ok and finding.remedy:
            talk.say(f"mend {finding.name}: {finding.remedy}")
    talk.json({"findings": [_finding_object(finding) for finding in findings]})
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(ExitCode.FAILED)


def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and why.")] = False,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Remove layers, goldens and leftovers of builds that nothing needs."""
    talk = Talk(as_json)
    answer = ask(url, lambda client: client.gc(dry_run=dry_run))
    removed = [entry for entry in answer.get("removed") or () if isinstance(entry, Mapping)]
    rows = [
        (str(entry.get("what", "")), size(_count(entry, "size_bytes")), str(entry.get("why", ""))) for entry in removed
    ]
    talk.table(("WHAT", "SIZE", "WHY"), rows, "nothing to remove")
    talk.say(f"{size(_count(answer, 'freed_bytes'))} {'would be' if dry_run else 'were'} freed")
    talk.json(answer)


def version(as_json: JsonFlag = False) -> None:
    """Print the version."""
    talk = Talk(as_json)
    talk.result(f"ingot {__version__}")
    talk.json({"version": __version__})


def _show_settings(shown: Mapping[str, Mapping[str, str]], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        sys.stdout.write(align([(name, entry["value"] or "-", entry["source"]) for name, entry in shown.items()]))


def _local_findings() -> Sequence[Finding]:
    import asyncio

    from ingot.host import local_findings

    async def look() -> Sequence[Finding]:
        found: Sequence[Finding] = await local_findings()
        return found

    return asyncio.run(look())


def _mark(finding: FindingAnswer | Finding) -> str:
    if finding.ok:
        return "ok"
    return "MISSING" if finding.needed else "limited"


def _finding_object(finding: FindingAnswer | Finding) -> Mapping[str, Any]:
    if hasattr(finding, "raw"):
        return finding.raw
    return asdict(finding)


def _count(entry: Mapping[str, Any], name: str) -> int:
    value = entry.get(name)
    return value if isinstance(value, int) else 0
