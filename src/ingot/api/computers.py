"""Computers made from goldens, switched on and off, copied and deleted; and test runs, which end by themselves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from ingot.api import answers
from ingot.api.address import find_golden, parse_ref
from ingot.api.describe import keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.errors import NotFoundError
from ingot.records.account import Scope
from ingot.records.computer import LaunchWish
from ingot.records.wire import Json, computer_json, listing, run_json, shell_json

_NO_NUL = r"^[^\x00]*$"
Text = Annotated[str, Field(max_length=200, pattern=_NO_NUL)]
ComputerId = Annotated[str, Path(description="Its `id`.")]

router = APIRouter(prefix="/api", route_class=KeyedRoute, tags=["computers"])


class Body(BaseModel):
    """Types are taken literally: the text "2" is no number."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class RunBody(Body):
    ref: Text


class LaunchBody(Body):
    """What is left out is as the template says. `project_id` is another name for `workspace_id`."""

    template_ref: Text
    name: Text = ""
    workspace_id: Text | None = None
    project_id: Text | None = None
    cpu: Annotated[float, Field(gt=0, le=64)] | None = None
    ram: Annotated[int, Field(ge=1, le=512, description="GiB")] | None = None
    disk_size_gb: Annotated[int, Field(ge=1, le=4096)] | None = None
    resolution: Annotated[str, Field(pattern=r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}(x[1-9][0-9]?)?$")] | None = None
    auto_stop_minutes: Annotated[int, Field(ge=0, le=1440)] | None = None

    def wish(self) -> LaunchWish:
        return LaunchWish(
            name=self.name,
            workspace=self.workspace_id or self.project_id,
            cpu=self.cpu,
            ram_gb=self.ram,
            disk_gb=self.disk_size_gb,
            resolution=self.resolution,
            auto_stop_minutes=self.auto_stop_minutes,
        )


class CloneBody(Body):
    """What is left out is as the source has it, but for the name, which says that it is a clone."""

    name: Text = ""
    workspace_id: Text | None = None
    project_id: Text | None = None


class BashBody(Body):
    command: Annotated[str, Field(min_length=1, max_length=1_000_000, pattern=_NO_NUL)]
    timeout: Annotated[float, Field(gt=0, le=3600, description="Seconds.")] = 200


class PythonBody(Body):
    code: Annotated[str, Field(min_length=1, max_length=1_000_000, pattern=_NO_NUL)]
    timeout: Annotated[float, Field(gt=0, le=3600, description="Seconds.")] = 10


@router.post("/templates/run", **keyed(Scope.LAUNCH, answers.TestRun, 400, 404, 409, 429))
async def start_run(body: RunBody, caller: Caller, use: Use) -> Json:
    """Starts a test run of a ready template: a computer that ends after some idle minutes."""
    item, golden = await find_golden(use, caller.account, parse_ref(body.ref))
    return run_json(await use.computers.launch(caller.account, item, golden, LaunchWish(test_run=True)))


@router.delete("/templates/run", **keyed(Scope.LAUNCH, answers.Deleted, 400, 404))
async def end_run(caller: Caller, use: Use, desktop_id: Annotated[str, Query(alias="id", max_length=100)]) -> Json:
    """Ends a test run, named by its `desktop_id`."""
    for computer in await use.computers.list(caller.account):
        if computer.test_run and desktop_id in (computer.instance_id, computer.id):
            await use.computers.delete(caller.account, computer.id)
            return {"deleted": True}
    raise NotFoundError("there is no test run of this id", hint="it may have ended by itself")


@router.post("/computers", **keyed(Scope.LAUNCH, answers.ComputerObject, 400, 404, 409, 429, status=201))
async def create_computer(body: LaunchBody, caller: Caller, use: Use) -> Json:
    """Makes a computer from a ready template; 409 `TEMPLATE_NOT_READY` without a golden."""
    item, golden = await find_golden(use, caller.account, parse_ref(body.template_ref))
    return computer_json(await use.computers.launch(caller.account, item, golden, body.wish()))


@router.get("/computers", **keyed(Scope.READ, answers.ComputerList))
async def list_computers(caller: Caller, use: Use) -> Json:
    """The account's computers, oldest first."""
    return listing("computers", [computer_json(computer) for computer in await use.computers.list(caller.account)])


@router.get("/computers/{computer_id}", **keyed(Scope.READ, answers.ComputerObject, 404))
async def get_computer(computer_id: ComputerId, caller: Caller, use: Use) -> Json:
    """One computer."""
    return computer_json(await use.computers.get(caller.account, computer_id))


@router.delete("/computers/{computer_id}", **keyed(Scope.LAUNCH, answers.Deleted, 404))
async def delete_computer(computer_id: ComputerId, caller: Caller, use: Use) -> Json:
    """Ends a computer, whatever it does; nothing of it is left."""
    await use.computers.delete(caller.account, computer_id)
    return {"deleted": True}


@router.post("/computers/{computer_id}/start", **keyed(Scope.LAUNCH, answers.ComputerObject, 404, 409, 429))
async def start_computer(computer_id: ComputerId, caller: Caller, use: Use) -> Json:
    """Has a computer run again, with the files that it had; one that runs is left alone."""
    return computer_json(await use.computers.start(caller.account, computer_id))


@router.post("/computers/{computer_id}/stop", **keyed(Scope.LAUNCH, answers.ComputerObject, 404, 409))
async def stop_computer(computer_id: ComputerId, caller: Caller, use: Use) -> Json:
    """Stops a computer and keeps its files; one that is stopped is left alone."""
    return computer_json(await use.computers.stop(caller.account, computer_id))


@router.post("/computers/{computer_id}/restart", **keyed(Scope.LAUNCH, answers.ComputerObject, 404, 409, 429))
async def restart_computer(computer_id: ComputerId, caller: Caller, use: Use) -> Json:
    """Stops a computer and starts it; one that is stopped is started."""
    return computer_json(await use.computers.restart(caller.account, computer_id))


@router.post(
    "/computers/{computer_id}/clone", **keyed(Scope.LAUNCH, answers.ComputerObject, 400, 404, 409, 429, status=201)
)
async def clone_computer(computer_id: ComputerId, caller: Caller, use: Use, body: CloneBody | None = None) -> Json:
    """Makes another computer with the files that this one has now, and starts it; this one is not disturbed."""
    wanted = body or CloneBody()
    workspace = wanted.workspace_id or wanted.project_id
    return computer_json(await use.computers.clone(caller.account, computer_id, wanted.name, workspace))


@router.post("/computers/{computer_id}/bash", **keyed(Scope.LAUNCH, answers.Shell, 400, 404, 409))
async def run_bash(computer_id: ComputerId, body: BashBody, caller: Caller, use: Use) -> Json:
    """Runs a shell command and answers when it has ended."""
    return shell_json(await use.computers.bash(caller.account, computer_id, body.command, body.timeout))


@router.post("/computers/{computer_id}/exec", **keyed(Scope.LAUNCH, answers.Shell, 400, 404, 409))
async def run_python(computer_id: ComputerId, body: PythonBody, caller: Caller, use: Use) -> Json:
    """Runs Python code and answers when it has ended."""
    return shell_json(await use.computers.python(caller.account, computer_id, body.code, body.timeout))
