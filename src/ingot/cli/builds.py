"""`ingot build`, `logs`, `status` and `cancel`: starting builds, watching them, and asking how they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.exit_codes import ExitCode
from ingot.cli.keeping import KeepFlag, read_keep
from ingot.cli.options import (
    Document,
    JsonFlag,
    NamespaceFlag,
    RefArgument,
    UrlFlag,
    read_ref,
    ref_or_document,
)
from ingot.cli.output import Talk, duration
from ingot.cli.session import ask, find_server
from ingot.cli.templates import refused, send
from ingot.cli.watch import ProgressMode, Watch
from ingot.errors import ConflictError, TemplateError
from ingot.records.build import BuildFlags, BuildStatus
from ingot.records.ref import Ref

if TYPE_CHECKING:
    from ingot.client import BuildAnswer

ProgressFlag = Annotated[
    ProgressMode, typer.Option("--progress", help="How a watched build looks; auto: tty on a terminal, else plain.")
]
PatienceFlag = Annotated[
    float,
    typer.Option("--give-up-after", metavar="SECONDS", min=0, help="How long to try to get a broken stream back."),
]


def build(
    target: Annotated[str, typer.Argument(metavar="REF|FILE", help="A published ref, or a file to publish first.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Watch the build to its end.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Build although there is a golden already.")] = False,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Use no layer of earlier builds.")] = False,
    refresh: Annotated[bool, typer.Option("--refresh", help="Build on the newest base image.")] = False,
    keep_on_failure: KeepFlag = None,
    republish: Annotated[
        bool, typer.Option("--republish", help="With FILE: replace other content at the same ref.")
    ] = False,
    namespace: NamespaceFlag = None,
    progress: ProgressFlag = ProgressMode.AUTO,
    give_up_after: PatienceFlag = 120.0,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Start a build, or join the one that runs. The exit status of a watched build tells how it ended."""
    talk = Talk(as_json)
    found = ref_or_document(target)
    ref = found if isinstance(found, Ref) else _publish(talk, found, namespace, url, republish)
    flags = BuildFlags(force, no_cache, refresh, read_keep(keep_on_failure))
    answer = ask(url, lambda client: client.build(ref, flags))
    if follow and (answer.status is not BuildStatus.READY or progress is ProgressMode.RAWJSON):
        watching = Watch(ref, answer.attempt or None, progress, give_up_after, results_are_frames=False)
        code = _watch(watching, url)
        if code not in (ExitCode.INTERRUPTED, ExitCode.STREAM_LOST):
            answer = ask(url, lambda client: client.status(ref))
            _show(talk, answer, watched=progress is not ProgressMode.QUIET)
        raise typer.Exit(code)
    _show(talk, answer)
    if answer.status is BuildStatus.READY:
        talk.say(f"its golden snapshot is there already; `ingot logs {ref}` shows how it was built")
    else:
        talk.say(f"watch it with `ingot logs --follow {ref}`")


def logs(
    ref: RefArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the build ends.")] = False,
    attempt: Annotated[int | None, typer.Option("--attempt", min=1, metavar="N", help="An earlier attempt.")] = None,
    progress: ProgressFlag = ProgressMode.PLAIN,
    give_up_after: PatienceFlag = 120.0,
    url: UrlFlag = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every event as a line of JSON on stdout.")] = False,
) -> None:
    """Print what a build printed. With --follow the exit status tells how the build ended."""
    mode = ProgressMode.RAWJSON if as_json else progress
    watching = Watch(read_ref(ref), attempt, mode, give_up_after, results_are_frames=True, live=follow)
    raise typer.Exit(_watch(watching, url))


def status(ref: RefArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Say how a template's build is."""
    wanted = read_ref(ref)
    _show(Talk(as_json), ask(url, lambda client: client.status(wanted)))


def cancel(ref: RefArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """End the build that runs or waits."""
    talk = Talk(as_json)
    wanted = read_ref(ref)
    answer = ask(url, lambda client: client.cancel(wanted))
    talk.result(str(answer.get("status", "cancelling")))
    talk.json(answer)


def _watch(watching: Watch, url: str | None) -> ExitCode:
    from ingot.cli.watching import watch_build

    return watch_build(find_server(url), watching)


def _publish(talk: Talk, document: Document, namespace: str | None, url: str | None, republish: bool) -> Ref:
    try:
        published = ask(url, lambda client: send(client, document, namespace, force=republish))
    except TemplateError as error:
        raise refused(talk, document, error) from error
    except ConflictError as error:
        raise ConflictError(error.message, hint="`--republish` replaces it", code=error.code) from error
    for warning in published.warnings:
        talk.say(f"warning: {warning}")
    talk.say(f"published {published.ref}")
    return Ref.parse(published.ref)


def _show(talk: Talk, answer: BuildAnswer, *, watched: bool = False) -> None:
    """How a build is; the reason of a failure only where it was not watched."""
    talk.result(" ".join(part for part in _summary(answer) if part))
    talk.json(answer.raw)
    if answer.failure is not None and not watched:
        talk.say(f"  {answer.failure.message}")
        for line in answer.failure.last_lines if answer.status is BuildStatus.FAILED else ():
            talk.say(f"  | {line}")


def _summary(answer: BuildAnswer) -> list[str]:
    parts = [str(answer.status), answer.ref]
    if answer.status is BuildStatus.BUILDING:
        if answer.queue_position is not None:
            parts.append(f"(place {answer.queue_position} in the queue)")
        else:
            parts.append(f"({': '.join(part for part in (answer.phase, answer.step) if part) or 'starting'})")
    elif answer.status is BuildStatus.READY:
        parts.append("(reused)" if answer.reused else "")
        parts.append(f"in {duration(answer.build_time_ms / 1000)}" if answer.build_time_ms is not None else "")
        parts.append(f"golden {answer.golden[:24]}" if answer.golden else "")
    elif answer.failure is not None:
        parts.append(f"({answer.failure.code})")
    return parts
