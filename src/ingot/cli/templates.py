"""`ingot publish`, `validate`, `plan` and `ls`: what concerns documents. Problems are told as compilers tell them.

`validate` needs no server unless asked: the document's rules are part of this package.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from ingot.cli.exit_codes import ExitCode
from ingot.cli.options import Document, JsonFlag, NamespaceFlag, UrlFlag, read_document
from ingot.cli.output import Talk, problem_line, problem_object
from ingot.cli.session import ask
from ingot.errors import TemplateError

if TYPE_CHECKING:
    from ingot.client import Client, Item, Published

FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help="Templates (YAML or JSON); - reads stdin.")]
FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="A template (YAML or JSON); - reads stdin.")]


def publish(
    file: FileArgument,
    namespace: NamespaceFlag = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace other content at the same ref; a running build of it is cancelled.")
    ] = False,
    auto_build: Annotated[bool, typer.Option("--auto-build", help="Start a build at once.")] = False,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Publish a template; prints its reference and digest."""
    talk = Talk(as_json)
    document = read_document(file)
    try:
        answer = ask(url, lambda client: send(client, document, namespace, force=force, auto_build=auto_build))
    except TemplateError as error:
        raise refused(talk, document, error) from error
    for warning in answer.warnings:
        talk.say(f"warning: {warning}")
    talk.result(f"{answer.ref} {answer.digest}")
    if answer.auto_build is not None:
        talk.say(f"build: {answer.auto_build}")
    talk.json(answer.raw)


def validate(
    files: FilesArgument,
    remote: Annotated[bool, typer.Option("--remote", help="Ask the server instead of checking here.")] = False,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """Check templates and print every problem as file:line:col: code: message (hint)."""
    talk = Talk(as_json)
    found = []
    for document in [read_document(file) for file in files]:
        try:
            warnings = _check(document, remote=remote, url=url)
        except TemplateError as error:
            found.append(
                {"file": document.name, "ok": False, "errors": [problem_object(one) for one in error.problems]}
            )
            for problem in error.problems:
                talk.result(problem_line(document.name, problem))
        else:
            found.append({"file": document.name, "ok": True, "errors": []})
            for warning in warnings:
                talk.say(f"{document.name}: warning: {warning}")
            talk.say(f"{document.name}: ok")
    ok = all(entry["ok"] for entry in found)
    talk.json({"ok": ok, "files": found})
    if not ok:
        raise typer.Exit(ExitCode.USAGE)


def plan(file: FileArgument, url: UrlFlag = None, as_json: JsonFlag = False) -> None:
    """Show which steps a build of FILE would reuse or run, and why. Changes nothing."""
    talk = Talk(as_json)
    document = read_document(file)
    try:
        answer = ask(url, lambda client: client.plan(document.content, document.content_type))
    except TemplateError as error:
        raise refused(talk, document, error) from error
    rows = [(str(step.index), step.action, step.title, step.reason) for step in answer.steps]
    talk.table(("STEP", "ACTION", "TITLE", "WHY"), rows, "the plan has no steps")
    reused = sum(step.action == "reuse" for step in answer.steps)
    talk.say(f"{reused} of {len(answer.steps)} steps would be reused")
    talk.json(answer.raw)


def list_templates(
    namespace: Annotated[str | None, typer.Argument(metavar="[NAMESPACE]", help="Only this namespace.")] = None,
    curated: Annotated[bool, typer.Option("--curated", help="The templates that come with Ingot instead.")] = False,
    url: UrlFlag = None,
    as_json: JsonFlag = False,
) -> None:
    """List published templates."""
    talk = Talk(as_json)
    items = ask(url, lambda client: client.curated() if curated else client.templates(namespace))
    rows = [(item.ref, item.digest[:12], item.published, _description(item)) for item in items]
    talk.table(("REF", "DIGEST", "PUBLISHED", "DESCRIPTION"), rows, "nothing is published yet: `ingot publish FILE`")
    talk.json({"templates": [item.raw for item in items]})


async def send(
    client: Client, document: Document, namespace: str | None, *, force: bool = False, auto_build: bool = False
) -> Published:
    """Publishes a document, in `namespace` when one is told. TemplateError as the server or the parser raises it."""
    content, content_type = document.content, document.content_type
    if namespace is not None:
        content, content_type = _envelope(document, namespace), "application/json"
    return await client.publish(content, content_type, force=force, auto_build=auto_build)


def refused(talk: Talk, document: Document, error: TemplateError) -> typer.Exit:
    """Shows all problems of a document that was not accepted; the exit to raise."""
    for problem in error.problems:
        talk.complain(problem_line(document.name, problem))
    talk.json({"ok": False, "errors": [problem_object(problem) for problem in error.problems]})
    return typer.Exit(ExitCode.USAGE)


def _check(document: Document, *, remote: bool, url: str | None) -> Sequence[str]:
    """The warnings of a valid document; TemplateError has the problems of another."""
    if remote:
        ask(url, lambda client: client.validate(document.content, document.content_type))
        return ()
    from ingot.template import parse_template

    return parse_template(document.content, document.content_type, document.name).warnings


def _envelope(document: Document, namespace: str) -> bytes:
    """The document in the body shape that names a namespace. Parsed here, so that positions are the file's own."""
    from ingot.template import parse_template

    publication = parse_template(document.content, document.content_type, document.name)
    template = publication.template
    body = {
        "namespace": namespace,
        "name": template.name,
        "version": template.version,
        "template": publication.canonical,
    }
    return json.dumps(body).encode()


def _description(item: Item) -> str:
    template = item.template.get("template")
    text = template.get("description") if isinstance(template, dict) else None
    return text if isinstance(text, str) else ""
