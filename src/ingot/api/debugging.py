"""The machine of a failed build while it is held: what it is, commands in it, its end."""

from __future__ import annotations

from fastapi import APIRouter

from ingot.api import answers
from ingot.api.address import RefInPath
from ingot.api.computers import BashBody
from ingot.api.describe import keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.errors import NotFoundError
from ingot.records.account import Scope
from ingot.records.wire import Json, held_json, shell_json

_PLACE = "/templates/{namespace}/{name}/{version}/build/machine"

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["builds"])


@router.get(_PLACE, **keyed(Scope.BUILD, answers.HeldMachine, 404))
async def get_held_machine(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """The machine that is held of the build that failed last; 404 `nothing_held`."""
    await use.registry.get(caller.account, ref)
    return held_json(use.held.get(caller.account, ref))


@router.post(_PLACE + "/bash", **keyed(Scope.BUILD, answers.Shell, 400, 404, 409))
async def run_in_held_machine(ref: RefInPath, body: BashBody, caller: Caller, use: Use) -> Json:
    """Runs a shell command where the failed step ran, as root and in the same environment without its secrets, and
    answers when it has ended."""
    await use.registry.get(caller.account, ref)
    return shell_json(await use.held.bash(caller.account, ref, body.command, body.timeout))


@router.delete(_PLACE, **keyed(Scope.BUILD, answers.Deleted, 404))
async def end_held_machine(ref: RefInPath, caller: Caller, use: Use) -> Json:
    """Ends the machine; nothing of it is left. 404 `nothing_held`."""
    await use.registry.get(caller.account, ref)
    if not await use.held.end(caller.account, ref):
        raise NotFoundError(f"no machine of {ref} is held", hint="it may have expired", code="nothing_held")
    return {"deleted": True}
