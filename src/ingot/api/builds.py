"""Builds of a template: start, look at, cancel, history; and what the account has under way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import JSONResponse, Response

from ingot.api import answers
from ingot.api.address import RefInPath, golden_of
from ingot.api.describe import PICTURE, Flag, is_set, keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Services, Use
from ingot.errors import NotFoundError
from ingot.records.account import Scope
from ingot.records.build import KEEP_SECONDS, Build, BuildFlags, BuildState
from ingot.records.item import Item
from ingot.records.wire import Json, attempt_detail_json, attempt_json, build_json, iso_time, listing

_PLACE = "/templates/{namespace}/{name}/{version}"
_Keep = Annotated[int | None, Query(ge=KEEP_SECONDS[0], le=KEEP_SECONDS[1], description="Seconds.")]
_NOTHING_BUILDS = answers.Idle | answers.Envelope

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["builds"])


@router.post(_PLACE + "/build", **keyed(Scope.BUILD, answers.BuildObject, 400, 404, 429, status=202))
async def start_build(
    ref: RefInPath,
    caller: Caller,
    use: Use,
    force: Flag = "false",
    no_cache: Flag = "false",
    refresh: Flag = "false",
    keep_on_failure: _Keep = None,
) -> Json:
    """Starts a build, joins the one under way, or answers `ready` at once when a golden of the same content is there.
    `force` builds anyway, `no_cache` ignores known layers, `refresh` takes the newest base image, `keep_on_failure`
    holds the machine of a step that fails for so many seconds. A machine that is held of an earlier attempt ends."""
    flags = BuildFlags(is_set(force), is_set(no_cache), is_set(refresh), keep_on_failure or 0)
    item = await use.registry.get(caller.account, ref)
    await use.builds.start(caller.account, ref, flags)
    return await _show(use, caller.account, item)


@router.get(_PLACE + "/build", **keyed(Scope.READ, answers.BuildObject, 404))
async def get_build(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """How it stands; `not_built` for a version that was never built."""
    return await _show(use, caller.account, await use.registry.get(caller.account, ref))


@router.delete(
    _PLACE + "/build",
    **keyed(Scope.BUILD, answers.Cancelling, 404, status=202, bodies={404: _NOTHING_BUILDS}),
)
async def cancel_build(ref: RefInPath, caller: Caller, use: Use) -> Any:
    """Ends the build: within seconds its stream ends and its machine is gone; and the machine that is held of it. 404
    `idle` when nothing builds and nothing is held."""
    if await use.builds.cancel(caller.account, ref):
        return {"status": "cancelling"}
    return JSONResponse({"status": "idle"}, 404)


@router.get(_PLACE + "/build/screenshot", response_class=Response, **keyed(Scope.READ, None, 404, 409, extra=PICTURE))
async def take_build_screenshot(ref: RefInPath, caller: Caller, use: Use) -> Response:
    """What the screen of the machine shows that builds now, as a PNG; 409 `no_screen` for one without, 404
    `nothing_builds` when no machine of the account's builds it on this server."""
    item = await use.registry.get(caller.account, ref)
    _, last = await use.queue.status(caller.account, ref, item.digest)
    if last is None or last.state.is_over:
        raise NotFoundError(f"nothing builds as {ref}", hint="start a build", code="nothing_builds")
    picture = await use.building.screenshot(caller.account, last.joined_to or last.id)
    return Response(picture, media_type="image/png")


@router.post(_PLACE + "/build/events/ticket", **keyed(Scope.READ, answers.StreamTicket, 404, status=201))
async def make_ticket(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """A ticket for a browser's EventSource: `GET …/build/events?ticket=…`. It reads this version's events only, is to
    be used within five minutes, and serves reconnects until it expires, its key is revoked, or the session that made it
    is over."""
    await use.registry.get(caller.account, ref)
    ticket, expires_ms = await use.tickets.issue(caller, ref)
    return {"ticket": ticket, "expires_at": iso_time(expires_ms)}


@router.get(_PLACE + "/builds", **keyed(Scope.READ, answers.Attempts, 404))
async def list_attempts(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """The last 100 attempts, newest first, of whatever content was published here."""
    await use.registry.get(caller.account, ref)
    return await _list(use, await use.queue.history(caller.account, ref))


@router.get(_PLACE + "/builds/{attempt}", **keyed(Scope.READ, answers.AttemptDetail, 400, 404))
async def get_attempt(
    ref: RefInPath, attempt: Annotated[int, Path(ge=1, le=999_999_999)], caller: Caller, use: Use
) -> Json:
    """One attempt with its steps, timings, cache hits, failure and manifest."""
    await use.registry.get(caller.account, ref)
    build = await use.queue.attempt(caller.account, ref, attempt)
    if build is None:
        raise NotFoundError(f"{ref} has no attempt {attempt}", hint="list them with …/builds")
    return attempt_detail_json(build, queue_position=await _position(use, build))


@router.get("/builds", **keyed(Scope.READ, answers.QueueOverview, 400))
async def list_active(caller: Caller, use: Use, ended: Annotated[int, Query(ge=0, le=100)] = 0) -> Json:
    """The account's builds that wait or run, oldest first; then the `ended` that ended last, newest first."""
    builds = await use.queue.active(caller.account)
    if ended:
        builds += await use.queue.ended(caller.account, ended)
    return await _list(use, builds)


async def _show(use: Services, account: str, item: Item) -> Json:
    status, last = await use.queue.status(account, item.ref, item.digest)
    position = None if last is None else await _position(use, last)
    golden = await golden_of(use, account, item, status, last)
    return build_json(item, status, last, queue_position=position, golden_key=golden)


async def _list(use: Services, builds: Sequence[Build]) -> Json:
    places = await use.queue.positions() if any(build.state is BuildState.QUEUED for build in builds) else {}
    return listing("builds", [attempt_json(build, queue_position=places.get(build.id)) for build in builds])


async def _position(use: Services, build: Build) -> int | None:
    return await use.queue.position(build.id) if build.state is BuildState.QUEUED else None
