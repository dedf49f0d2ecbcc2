"""Templates: publish, validate, plan, look up, delete."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import JSONResponse

from ingot.api import answers
from ingot.api.address import ITEM_PLACE, NameInPath, RefInPath, document_body, read_document
from ingot.api.describe import Flag, is_set, keyed
from ingot.api.keyed import Caller, KeyedRoute, demand
from ingot.api.services import Services, Use
from ingot.errors import CapacityError, NotFoundError, TemplateError
from ingot.records.account import Scope
from ingot.records.build import BuildFlags, BuildStatus, Standing
from ingot.records.item import Item
from ingot.records.ref import NAME_PATTERN
from ingot.records.wire import Json, item_json, listing, problem_json, published_json, standing_json

DEFAULT_NAMESPACE = "default"
CURATED_NAMESPACE = "system"

router = APIRouter(prefix="/api/templates", route_class=KeyedRoute, tags=["templates"])


@router.get("", **keyed(Scope.READ, answers.ListedItems, 400), response_model_exclude_unset=True)
async def list_templates(
    caller: Caller,
    use: Use,
    namespace: Annotated[str | None, Query(pattern=NAME_PATTERN)] = None,
    builds: Flag = "false",
) -> Json:
    """The account's templates and the curated ones, sorted by ref; of one namespace where it is named. With `builds`
    each has its build object."""
    items = await use.registry.list(caller.account, namespace)
    if not is_set(builds):
        return listing("templates", [item_json(item) for item in items])
    standings = await use.queue.standings(caller.account)
    never = Standing(BuildStatus.NOT_BUILT)
    shown = [(item, standings.get((item.ref, item.digest), never)) for item in items]
    return listing("templates", [{**item_json(item), "build": standing_json(item, how)} for item, how in shown])


@router.post(
    "",
    **keyed(Scope.PUBLISH, answers.Published, 400, 409, 422, status=201, extra=document_body()),
    response_model_exclude_unset=True,
)
async def publish(
    request: Request, caller: Caller, use: Use, auto_build: Flag = "false", force: Flag = "false"
) -> Json:
    """Publishes a document. Identical content again answers with the time it was first published; other content at the
    same ref is 409, unless `force` replaces it, which cancels a running build of the old content. `auto_build`
    (needs the scope `build`) starts a build as well; with a full queue it answers `not_built`."""
    if is_set(auto_build):
        demand(caller, Scope.BUILD)
    publication = await read_document(request)
    namespace = publication.namespace or DEFAULT_NAMESPACE
    item = await use.registry.publish(caller.account, namespace, publication, is_set(force))
    if item.superseded:
        use.queue.wake()
    answer = published_json(item)
    if publication.warnings:
        answer["warnings"] = list(publication.warnings)
    if is_set(auto_build):
        answer["auto_build"] = (await _build(use, caller.account, item)).value
    return answer


@router.post(
    "/validate", **keyed(Scope.READ, answers.Valid, 400, 422, bodies={422: answers.Invalid}, extra=document_body())
)
async def validate(request: Request, caller: Caller) -> Any:
    """Tells every problem of a document, or its canonical form. Changes nothing."""
    try:
        publication = await read_document(request)
    except TemplateError as error:
        return JSONResponse({"ok": False, "errors": [problem_json(problem) for problem in error.problems]}, 422)
    return {"ok": True, "template": publication.canonical, "warnings": list(publication.warnings)}


@router.post("/plan", **keyed(Scope.READ, answers.Plan, 400, 422, extra=document_body()))
async def plan(request: Request, caller: Caller, use: Use) -> Json:
    """What a build of the document would reuse and run, and why. Changes nothing."""
    publication = await read_document(request)
    steps = await use.builds.plan(caller.account, publication)
    template = publication.template
    ref = f"{publication.namespace or DEFAULT_NAMESPACE}/{template.name}@{template.version}"
    return {"ref": ref, "digest": template.digest, "steps": [dict(step) for step in steps]}


@router.get("/global", **keyed(Scope.READ, answers.Items))
async def list_curated(caller: Caller, use: Use) -> Json:
    """The templates that come with this server."""
    return listing(
        "templates", [item_json(item) for item in await use.registry.list(caller.account, CURATED_NAMESPACE)]
    )


@router.get("/global/{namespace}/{name}", **keyed(Scope.READ, answers.Versions, 404))
async def curated_versions(place: NameInPath, caller: Caller, use: Use) -> Json:
    """All versions of a curated template, newest first."""
    items = [
        item
        for item in await use.registry.list(caller.account, CURATED_NAMESPACE)
        if (item.ref.namespace, item.ref.name) == place
    ]
    if not items:
        raise NotFoundError(f"there is no curated template {'/'.join(place)}", hint="list them: /api/templates/global")
    return listing("versions", [item_json(item) for item in items])


@router.get("/{namespace}/{name}", **keyed(Scope.READ, answers.Versions, 404))
async def list_versions(place: NameInPath, caller: Caller, use: Use) -> Json:
    """All versions of a template, newest first."""
    items = await use.registry.versions(caller.account, *place)
    return listing("versions", [item_json(item) for item in items])


@router.get(ITEM_PLACE, **keyed(Scope.READ, answers.Item, 404))
async def get_template(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """One template with its canonical document."""
    return item_json(await use.registry.get(caller.account, ref))


@router.delete(ITEM_PLACE, **keyed(Scope.PUBLISH, answers.Deleted, 404, 409))
async def delete_template(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """Deletes a template; 409 while it is being built. A machine that is held of it ends."""
    await use.registry.delete(caller.account, ref)
    await use.held.end(caller.account, ref)
    return {"deleted": True}


async def _build(use: Services, account: str, item: Item) -> BuildStatus:
    try:
        await use.builds.start(account, item.ref, BuildFlags())
    except CapacityError:
        return BuildStatus.NOT_BUILT
    status, _ = await use.queue.status(account, item.ref, item.digest)
    return status
