"""What the API needs of the rest of the server, as one frozen value, and the promises that its wiring keeps.

The API asks names, attempts, keys and secrets of their own classes. What spans parts (a build from golden look-up to
worker, a launch, a collection) is behind the protocols here; `service.py` implements them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from ingot.access import Access
from ingot.api.cors import CorsPolicy
from ingot.api.event_stream import EventStream
from ingot.api.metrics import Metrics
from ingot.api.page_files import PageFiles
from ingot.computer_records import Workspaces
from ingot.queue.builds import BuildQueue
from ingot.records.build import Build, BuildFlags, BuildState, HeldMachine
from ingot.records.computer import Computer, ComputerStatus, LaunchWish, ServiceStatus, ShellResult
from ingot.records.item import Item
from ingot.records.ref import Ref
from ingot.registry import Registry
from ingot.sessions import Sessions
from ingot.template import Publication
from ingot.tickets import Tickets
from ingot.vault import Vault
from ingot.vitals import Activity, Vitals


class BuildControl(Protocol):
    """Builds and the host, above the parts. Every method may be called from any task."""

    async def start(self, account: str, ref: Ref, flags: BuildFlags) -> Build:
        """The attempt that builds what is published as `ref`: new, under way, or ready and reused. Raises
        NotFoundError, CapacityError."""

    async def cancel(self, account: str, ref: Ref) -> bool:
        """Asks what builds as `ref` to end, and ends the machine that is held of it; False when there is neither.
        Raises NotFoundError."""

    async def plan(self, account: str, publication: Publication) -> Sequence[Mapping[str, Any]]:
        """The steps that a build would take, each at least `index` (from 1), `title`, `phase`, `action` (`reuse` or
        `run`) and `reason`. Changes nothing."""

    async def collect_garbage(self, dry_run: bool) -> Mapping[str, Any]:
        """Removes what nothing needs: `removed` (objects with `what`, `why`, `size_bytes`), `kept` (`what`, `why`) and
        `freed_bytes`."""

    async def findings(self) -> Sequence[Mapping[str, Any]]:
        """What this host can do: `name`, `ok`, `detail`, `remedy` (text or null), `needed`."""


class HeldMachines(Protocol):
    """Machines of failed builds that are kept for a while. Those of another account are not there."""

    def get(self, account: str, ref: Ref) -> HeldMachine:
        """Raises NotFoundError `nothing_held`."""

    async def bash(self, account: str, ref: Ref, command: str, timeout: float) -> ShellResult:
        """Runs a shell command as the failed step's ran. Raises NotFoundError `nothing_held`, ConflictError."""

    async def end(self, account: str, ref: Ref) -> bool:
        """Ends it; False when nothing is held. When this returns nothing of it is left."""


class BuildingMachines(Protocol):
    """The machines of builds that run on this server. Those of another account are not there."""

    async def screenshot(self, account: str, build_id: str) -> bytes:
        """The screen of the machine that builds, as a PNG. Raises NotFoundError `nothing_builds`, ConflictError
        `no_screen`."""


class Terminal(Protocol):
    """A shell on a terminal. One task reads, one writes."""

    async def read(self) -> bytes:
        """What it shows next; empty at its end."""

    async def write(self, typed: bytes) -> None: ...

    async def resize(self, cols: int, rows: int) -> None: ...

    async def wait(self) -> int:
        """The shell's exit code, when there is nothing more to read."""


class Computers(Protocol):
    """The computers of all accounts. One of another account is not there: NotFoundError."""

    async def launch(self, account: str, item: Item, golden_key: str, wish: LaunchWish) -> Computer:
        """Makes a computer. Raises ConflictError (a required secret is missing: names it; `capacity`), NotFoundError
        for its workspace, CapacityError."""

    async def get(self, account: str, computer_id: str) -> Computer: ...

    async def list(self, account: str) -> Sequence[Computer]:
        """Oldest first; test runs as well."""

    async def start(self, account: str, computer_id: str) -> Computer:
        """Has it run. Raises what `launch` does, and ConflictError `in_transition` while it changes."""

    async def stop(self, account: str, computer_id: str) -> Computer:
        """Ends its machine, its files kept. Raises ConflictError: `in_transition`, `test_run`, `stop_failed`."""

    async def restart(self, account: str, computer_id: str) -> Computer:
        """Both. Raises what they raise."""

    async def clone(self, account: str, computer_id: str, name: str = "", workspace: str | None = None) -> Computer:
        """Another one with the files that it has now. Raises what `launch` does, and ConflictError `copy_failed`."""

    async def delete(self, account: str, computer_id: str) -> None:
        """Ends it. When this returns nothing of it is left."""

    def counts(self) -> Mapping[ComputerStatus, int]:
        """How many there are of each status, of all accounts; those that there are none of may be left out."""

    async def bash(self, account: str, computer_id: str, command: str, timeout: float) -> ShellResult:
        """Runs a shell command. Raises ConflictError when the computer does not run."""

    async def python(self, account: str, computer_id: str, code: str, timeout: float) -> ShellResult:
        """Runs Python code. Raises ConflictError when the computer does not run."""

    async def screenshot(self, account: str, computer_id: str) -> bytes:
        """Its screen as a PNG. Raises ConflictError: `not_running`, `no_screen`."""

    def view(
        self, account: str, computer_id: str
    ) -> AbstractAsyncContextManager[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        """A connection to its screen (RFB), which ends with its machine. Raises the same, and CapacityError."""

    def terminal(self, account: str, computer_id: str, cols: int, rows: int) -> AbstractAsyncContextManager[Terminal]:
        """A login shell of root on a terminal, which ends with the context and with its machine. Raises ConflictError
        when the computer does not run, and CapacityError."""

    async def services(self, account: str, computer_id: str) -> Sequence[ServiceStatus]:
        """What its supervisor runs. Raises ConflictError when the computer does not run."""

    async def service_log(self, account: str, computer_id: str, service: str, lines: int) -> str:
        """The last lines of a service's log. Raises the same, and NotFoundError for a service that it does not have."""


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What makes this server's machines, why, and how many builds run at once."""

    backend: str
    reason: str
    slots: int


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the API. `settings` is what `describe_settings` says; `ready` tells whether requests are
    taken; `hosts` are those of `check_host`; `cors` the
    pages that may call it."""

    registry: Registry
    queue: BuildQueue
    access: Access
    sessions: Sessions
    vault: Vault
    builds: BuildControl
    computers: Computers
    held: HeldMachines
    building: BuildingMachines
    stream: EventStream
    tickets: Tickets
    workspaces: Workspaces
    pages: PageFiles
    vitals: Vitals
    made_by: MadeBy
    metrics: Metrics = field(default_factory=Metrics)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    ready: Callable[[], bool] = lambda: True
    hosts: frozenset[str] | None = None
    cors: CorsPolicy = field(default_factory=CorsPolicy)


def services_of(request: HTTPConnection) -> Services:
    services = request.app.state.services
    assert isinstance(services, Services)
    return services


async def look_at_activity(queue: BuildQueue, stream: EventStream) -> Activity:
    """What the server does now."""
    active = await queue.active()
    building = sum(build.state is BuildState.RUNNING for build in active)
    return Activity(building, len(active) - building, stream.count_open())


async def is_live(access: Access, sessions: Sessions, key_id: str, session: str) -> bool:
    """False once a caller's session is over, or, for one without a session, its key is revoked."""
    return await (sessions.is_live(session) if session else access.is_live(key_id))


Use = Annotated[Services, Depends(services_of)]
"""An endpoint's parameter of this type is the server's Services."""
