"""What runs in a computer by itself, and what it logs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from ingot.api import answers
from ingot.api.computers import ComputerId
from ingot.api.describe import keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.records.account import Scope
from ingot.records.wire import Json, listing, service_json

_LINES = 1000
_MOST_LINES = 100_000
_TEXT = {"responses": {"200": {"content": {"text/plain": {"schema": {"type": "string"}}}}}}

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["computers"])


@router.get("/computers/{computer_id}/services", **keyed(Scope.READ, answers.ServiceList, 404, 409))
async def list_services(computer_id: ComputerId, caller: Caller, use: Use) -> Json:
    """The services of a computer that runs, its autostart programs and its health watchdog: how each is."""
    found = await use.computers.services(caller.account, computer_id)
    return listing("services", [service_json(service) for service in found])


@router.get(
    "/computers/{computer_id}/logs/{service}",
    response_class=Response,
    **keyed(Scope.READ, None, 400, 404, 409, extra=_TEXT),
)
async def read_service_log(
    computer_id: ComputerId,
    service: Annotated[str, Path(description="Its `name`.")],
    caller: Caller,
    use: Use,
    tail: Annotated[int, Query(ge=1, le=_MOST_LINES, description="Lines.")] = _LINES,
) -> Response:
    """The last lines of a service's log, 1 MiB at most; empty while it has logged nothing."""
    text = await use.computers.service_log(caller.account, computer_id, service, tail)
    return Response(text, media_type="text/plain")
