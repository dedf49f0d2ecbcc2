"""All the wiring; with `host`, which chooses the backend, the only module that names adapters. A server's life is
`serve`, read from top to bottom.

Start: take the data directory, save the files of computers that a dead server left running, sweep the rest, open the
parts, bring computers up again, run the worker, answer requests.
Stop: open streams end, held machines end, computers stop, machines end, builds stay in the queue for the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import uvicorn
import uvloop

from ingot.access import Access
from ingot.api.app import create_app
from ingot.api.carrying import WEBSOCKETS
from ingot.api.connection import StreamingProtocol, listen
from ingot.api.cors import CorsPolicy
from ingot.api.event_stream import EventStream
from ingot.api.host_names import is_loopback
from ingot.api.metrics import Metrics
from ingot.api.open_streams import StreamLimits
from ingot.api.page_files import PageFiles
from ingot.api.services import MadeBy, Services, look_at_activity
from ingot.builder.packages import describe_base
from ingot.builder.report import Reporter
from ingot.builder.request import BuildRequest, BuildTools, Limits
from ingot.builder.run import build
from ingot.building import BuildingMachines
from ingot.computer_records import ComputerRecords, Workspaces
from ingot.console import PAGES
from ingot.control import Control
from ingot.credentials import local_url, sign_in_url, write_key
from ingot.dispatch import Dispatch
from ingot.errors import HostError, IngotError
from ingot.events.keeper import LogAges, LogKeeper
from ingot.events.log import EventLogs
from ingot.held import HeldMachines, HoldLimits
from ingot.host import Chosen, check_host, choose_backend, find_open_files
from ingot.launcher.computers import Computers
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.recovery import recover_computers
from ingot.machine.contract import Backend
from ingot.open_files import raise_limit
from ingot.queue.builds import BuildQueue, QueueLimits
from ingot.records.layer import Golden
from ingot.registry import Registry
from ingot.sessions import Sessions
from ingot.settings import Settings, describe_settings
from ingot.storage.database import Database
from ingot.storage.objects import DirectoryObjects
from ingot.store.archive import Archive
from ingot.store.base_images import BaseImages
from ingot.store.downloads import Downloads
from ingot.store.garbage import GarbageCollector
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore
from ingot.store.tree import remove_tree
from ingot.tickets import Tickets
from ingot.vault import Vault
from ingot.vitals import Vitals
from ingot.worker import Worker, Workshop

log = logging.getLogger(__name__)

_SHUTDOWN_SECONDS = 5
_PORT_PASSES_ON = 2.0
_KEEP_ALIVE = 75  # seconds: longer than proxies and clients keep an idle one, so that none sends on one that closes
_DRAIN_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Parts:
    """A server's parts, opened. `first_key` is the first API key when this start made it."""

    control: Control
    services: Services
    worker: Worker
    keeper: LogKeeper
    first_key: str | None = field(repr=False)


def serve(settings: Settings, origin: Mapping[str, str]) -> int:
    """Runs a server until SIGINT or SIGTERM; returns the process's exit status. A second SIGINT does not wait for
    open requests."""
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    for name in ("alembic", "uvicorn"):
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, origin))
    except IngotError as error:
        print(f"ingot: {error}", file=sys.stderr)  # noqa: T201 - the last word of a server that cannot run
        return 1
    return 0


@contextlib.asynccontextmanager
async def opened(settings: Settings, origin: Mapping[str, str]) -> AsyncIterator[Parts]:
    """Every part of a server but its socket, ready to be used; closed in the reverse order on the way out."""
    data = settings.data_dir
    data.mkdir(parents=True, exist_ok=True, mode=0o711)
    async with contextlib.AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(data / "ingot.db"))
        chosen = await _open_backend(settings, stack)
        backend = chosen.backend
        records, own_layers = ComputerRecords(database), OwnLayers(data / "computers")
        await _clear_host(backend, records, own_layers)
        access, vault = Access(database), Vault(database, settings.vault_key_file)
        await vault.start()
        registry, queue = Registry(database), BuildQueue(database, _queue_limits(settings))
        await registry.start()
        tools, collector = await _open_store(data, backend, stack)
        logs = EventLogs(data / "logs")
        made_from = (backend, tools.layers, tools.goldens, records, own_layers, vault.reveal, settings)
        computers = await stack.enter_async_context(Computers(*made_from))
        await computers.resume()
        holding = HoldLimits(settings.held_machines, settings.account_held_machines)
        held = await stack.enter_async_context(HeldMachines(holding))
        building = BuildingMachines(have_screens=backend.has_screen)
        dispatch = Dispatch(registry, queue, logs, tools.goldens)
        tickets, cors, limits = Tickets(database), CorsPolicy(settings.cors_origins), _limits(settings)
        sessions, own = Sessions(database), (find_open_files(settings),)
        control = Control(
            registry, queue, access, sessions, tickets, vault, dispatch, tools, limits, collector, computers, held, own
        )
        hosts = hosts_of(settings)
        stream = _stream(settings, logs, control, cors, database, hosts)
        stack.push_async_callback(stream.aclose)
        metrics = Metrics()
        vitals = Vitals(data, lambda: look_at_activity(queue, stream))
        stack.push_async_callback(vitals.aclose)
        worker = Worker(queue, logs, _workshop(control, vault, tools, metrics, building))
        services = Services(
            registry=registry,
            queue=queue,
            access=access,
            sessions=sessions,
            vault=vault,
            builds=control,
            computers=computers,
            held=held,
            building=building,
            stream=stream,
            tickets=tickets,
            workspaces=Workspaces(database),
            pages=PageFiles(PAGES),
            vitals=vitals,
            made_by=MadeBy(backend.name, chosen.reason, settings.builds),
            cors=cors,
            hosts=hosts,
            metrics=metrics,
            settings=describe_settings(settings, origin),
        )
        keeper = LogKeeper(logs, LogAges(settings.log_compact_after, settings.log_keep_days))
        yield Parts(control, services, worker, keeper, await access.bootstrap(settings.bootstrap_key))


async def _clear_host(backend: Backend, records: ComputerRecords, own_layers: OwnLayers) -> None:
    """Saves what computers wrote whose server is dead, then removes what else it left."""
    pending = await recover_computers(backend, records, own_layers)
    for line in await backend.sweep(pending):
        log.warning("removed what a dead server left: %s", line, extra={"action": "sweep"})


def _stream(
    settings: Settings,
    logs: EventLogs,
    control: Control,
    cors: CorsPolicy,
    database: Database,
    hosts: frozenset[str] | None,
) -> EventStream:
    return EventStream(
        logs,
        control.resolve_stream,
        limits=_stream_limits(settings),
        is_live=control.is_live,
        cors=cors,
        stamp=lambda: database.changes,
        builds=lambda: control.queue.changes,
        hosts=hosts,
    )


async def _open_backend(settings: Settings, stack: contextlib.AsyncExitStack) -> Chosen:
    """Raises HostError when this host cannot run its machines."""
    chosen = await choose_backend(settings)
    log.info("machines are made by %s: %s", chosen.backend.name, chosen.reason, extra={"action": "backend"})
    stack.push_async_callback(chosen.backend.aclose)
    await check_host(chosen.backend)
    return chosen


async def _open_store(
    data: Path, backend: Backend, stack: contextlib.AsyncExitStack
) -> tuple[BuildTools, GarbageCollector]:
    staging = data / "staging"
    await remove_tree(staging)
    objects = DirectoryObjects(data / "objects")
    await objects.sweep()
    layers = LayerStore(data / "layers", staging, objects, backend)
    await layers.start()
    goldens, archive = GoldenStore(objects), Archive(objects, backend, staging)
    stack.push_async_callback(archive.aclose)
    base_images = BaseImages(backend, layers, archive, objects, describe_base)
    collector = GarbageCollector(layers, goldens, base_images, objects, staging)
    downloads = Downloads(data / "downloads")
    return BuildTools(backend, layers, goldens, archive, base_images, downloads, staging), collector


def _workshop(
    control: Control, vault: Vault, tools: BuildTools, metrics: Metrics, building: BuildingMachines
) -> Workshop:
    async def build_golden(request: BuildRequest, report: Reporter) -> Golden:
        return await build(request, tools, report, control.held.take, building.watch)

    take_over = control.dispatch.take_over
    return Workshop(control.prepare, build_golden, take_over, vault.reveal_all, metrics.count_build, control.held)


def _queue_limits(settings: Settings) -> QueueLimits:
    return QueueLimits(
        builds=settings.builds,
        account_builds=settings.account_builds,
        waiting=settings.queue_limit,
        account_waiting=settings.account_queue_limit,
        wait_seconds=settings.queue_timeout,
    )


def hosts_of(settings: Settings) -> frozenset[str] | None:
    """The names besides those of loopback under which the server may be called; None for any."""
    if settings.hosts:
        return None if "*" in settings.hosts else frozenset(name.lower() for name in (*settings.hosts, settings.host))
    return frozenset() if is_loopback(settings.host) else None


def _stream_limits(settings: Settings) -> StreamLimits:
    """As the settings say, or as many as this process may have connections."""
    streams = raise_limit(settings.stream_limit)
    if streams < settings.stream_limit:
        log.warning("open files: %s", find_open_files(settings).detail, extra={"action": "open-files"})
    return StreamLimits(streams, settings.account_stream_limit)


def _limits(settings: Settings) -> Limits:
    return Limits(
        memory_mb=settings.machine_memory_mb,
        disk_mb=settings.machine_disk_mb,
        processes=settings.machine_processes,
        step_timeout=settings.step_timeout,
        build_timeout=settings.build_timeout,
    )


# -- the server ------------------------------------------------------------------------------------------


class DrainingServer(uvicorn.Server):
    """Ends open event streams before it waits for connections, and leaves signals to `_serve`: uvicorn alone
    never ends with a stream open, and would end the process before the machines are removed."""

    def __init__(self, config: uvicorn.Config, stream: EventStream) -> None:
        super().__init__(config)
        self._stream = stream

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._stream.aclose(_DRAIN_SECONDS)
        await super().shutdown(sockets)


async def _serve(settings: Settings, origin: Mapping[str, str]) -> None:
    with _listening(settings) as sock:
        async with opened(settings, origin) as parts:
            ready = False
            services = replace(parts.services, ready=lambda: ready and not server.should_exit)
            config = uvicorn.Config(
                create_app(services),
                http=StreamingProtocol,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
                forwarded_allow_ips=list(settings.trusted_proxies),
                **WEBSOCKETS,
            )
            server = DrainingServer(config, services.stream)
            _handle_signals(server)
            await parts.worker.settle()
            _tell_start(settings, sock, parts.first_key, await _console_code(parts))
            ready = True
            await _run(server, sock, parts)


async def _run(server: uvicorn.Server, sock: socket.socket, parts: Parts) -> None:
    """The server until it is asked to stop, beside the worker, the keeper of logs and the taker of figures; when one of
    them dies the server ends with it."""
    beside = [
        asyncio.create_task(parts.worker.run(), name="worker"),
        asyncio.create_task(parts.keeper.run(), name="log keeper"),
        asyncio.create_task(parts.services.vitals.run(), name="vitals"),
    ]
    for task in beside:
        task.add_done_callback(lambda _: setattr(server, "should_exit", True))
    try:
        await server.serve(sockets=[sock])
    finally:
        for task in beside:
            task.cancel()
        results = await asyncio.gather(*beside, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


def _handle_signals(server: uvicorn.Server) -> None:
    def stop() -> None:
        server.force_exit = server.should_exit
        server.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop)


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    try:
        sock = _listen(settings)
    except OSError as error:
        reason = error.strerror or error
        hint = "end what listens there, or choose another address with --listen"
        raise HostError(f"cannot listen on {settings.listen}: {reason}", hint=hint) from error
    with sock:
        yield sock


def _listen(settings: Settings) -> socket.socket:
    """What a killed server was just starting may have its socket for a moment more."""
    deadline = time.monotonic() + _PORT_PASSES_ON
    while True:
        try:
            return listen(settings.host, settings.port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


async def _console_code(parts: Parts) -> str | None:
    """What signs a person in who started a server that had no key: for a terminal alone, which no log keeps."""
    if parts.first_key is None or not sys.stderr.isatty():
        return None
    caller = await parts.services.access.authenticate(parts.first_key)
    code, _ = await parts.services.sessions.issue_code(caller)
    return code


def _tell_start(settings: Settings, sock: socket.socket, first_key: str | None, code: str | None) -> None:
    """Says on stderr where the server is, and the first key, this once; to a person also where the console is."""
    port = sock.getsockname()[1]
    url = local_url(f"{settings.listen.rpartition(':')[0]}:{port}")
    lines = [f"ingot serves {url}, data in {settings.data_dir}"]
    if first_key is not None:
        write_key(settings.credentials_file, url, first_key, default=True)
        if not settings.bootstrap_key:
            lines.append(f"first API key (shown this once, kept in {settings.credentials_file}): {first_key}")
    if code is not None:
        lines.append(f"console (this address signs in once, within ten minutes): {sign_in_url(url, code)}")
    elif sys.stderr.isatty():
        lines.append(f"console: {url}/console/ (`ingot console` signs in)")
    print("\n".join(lines), file=sys.stderr, flush=True)  # noqa: T201 - what `ingot up` has to say
