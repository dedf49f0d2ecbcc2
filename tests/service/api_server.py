"""The whole API on a free port: real database, registry, queue, keys, vault and event logs; builds and computers are
ordinary in-memory implementations of their protocols."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx2
import uvicorn

from ingot.access import Access
from ingot.api.app import create_app
from ingot.api.carrying import WEBSOCKETS
from ingot.api.connection import StreamingProtocol
from ingot.api.cors import CorsPolicy
from ingot.api.event_stream import EventStream, NotBuiltError, StreamTarget
from ingot.api.page_files import PageFiles
from ingot.api.services import MadeBy, Services, is_live, look_at_activity
from ingot.api.stream_request import StreamRequest
from ingot.computer_records import Workspaces
from ingot.errors import CapacityError, ConflictError, NotFoundError
from ingot.events.log import EventLogs
from ingot.machine.scripted_terminal import ScriptedTerminal, scripted_terminal
from ingot.queue.builds import BuildQueue, QueueLimits
from ingot.records.account import Scope
from ingot.records.build import Build, BuildFlags, BuildState, Failure, FailureCode, HeldMachine
from ingot.records.computer import Computer, ComputerStatus, LaunchWish, ServiceStatus, ShellResult
from ingot.records.event import Phase
from ingot.records.item import Item
from ingot.records.machine import MachineSpec
from ingot.records.ref import Ref
from ingot.registry import Registry
from ingot.sessions import Sessions
from ingot.settings import Settings, describe_settings
from ingot.storage.clock import now_ms
from ingot.storage.database import Database
from ingot.template import Publication
from ingot.tickets import Tickets
from ingot.vault import Vault
from ingot.vitals import Vitals

HELLO = b"""\
api_version: orgo.ai/v1
template: {name: hello, version: 1.0.0}
build:
  run: [echo hello]
"""

PICTURE = b"\x89PNG\r\n\x1a\n"

Viewer = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def document(name: str = "hello", version: str = "1.0.0", run: str = "echo hello") -> bytes:
    return (
        HELLO.replace(b"hello, ", name.encode() + b", ")
        .replace(b"1.0.0", version.encode())
        .replace(b"echo hello", run.encode())
    )


class ScriptedBuilds:
    """Builds go into the real queue; a test ends them itself. Nothing runs."""

    def __init__(self, registry: Registry, queue: BuildQueue) -> None:
        self.registry = registry
        self.queue = queue
        self.collected: list[bool] = []
        self.fault: Exception | None = None

    async def start(self, account: str, ref: Ref, flags: BuildFlags) -> Build:
        item = await self.registry.get(account, ref)
        golden = await self.queue.golden_of(item.digest, account, ref) if flags.takes_golden else None
        build = await self.queue.enqueue(account, ref, item.digest, flags, golden)
        if build.state is BuildState.RUNNING and build.reused:
            return await self.queue.finish(
                build.id, build.epoch, BuildState.READY, golden_key=build.golden_key, reused=True
            )
        return build

    async def cancel(self, account: str, ref: Ref) -> bool:
        await self.registry.get(account, ref)
        return await self.queue.request_cancel(account, ref) is not None

    async def plan(self, account: str, publication: Publication) -> Sequence[Mapping[str, Any]]:
        if self.fault is not None:
            raise self.fault
        return [
            {"index": place, "title": f"run {command}", "phase": "install", "action": "run", "reason": "never built"}
            for place, command in enumerate(publication.template.build.run, start=1)
        ]

    async def collect_garbage(self, dry_run: bool) -> Mapping[str, Any]:
        self.collected.append(dry_run)
        return {
            "removed": [{"what": "layer abc", "why": "nothing needs it", "size_bytes": 10}],
            "kept": [],
            "freed_bytes": 10,
        }

    async def findings(self) -> Sequence[Mapping[str, Any]]:
        return [{"name": "runc", "ok": False, "detail": "not found", "remedy": "apt-get install runc", "needed": True}]


class ScriptedHeld:
    """Held machines that a test puts here: commands print themselves."""

    def __init__(self) -> None:
        self.all: dict[tuple[str, Ref], HeldMachine] = {}

    def hold(self, ref: Ref, account: str = "default") -> None:
        held = HeldMachine("b", account, ref, 2, Phase.INSTALL, "run make", 1_780_000_000_123, 1_780_001_800_123)
        self.all[account, ref] = held

    def get(self, account: str, ref: Ref) -> HeldMachine:
        if (account, ref) not in self.all:
            raise NotFoundError(f"no machine of {ref} is held", code="nothing_held")
        return self.all[account, ref]

    async def bash(self, account: str, ref: Ref, command: str, timeout: float) -> ShellResult:
        self.get(account, ref)
        return ShellResult("", 3) if command == "exit 3" else ShellResult(f"{command}\n", 0)

    async def end(self, account: str, ref: Ref) -> bool:
        return self.all.pop((account, ref), None) is not None


class ScriptedBuilding:
    """Machines that build, which a test puts here by their build's id: an account, and the error of a screenshot."""

    def __init__(self) -> None:
        self.all: dict[str, tuple[str, Exception | None]] = {}

    async def screenshot(self, account: str, build_id: str) -> bytes:
        owner, error = self.all.get(build_id, ("", None))
        if owner != account:
            raise NotFoundError("no machine builds it on this server just now", code="nothing_builds")
        if error is not None:
            raise error
        return PICTURE


class ScriptedComputers:
    """Computers in memory: `exit 3` exits 3, everything else prints itself. `screens` are those of computers that have
    one: what connects to it. `terminals` are open now; a line typed there prints itself."""

    def __init__(self) -> None:
        self.all: dict[str, Computer] = {}
        self.wishes: list[tuple[str, LaunchWish]] = []
        self.missing_secret = ""
        self.screens: dict[str, Callable[[], Awaitable[Viewer]]] = {}
        self.terminals: list[ScriptedTerminal] = []

    async def launch(self, account: str, item: Item, golden_key: str, wish: LaunchWish) -> Computer:
        if self.missing_secret:
            raise ConflictError(f"the required secret {self.missing_secret} is not set", code="secret_missing")
        self.wishes.append((golden_key, wish))
        spec = MachineSpec(cpu=wish.cpu or 1, memory_mb=(wish.ram_gb or 4) * 1024)
        identity = str(uuid.uuid4())
        self.all[identity] = Computer(
            id=identity,
            instance_id=identity[:8],
            account=account,
            name=wish.name or item.ref.name,
            ref=item.ref,
            status=ComputerStatus.RUNNING,
            spec=spec,
            created_ms=1_780_000_000_123,
            workspace=wish.workspace,
            test_run=wish.test_run,
            ports=({"internal": 8000},),
        )
        return self.all[identity]

    async def get(self, account: str, computer_id: str) -> Computer:
        computer = self.all.get(computer_id)
        if computer is None or computer.account != account:
            raise NotFoundError("there is no such computer")
        return computer

    async def list(self, account: str) -> Sequence[Computer]:
        return [computer for computer in self.all.values() if computer.account == account]

    async def delete(self, account: str, computer_id: str) -> None:
        del self.all[(await self.get(account, computer_id)).id]

    def counts(self) -> Mapping[ComputerStatus, int]:
        return Counter(computer.status for computer in self.all.values())

    async def bash(self, account: str, computer_id: str, command: str, timeout: float) -> ShellResult:
        await self._running(account, computer_id)
        return ShellResult("", 3) if command == "exit 3" else ShellResult(f"{command}\n", 0)

    async def python(self, account: str, computer_id: str, code: str, timeout: float) -> ShellResult:
        return await self.bash(account, computer_id, code, timeout)

    async def screenshot(self, account: str, computer_id: str) -> bytes:
        await self._screen(account, computer_id)
        return PICTURE

    @contextlib.asynccontextmanager
    async def view(self, account: str, computer_id: str) -> AsyncIterator[Viewer]:
        reader, writer = await (await self._screen(account, computer_id))()
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _screen(self, account: str, computer_id: str) -> Callable[[], Awaitable[Viewer]]:
        computer = await self._running(account, computer_id)
        if computer.id not in self.screens:
            raise ConflictError("this computer has no screen", code="no_screen")
        return self.screens[computer.id]

    @contextlib.asynccontextmanager
    async def terminal(self, account: str, computer_id: str, cols: int, rows: int) -> AsyncIterator[ScriptedTerminal]:
        async def run(line: str, sink: Callable[[bytes], Awaitable[None]]) -> int:
            await sink(f"{line}\n".encode())
            return 0

        await self._running(account, computer_id)
        if len(self.terminals) >= 8:
            raise CapacityError("the computer has 8 terminals open already", retry_after=30)
        async with scripted_terminal(cols, rows, run) as terminal:
            self.terminals.append(terminal)
            try:
                yield terminal
            finally:
                self.terminals.remove(terminal)

    async def services(self, account: str, computer_id: str) -> Sequence[ServiceStatus]:
        await self._running(account, computer_id)
        return [
            ServiceStatus("web", "site", "running", "uptime 0:00:07", 12),
            ServiceStatus("ingot-health", None, "fatal", "", None),
        ]

    async def service_log(self, account: str, computer_id: str, service: str, lines: int) -> str:
        await self._running(account, computer_id)
        if service != "web":
            raise NotFoundError(f"this computer has no service {service!r}")
        return "".join(f"line {number} ö\n" for number in range(3))[-lines * 9 :]

    async def _running(self, account: str, computer_id: str) -> Computer:
        computer = await self.get(account, computer_id)
        if computer.status is not ComputerStatus.RUNNING:
            raise ConflictError(f"the computer is {computer.status}", code="not_running")
        return computer

    async def start(self, account: str, computer_id: str) -> Computer:
        return await self._change(account, computer_id, ComputerStatus.RUNNING)

    async def stop(self, account: str, computer_id: str) -> Computer:
        return await self._change(account, computer_id, ComputerStatus.STOPPED)

    async def restart(self, account: str, computer_id: str) -> Computer:
        return await self._change(account, computer_id, ComputerStatus.RUNNING)

    async def clone(self, account: str, computer_id: str, name: str = "", workspace: str | None = None) -> Computer:
        source, identity = await self.get(account, computer_id), str(uuid.uuid4())
        clone = replace(source, id=identity, instance_id=identity[:8], name=name or f"{source.name}-clone")
        self.all[identity] = replace(clone, workspace=workspace or source.workspace)
        return self.all[identity]

    async def _change(self, account: str, computer_id: str, status: ComputerStatus) -> Computer:
        """One in transition refuses, as real ones do."""
        computer = await self.get(account, computer_id)
        if computer.status is ComputerStatus.STARTING:
            raise ConflictError("the computer is starting", code="in_transition")
        self.all[computer.id] = replace(computer, status=status)
        return self.all[computer.id]


@dataclass
class Server:
    """A running server. `http` calls it with a key that may do everything; `key` makes others.
    `ahead_ms` is how far the clock of sessions goes ahead."""

    url: str
    services: Services
    builds: ScriptedBuilds
    computers: ScriptedComputers
    held: ScriptedHeld
    building: ScriptedBuilding
    http: httpx2.AsyncClient
    logs: EventLogs
    api_key: str
    is_ready: bool = True
    ahead_ms: int = 0
    goldens: itertools.count[int] = field(default_factory=itertools.count)

    async def key(self, *scopes: Scope, account: str = "default") -> dict[str, str]:
        """Headers with a new key."""
        _, plaintext = await self.services.access.create_key(account, "test", scopes)
        return {"Authorization": f"Bearer {plaintext}"}

    async def publish(self, body: bytes = HELLO, headers: dict[str, str] | None = None) -> dict[str, Any]:
        answer = await self.http.post(
            "/api/templates", content=body, headers={"Content-Type": "application/yaml", **(headers or {})}
        )
        assert answer.status_code == 201, answer.text
        published: dict[str, Any] = answer.json()
        return published

    async def finish_next(self, failure: Failure | None = None) -> Build:
        """Claims the next build of the queue and ends it."""
        build = await self.services.queue.claim()
        assert build is not None
        if failure is not None:
            return await self.services.queue.finish(build.id, build.epoch, BuildState.FAILED, failure=failure)
        golden = f"{next(self.goldens):064x}"
        return await self.services.queue.finish(
            build.id, build.epoch, BuildState.READY, golden_key=golden, manifest={"apt": {"curl": "8.0"}}
        )

    async def ready_template(self, name: str = "hello") -> str:
        """A published template with a golden; its ref."""
        published = await self.publish(document(name))
        ref: str = published["ref"]
        assert (await self.http.post(f"{path_of(ref)}/build")).status_code == 202
        await self.finish_next()
        return ref


STEP_FAILED = Failure(FailureCode.STEP_FAILED, "run make ended with exit code 2", "run make", 2, ("make: error",))


def path_of(ref: str) -> str:
    return "/api/templates/" + ref.replace("@", "/")


@contextlib.asynccontextmanager
async def running_server(
    directory: Path,
    hosts: frozenset[str] | None = None,
    *,
    port: int = 0,
    first_key: str = "",
    pages: Path | None = None,
) -> AsyncIterator[Server]:
    """With a `first_key` the directory may be one that a server had before. `pages` are the console's files."""
    async with Database(directory / "ingot.db") as db:
        registry, access = Registry(db), Access(db)
        vault = Vault(db, directory / "vault.key")
        queue = BuildQueue(db, QueueLimits(waiting=5, account_waiting=4))
        await registry.start()
        await vault.start()
        key = await access.bootstrap(first_key) or first_key
        assert key
        builds, computers, held = ScriptedBuilds(registry, queue), ScriptedComputers(), ScriptedHeld()
        building = ScriptedBuilding()
        server: Server
        logs = EventLogs(directory / "logs")
        tickets, sessions = Tickets(db), Sessions(db, lambda: now_ms() + server.ahead_ms)

        async def resolve(request: StreamRequest) -> StreamTarget:
            ref = Ref(request.namespace, request.name, request.version)
            if request.ticket is not None:
                caller = await tickets.redeem(request.ticket, ref)
            elif request.session is not None:
                caller = await sessions.authenticate(request.session)
            else:
                caller = await access.authenticate(request.token)
            await registry.get(caller.account, ref)
            build = await queue.current(caller.account, ref)
            whose = (caller.account, caller.key_id, caller.session)
            if build is None:
                raise NotBuiltError(f"{ref} was never built", whose)
            return StreamTarget(build.id, build.attempt, *whose, caller.until_ms)

        async def reads_on(key_id: str, session: str) -> bool:
            return await is_live(access, sessions, key_id, session)

        cors = CorsPolicy(["http://console.test"])
        stream = EventStream(logs, resolve, cors=cors, is_live=reads_on, stamp=lambda: db.changes, hosts=hosts)
        vitals = Vitals(directory, lambda: look_at_activity(queue, stream))
        services = Services(
            registry=registry,
            queue=queue,
            access=access,
            sessions=sessions,
            vault=vault,
            builds=builds,
            computers=computers,
            held=held,
            building=building,
            stream=stream,
            tickets=tickets,
            workspaces=Workspaces(db),
            pages=PageFiles(pages or directory / "pages"),
            vitals=vitals,
            made_by=MadeBy("scripted", "as the tests say", 2),
            cors=cors,
            settings=describe_settings(Settings(bootstrap_key="hush"), dict.fromkeys(Settings.__slots__, "default")),
            ready=lambda: server.is_ready,
            hosts=hosts,
        )
        async with listening(services, port) as url:
            headers = {"Authorization": f"Bearer {key}"}
            async with httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=60) as http:
                server = Server(url, services, builds, computers, held, building, http, logs, key)
                yield server
        await vitals.aclose()


@contextlib.asynccontextmanager
async def listening(services: Services, port: int = 0) -> AsyncIterator[str]:
    """Serves the API; its URL."""
    config = uvicorn.Config(
        create_app(services),
        host="127.0.0.1",
        port=port,
        log_level="critical",
        http=StreamingProtocol,
        lifespan="off",
        timeout_keep_alive=75,
        **WEBSOCKETS,
    )
    server = _Announcing(config)
    serving = asyncio.create_task(server.serve())
    await server.is_up.wait()
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


class _Announcing(uvicorn.Server):
    """Says when it is up; leaves the signals of the test runner alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield
