"""The account's workspaces, where computers are kept apart by name. `/projects` is another address of the same."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from ingot.api import answers
from ingot.api.describe import keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.records.account import Scope
from ingot.records.wire import Json, computer_json, workspace_json

WorkspaceId = Annotated[str, Path(description="Its `id`.")]


class WorkspaceBody(BaseModel):
    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]*$")]


async def list_workspaces(caller: Caller, use: Use) -> Json:
    """The account's workspaces, oldest first."""
    found = [workspace_json(workspace) for workspace in await use.workspaces.list(caller.account)]
    return {"workspaces": found, "projects": found}


async def create_workspace(body: WorkspaceBody, caller: Caller, use: Use) -> Json:
    """Makes a workspace. Names may be the same."""
    return workspace_json(await use.workspaces.create(caller.account, body.name))


async def get_workspace(workspace_id: WorkspaceId, caller: Caller, use: Use) -> Json:
    """One workspace and the computers in it."""
    workspace = await use.workspaces.get(caller.account, workspace_id)
    inside = [one for one in await use.computers.list(caller.account) if one.workspace == workspace.id]
    return {**workspace_json(workspace), "computers": [computer_json(computer) for computer in inside]}


async def delete_workspace(workspace_id: WorkspaceId, caller: Caller, use: Use) -> Json:
    """Removes an empty workspace; 409 `workspace_in_use` while computers are in it."""
    await use.workspaces.delete(caller.account, workspace_id)
    return {"deleted": True}


def _router(kind: str) -> APIRouter:
    """The endpoints below `/api/<kind>s`; every operation has a name of its own."""
    router = APIRouter(prefix=f"/api/{kind}s", route_class=KeyedRoute, tags=["workspaces"])
    one = "/{workspace_id}"
    router.get("", name=f"list_{kind}s", **keyed(Scope.READ, answers.WorkspaceList))(list_workspaces)
    made = keyed(Scope.LAUNCH, answers.WorkspaceObject, 400, status=201)
    router.post("", name=f"create_{kind}", **made)(create_workspace)
    router.get(one, name=f"get_{kind}", **keyed(Scope.READ, answers.WorkspaceDetail, 404))(get_workspace)
    gone = keyed(Scope.LAUNCH, answers.Deleted, 404, 409)
    router.delete(one, name=f"delete_{kind}", **gone)(delete_workspace)
    return router


ROUTERS = (_router("workspace"), _router("project"))
