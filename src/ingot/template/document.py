"""The shape of an `orgo.ai/v1` document: one closed model per object, in canonical form.

The models say which keys there are, their types, defaults and limits; the JSON Schema is made from them.
They know no sugar (sugar.py), fill in no variables (interpolate.py) and compare no fields (rules/).
Defaults are frozen: the canonical form drops keys that hold them, so changing one changes what old
digests mean. Marked as ours: `build.timeout`, `build.secrets`, and `ram_gb` of 1 and 2.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from ingot.records.ref import NAME_PATTERN
from ingot.template.words import (
    DURATION,
    ENV_NAME,
    MODE,
    OURS,
    RATE,
    RESOLUTION,
    SECRET_NAME,
    USER,
    CpuCount,
    RamSize,
    Version,
)

API_VERSION = "orgo.ai/v1"

TEXT_TAG = "<text>"
SECRET_TAG = "<secret>"  # noqa: S105 # the name of a union's branch
OTHER_TAG = "<other>"


class Closed(BaseModel):
    """An object whose unknown keys are errors and whose values are never converted."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
SecretName = Annotated[str, StringConstraints(pattern=SECRET_NAME)]
EnvName = Annotated[str, StringConstraints(pattern=ENV_NAME, max_length=256)]
VarName = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Text = Annotated[str, StringConstraints(min_length=1)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Duration = Annotated[str, StringConstraints(pattern=DURATION, max_length=20)]
UserName = Annotated[str, StringConstraints(pattern=USER)]
Package = Annotated[str, StringConstraints(min_length=1, max_length=1024)]


Signal = Literal[
    "TERM", "HUP", "INT", "QUIT", "KILL", "USR1", "USR2",
    "SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2",
]  # fmt: skip


class SecretReference(Closed):
    """A value that stays in the account's vault until the moment it is used."""

    secret: SecretName


def _text_or_object(value: Any) -> str:
    return SECRET_TAG if isinstance(value, (dict, SecretReference)) else TEXT_TAG


def _text_or_other(value: Any) -> str:
    return OTHER_TAG if isinstance(value, (dict, list)) else TEXT_TAG


EnvValue = Annotated[
    Annotated[str, Tag(TEXT_TAG)] | Annotated[SecretReference, Tag(SECRET_TAG)],
    Discriminator(_text_or_object),
]
Env = Annotated[dict[EnvName, EnvValue], Field(max_length=1024)]


class TemplateSection(Closed):
    name: Name
    version: Version
    description: str = ""
    publisher: Name | None = None
    license: str = ""
    homepage: str = Field(default="", json_schema_extra={"format": "uri"})
    source: str = Field(default="", json_schema_extra={"format": "uri"})
    integrity: str = ""


class Secret(Closed):
    name: SecretName
    description: str = ""
    example: str = ""
    docs_url: str = Field(default="", json_schema_extra={"format": "uri"})
    optional: bool = False


class Hardware(Closed):
    os: Literal["linux"] = "linux"
    cpu: CpuCount = 1
    ram_gb: RamSize = 4
    disk_gb: int = Field(default=8, ge=1, le=65_536)
    gpu: Literal["none", "t4", "l4", "a10", "l40s", "a100-40", "a100-80", "h100"] = "none"
    gpu_count: int = Field(default=0, ge=0, le=64)
    bandwidth_mbps: int = Field(default=0, ge=0, le=1_000_000)
    resolution: Annotated[str, StringConstraints(pattern=RESOLUTION)] = "1280x800x24"
    auto_stop_minutes: int | None = Field(default=None, ge=0, le=1440)
    region: Literal["auto-us", "iad", "sjc", "lax"] = "auto-us"
    audio: bool = False


class Build(Closed):
    apt: list[Package] = Field(default=[], max_length=1024)
    pip: list[Package] = Field(default=[], max_length=1024)
    npm: list[Package] = Field(default=[], max_length=1024)
    run: list[Text] = Field(default=[], max_length=64)
    timeout: Duration | None = Field(default=None, json_schema_extra=OURS)
    secrets: list[SecretName] = Field(default=[], max_length=64, json_schema_extra=OURS)


class File(Closed):
    """`owner` and `group` are `orgo` for targets below `~/` and `root` elsewhere, unless they are given."""

    to: Line
    source: Text | None = Field(default=None, alias="from")
    inline: str | None = None
    mode: Annotated[str, StringConstraints(pattern=MODE)] = "0644"
    owner: UserName | None = None
    group: UserName | None = None
    when: Literal["build", "runtime"] = "build"


class Service(Closed):
    name: Name
    run: Text
    title: str = ""
    description: str = ""
    cwd: str = ""
    user: UserName = "orgo"
    env: Env = {}
    restart: Literal["always", "on-failure", "no"] = "always"
    stop_signal: Signal = "TERM"
    log: str = ""


class Health(Closed):
    type: Literal["http", "tcp", "command", "process"]
    url: str = ""
    port: int | None = Field(default=None, ge=1, le=65_535)
    command: str = ""
    process: str = ""
    every: Duration = "30s"
    timeout: Duration = "5s"
    retries: int = Field(default=3, ge=0, le=1000)
    on_fail: str = "none"


class Port(Closed):
    internal: int = Field(ge=1, le=65_535)
    external: int = Field(default=0, ge=0, le=65_535)
    protocol: Literal["tcp", "udp", "http", "ws"] = "tcp"
    public: bool = False
    description: str = ""


class Autostart(Closed):
    run: Text
    delay: float = Field(default=0, ge=0, le=86_400)


class App(Closed):
    name: Name
    title: str = ""
    description: str = ""
    install: str = ""
    requires: list[Name] = Field(default=[], max_length=64)
    data: list[Line] = Field(default=[], max_length=256)
    services: list[Service] = Field(default=[], max_length=64)
    health: Health | None = None
    ports: list[Port] = Field(default=[], max_length=256)
    autostart: list[Autostart] = Field(default=[], max_length=64)


class Source(Closed):
    """What a trigger watches; which fields are due depends on `type`."""

    type: Literal["file", "log", "process", "http", "cron", "metric", "event", "desktop"]
    path: str = ""
    events: list[Literal["create", "modify", "delete"]] = Field(default=[], max_length=3)
    service: Name | None = None
    match: str = ""
    parse: Literal["text", "json"] = "text"
    process: str = ""
    url: str = ""
    method: str = "GET"
    expect_code: int | None = Field(default=None, ge=100, le=599)
    interval: Duration | None = None
    schedule: str = ""
    metric: (
        Literal[
            "cpu_percent",
            "ram_percent",
            "disk_percent",
            "net_in_mbps",
            "net_out_mbps",
            "gpu_percent",
            "gpu_memory_percent",
            "gpu_temp_celsius",
        ]
        | None
    ) = None
    op: Literal[">", ">=", "<", "<=", "==", "!=", "gt", "gte", "lt", "lte", "eq", "ne"] | None = None
    value: float | None = Field(default=None, ge=-1e15, le=1e15)
    duration: Duration | None = None
    event: str = ""


class Dedup(Closed):
    """At most one of the three."""

    debounce: Duration | None = None
    cooldown: Duration | None = None
    rate_limit: Annotated[str, StringConstraints(pattern=RATE, max_length=40)] | None = None


Body = Annotated[
    Annotated[str, Tag(TEXT_TAG)] | Annotated[dict[str, Any] | list[Any], Tag(OTHER_TAG)],
    Discriminator(_text_or_other),
]


class Action(Closed):
    """What a trigger does; which fields are due depends on `type`."""

    type: Literal["webhook", "command", "service", "notify", "log", "api"]
    url: str = ""
    method: str = "POST"
    headers: dict[Line, EnvValue] = Field(default={}, max_length=64)
    body: Body | None = None
    run: str = ""
    cwd: str = ""
    timeout: Duration | None = None
    op: Literal["start", "stop", "restart"] | None = None
    target: str = ""
    title: str = ""
    level: Literal["info", "warning", "critical"] = "info"
    message: str = ""
    endpoint: str = ""


class Trigger(Closed):
    name: Name
    title: str = ""
    description: str = ""
    enabled: bool = True
    source: Source
    dedup: Dedup = Dedup()
    actions: list[Action] = Field(min_length=1, max_length=64)


class Streaming(Closed):
    name: Name
    url: Line
    key: EnvValue
    autostart: bool = False


class Terminal(Closed):
    name: Name
    title: str = ""
    description: str = ""
    cwd: str = ""
    run: str = ""


class Hooks(Closed):
    """Shell, run with `set -e` and 10 minutes at most."""

    on_first_boot: str = ""
    on_every_boot: str = ""
    on_pre_snapshot: str = ""
    on_resume: str = ""
    on_shutdown: str = ""


class Telemetry(Closed):
    metrics: Annotated[
        Annotated[bool, Tag(TEXT_TAG)] | Annotated[list[Line], Field(max_length=256), Tag(OTHER_TAG)],
        Discriminator(_text_or_other),
    ] = False
    logs: list[Line] = Field(default=[], max_length=256)
    otel_endpoint: str = ""


class EgressPolicy(Closed):
    mode: Literal["allow", "block"]
    rules: list[Line] = Field(default=[], max_length=1024)


class Document(Closed):
    """The root. `wallpaper` is written at the top level in Orgo's sugar and has no other place: it is its own
    canonical key, so that it counts for the digest."""

    api_version: Literal["orgo.ai/v1"]
    template: TemplateSection
    secrets: list[Secret] = Field(default=[], max_length=64)
    hardware: Hardware = Hardware()
    vars: dict[VarName, str] = Field(default={}, max_length=1024)
    env: Env = {}
    build: Build = Build()
    files: list[File] = Field(default=[], max_length=256)
    apps: list[App] = Field(default=[], max_length=64)
    triggers: list[Trigger] = Field(default=[], max_length=256)
    streaming: list[Streaming] = Field(default=[], max_length=16)
    terminal: list[Terminal] = Field(default=[], max_length=32)
    hooks: Hooks = Hooks()
    telemetry: Telemetry = Telemetry()
    egress_policy: EgressPolicy | None = None
    wallpaper: str = Field(default="", json_schema_extra={"format": "uri"})
