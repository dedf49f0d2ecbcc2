"""The shapes of answers, as OpenAPI tells them. `records.wire` makes the values; these check and describe them.

A key without a default is always there, null where nothing is known. Shapes that other parts decide (a plan's steps,
what a collection did, what the host can do) are open: they may say more.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ingot.records.account import Scope
from ingot.records.build import BuildState, BuildStatus, FailureCode, StepState
from ingot.records.computer import ComputerStatus
from ingot.records.event import Phase, Result
from ingot.records.problem import ProblemCode

Time = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z$", examples=["2026-06-08T17:00:01Z"])]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$", description="SHA-256 of the canonical document.")]
RefText = Annotated[str, Field(examples=["default/hello@1.0.0"], description="namespace/name@version")]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Envelope(Closed):
    """Every error but two is this envelope."""

    error: str = Field(description="What is wrong and what to do, for a person.")
    code: str = Field(pattern="^[A-Za-z_]+$", description="Stable; for programs.")
    request_id: str = Field(description="The same as the header X-Request-Id.")


class ProblemEntry(Closed):
    field: str = Field(examples=["apps[0].services[1].run"])
    code: ProblemCode
    message: str
    hint: str = ""
    line: int = Field(default=0, ge=1)
    column: int = Field(default=0, ge=1)


class InvalidTemplate(Envelope):
    """All problems of a document, in its order."""

    errors: list[ProblemEntry]


class Invalid(Closed):
    """The answer to a document that is not valid."""

    ok: Literal[False]
    errors: list[ProblemEntry]


class Valid(Closed):
    ok: Literal[True]
    template: dict[str, Any] = Field(description="The canonical document.")
    warnings: list[str]


class Item(Closed):
    ref: RefText
    digest: Digest
    published: Time
    template: dict[str, Any] = Field(description="The canonical document.")


class Items(Closed):
    templates: list[Item]


class Versions(Closed):
    versions: list[Item]


class Published(Closed):
    ref: RefText
    digest: Digest
    published: Time
    warnings: list[str] = Field(default=[], description="What this server cannot do for the document yet.")
    auto_build: BuildStatus = Field(
        default=BuildStatus.NOT_BUILT, description="The build's status, where one was asked for."
    )


class Deleted(Closed):
    deleted: Literal[True]


class Step(Open):
    index: int = Field(ge=1)
    title: str
    phase: Phase
    action: Literal["reuse", "run"]
    reason: str


class Plan(Closed):
    ref: RefText
    digest: Digest
    steps: list[Step]


class BuildFailure(Closed):
    code: FailureCode
    step: str | None
    exit_code: int | None
    message: str
    last_lines: list[str]


class BuildObject(Closed):
    ref: RefText
    digest: Digest
    status: BuildStatus
    build_time_ms: int | None
    reused: bool
    error: str | None
    golden_dir: str | None = Field(description="The golden's key in the object store.")
    attempt: int = Field(ge=0, description="Attempts of a ref count from 1; 0 when this content was never built.")
    phase: Phase | None
    step: str | None
    queue_position: int | None = Field(description="The place among the waiting, from 1.")
    queued_at: Time | None
    started_at: Time | None
    finished_at: Time | None
    failure: BuildFailure | None = Field(description="How the last attempt failed.")


class ListedItem(Item):
    build: BuildObject | None = Field(default=None, description="There with `builds=true`, and never null.")


class ListedItems(Closed):
    templates: list[ListedItem]


class Cancelling(Closed):
    status: Literal["cancelling"]


class Idle(Closed):
    """Nothing builds."""

    status: Literal["idle"]


class Attempt(Closed):
    ref: RefText
    digest: Digest
    state: BuildState
    result: Result | None
    reused: bool
    attempt: int = Field(ge=1)
    phase: Phase | None
    step: str | None
    queue_position: int | None
    queued_at: Time
    started_at: Time | None
    finished_at: Time | None
    build_time_ms: int | None
    phases_ms: dict[str, int] = Field(
        description="How long its phases took: all of them once it is ready, else what its steps took."
    )
    steps_total: int
    steps_cached: int
    golden_dir: str | None
    failure: BuildFailure | None


class AttemptStep(Closed):
    index: int
    title: str
    phase: Phase
    source: str
    state: StepState
    cached: bool
    reason: str
    started_at: Time
    duration_ms: int | None
    layer: str | None


class Flags(Closed):
    force: bool
    no_cache: bool
    refresh: bool
    keep_on_failure: int = Field(ge=0, description="Seconds.")


class AttemptDetail(Attempt):
    flags: Flags
    steps: list[AttemptStep]
    manifest: dict[str, Any] | None = Field(description="Packages, layers, digests, sizes, timings.")


class HeldMachine(Closed):
    ref: RefText
    attempt: int
    phase: Phase
    step: str = Field(description="The title of the step that failed.")
    held_at: Time
    expires_at: Time


class Attempts(Closed):
    builds: list[Attempt]


class QueueOverview(Closed):
    """The account's builds that are under way, oldest first, then those that ended, newest first."""

    builds: list[Attempt]


class TestRun(Closed):
    id: str
    desktop_id: str
    status: ComputerStatus
    vnc_password: str | None
    public_host: str | None
    resolution: str


class ComputerObject(Closed):
    id: str = Field(description="A UUID.")
    instance_id: str = Field(pattern="^[0-9a-f]{8}$")
    name: str
    workspace_id: str | None
    template_ref: RefText
    status: ComputerStatus
    error: str | None
    cpu: float
    ram: float = Field(description="GiB")
    disk_size_gb: float
    resolution: str
    auto_stop_minutes: int | None
    connection_url: str | None
    vnc_password: str | None
    template_ports: list[dict[str, Any]]
    test_run: bool = Field(description="Whether it is deleted when it was idle, and with its server.")
    created_at: Time


class ComputerList(Closed):
    computers: list[ComputerObject]


class WorkspaceObject(Closed):
    id: str = Field(description="A UUID.")
    name: str
    created_at: Time


class WorkspaceDetail(WorkspaceObject):
    computers: list[ComputerObject] = Field(description="Those that are in it.")


class WorkspaceList(Closed):
    """The same list under both names."""

    workspaces: list[WorkspaceObject]
    projects: list[WorkspaceObject]


class Shell(Closed):
    success: bool = Field(description="The exit code is 0.")
    output: str = Field(description="stdout and stderr as they came.")
    exit_code: int


class Service(Closed):
    name: str
    app: str | None = Field(description="The template's app; null for Ingot's own health watchdog.")
    state: str = Field(
        description="supervisord's word in lower case: `running`, `starting`, `backoff`, `fatal`, …; or `unknown`."
    )
    detail: str = Field(description="Since when, or why not.")
    pid: int | None


class ServiceList(Closed):
    services: list[Service]


class Secret(Closed):
    name: str
    created_at: Time
    updated_at: Time


class Secrets(Closed):
    secrets: list[Secret]


class SecretKept(Closed):
    name: str
    warnings: list[str]


class Key(Closed):
    id: str
    name: str
    prefix: str
    scopes: list[Scope]
    created_at: Time
    last_used_at: Time | None
    revoked_at: Time | None


class NewKey(Key):
    key: str = Field(description="The key itself; it is shown this once.")


class SessionKey(Closed):
    id: str
    name: str
    prefix: str


class Session(Closed):
    account: str
    key: SessionKey
    scopes: list[Scope]
    expires_at: Time | None = Field(description="When it is over unless it is used; null for a key.")


class SessionCode(Closed):
    code: str = Field(description="Opens one session. It is shown this once.")
    expires_at: Time


class StreamTicket(Closed):
    ticket: str = Field(description="For `?ticket=`. It is shown this once.")
    expires_at: Time


class Keys(Closed):
    keys: list[Key]


class Health(Closed):
    status: Literal["ok"]


class Ready(Closed):
    status: Literal["ready"]
