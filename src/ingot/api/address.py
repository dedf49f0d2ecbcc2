"""What the endpoints about one template share: its name in the path, its document in the body, its golden.

A name that could not be published is simply not there: 404. Segments are percent-decoded by the server; `+` stays `+`.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Path
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request

from ingot.api.services import Services
from ingot.errors import ConflictError, NotFoundError, RequestError
from ingot.records.build import Build, BuildState, BuildStatus
from ingot.records.item import Item
from ingot.records.ref import Ref, is_name, is_version
from ingot.template import Publication, parse_publication

ITEM_PLACE = "/{namespace:account_namespace}/{name}/{version}"
DOCUMENT_SCHEMA = "TemplateDocument"
YAML_TYPES = ("application/yaml", "text/yaml", "application/x-yaml")

Namespace = Annotated[str, Path(examples=["default"])]
Name = Annotated[str, Path(examples=["hello"])]
Version = Annotated[str, Path(examples=["1.0.0"], description="A semantic version; encode `+` or leave it as it is.")]


class _AccountNamespace(Convertor[str]):
    """A segment that is not `global`: three segments below that are a place of their own."""

    regex = "(?!global/)[^/]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("account_namespace", _AccountNamespace())


async def _ref_of(namespace: Namespace, name: Name, version: Version) -> Ref:
    if not (is_name(namespace) and is_name(name) and is_version(version)):
        raise NotFoundError("there is no template of this name", hint="a name is namespace/name@version")
    return Ref(namespace, name, version)


RefInPath = Annotated[Ref, Depends(_ref_of)]


async def name_in_path(namespace: Namespace, name: Name) -> tuple[str, str]:
    if not (is_name(namespace) and is_name(name)):
        raise NotFoundError("there is no template of this name", hint="a name is namespace/name")
    return namespace, name


NameInPath = Annotated[tuple[str, str], Depends(name_in_path)]


def parse_ref(text: str) -> Ref:
    """RequestError for what is no reference."""
    try:
        return Ref.parse(text)
    except ValueError as error:
        raise RequestError(str(error), code="bad_ref") from error


async def read_document(request: Request) -> Publication:
    """The body as a document, in any of its three shapes, YAML or JSON. A large one takes a while: in a thread."""
    return await asyncio.to_thread(parse_publication, await request.body(), request.headers.get("content-type"))


def document_body() -> dict[str, Any]:
    """OpenAPI of a body that is a document."""
    document = {"$ref": f"#/components/schemas/{DOCUMENT_SCHEMA}"}
    envelope = {
        "type": "object",
        "description": "An envelope; what it says of name and version agrees with the document.",
        "required": ["template"],
        "properties": {
            "namespace": {"type": "string"},
            "name": {"type": "string"},
            "version": {"type": "string"},
            "template": document,
        },
        "additionalProperties": False,
    }
    either = {"anyOf": [document, envelope]}
    kinds: dict[str, Any] = {"application/json": {"schema": either}}
    kinds |= {kind: {"schema": either} for kind in YAML_TYPES}
    return {"requestBody": {"required": True, "content": kinds}}


async def golden_of(
    services: Services, account: str, item: Item, status: BuildStatus, last: Build | None
) -> str | None:
    """The golden of what is published as `item`, None while there is none."""
    if last is None or status in (BuildStatus.NOT_BUILT, BuildStatus.FAILED):
        return None
    if last.state is BuildState.READY and last.golden_key is not None:
        return last.golden_key
    if status is BuildStatus.READY:
        return await services.queue.golden_of(item.digest, account, item.ref)
    history = await services.queue.history(account, item.ref)
    ready = (build.golden_key for build in history if build.digest == item.digest and build.state is BuildState.READY)
    return next((key for key in ready if key is not None), None)


async def find_golden(services: Services, account: str, ref: Ref) -> tuple[Item, str]:
    """A published template and its golden. Raises NotFoundError; ConflictError `TEMPLATE_NOT_READY` without one."""
    item = await services.registry.get(account, ref)
    status, last = await services.queue.status(account, ref, item.digest)
    golden = await golden_of(services, account, item, status, last)
    if golden is None:
        hint = "wait until it is ready" if status is BuildStatus.BUILDING else f"build it first: `ingot build {ref}`"
        raise ConflictError(f"{ref} is not ready: its status is {status.value}", hint=hint, code="TEMPLATE_NOT_READY")
    return item, golden
