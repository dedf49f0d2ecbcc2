"""All computers of this host: made from goldens, asked to run commands, ended. They live in this process's memory
and end with it; what a killed server leaves behind is the backend's `sweep` to remove.

An account sees its own computers and no others. Layers that a computer stands on are held from garbage collection,
and `golden_keys` tells which goldens must stay.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import CapacityError, ConflictError, NotFoundError
from ingot.launcher.hardware import HostHardware, choose_spec, host_hardware
from ingot.launcher.life import Life, Start
from ingot.launcher.shell import python_command, shell_command
from ingot.machine.contract import Backend
from ingot.records.computer import Computer, ComputerStatus, LaunchWish, ShellResult
from ingot.records.item import Item
from ingot.records.layer import Golden
from ingot.records.machine import MachineSpec
from ingot.records.template import Template
from ingot.settings import Settings
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore
from ingot.template import load_canonical

Reveal = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""(account, names) → the values of those that the account's vault has."""

MOST_COMPUTERS = 64
_GREETING = 2.0
_CLOSING = 25.0
_REMEMBERED = 3600.0


@dataclass(slots=True)
class _Entry:
    life: Life
    golden_key: str
    holding: contextlib.ExitStack
    over_since: float | None = None


class Computers:
    """Use it as `async with`, or call `aclose`: both end every computer within 25 s."""

    def __init__(
        self, backend: Backend, layers: LayerStore, goldens: GoldenStore, reveal: Reveal, settings: Settings
    ) -> None:
        self._backend = backend
        self._layers = layers
        self._goldens = goldens
        self._reveal = reveal
        self._idle = settings.run_idle_timeout
        self._disk_dir = settings.data_dir
        self._entries: dict[str, _Entry] = {}

    async def __aenter__(self) -> Computers:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def launch(self, account: str, item: Item, golden_key: str, wish: LaunchWish) -> Computer:
        """A computer from a golden. Comes back when it runs, failed to start, or after two seconds, whichever is
        first: then its status is `creating` or `starting`.

        Raises ConflictError: the golden is gone, a required secret is missing (`missing_secret`, names it), or more
        hardware is asked for than the host has (`capacity`); CapacityError when too many computers exist.
        """
        self._forget_old()
        if len(self._alive()) >= MOST_COMPUTERS:
            raise CapacityError(f"this host runs {MOST_COMPUTERS} computers already", retry_after=60)
        golden = await self._golden(item, golden_key)
        spec = choose_spec(golden, wish, self._host())
        template = load_canonical(golden.document, golden.digest)
        values = await self._secrets(account, template)
        computer = _new_computer(account, item, wish, spec, golden)
        with contextlib.ExitStack() as holding:
            stack = await self._stack(golden, holding)
            life = Life(computer, Start(template, stack, values, self._idle_of(wish, template)), self._backend)
            entry = self._entries[computer.id] = _Entry(life, golden_key, holding.pop_all())
        life.task.add_done_callback(lambda _: self._ended(entry))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_GREETING):
                await life.settled.wait()
        return life.computer

    async def get(self, account: str, computer_id: str) -> Computer:
        return self._find(account, computer_id).life.computer

    async def list(self, account: str) -> Sequence[Computer]:
        """Oldest first, test runs as well."""
        mine = [entry.life.computer for entry in self._entries.values() if entry.life.computer.account == account]
        return sorted(mine, key=lambda computer: computer.created_ms)

    async def delete(self, account: str, computer_id: str) -> None:
        """Ends it. When this returns nothing of it is left."""
        entry = self._find(account, computer_id)
        await entry.life.end()
        self._entries.pop(entry.life.computer.id, None)

    async def bash(self, account: str, computer_id: str, command: str, timeout: float) -> ShellResult:
        """Runs a line in bash, as root. ConflictError when the computer does not run."""
        life = self._find(account, computer_id).life
        return await life.run(shell_command(command, timeout, life.env))

    async def python(self, account: str, computer_id: str, code: str, timeout: float) -> ShellResult:
        """Runs Python code, as root. ConflictError when the computer does not run."""
        life = self._find(account, computer_id).life
        return await life.run(python_command(code, timeout, life.env))

    def golden_keys(self) -> frozenset[str]:
        """The goldens that live computers were made from."""
        return frozenset(entry.golden_key for entry in self._alive())

    async def aclose(self) -> None:
        entries = list(self._entries.values())
        for entry in entries:
            entry.life.task.cancel()
        if entries:
            await asyncio.wait([entry.life.task for entry in entries], timeout=_CLOSING)
        self._entries.clear()

    async def _golden(self, item: Item, golden_key: str) -> Golden:
        golden = await self._goldens.get(golden_key)
        if golden is None:
            raise ConflictError(
                f"the golden of {item.ref} is gone", hint=f"run `ingot build {item.ref}`", code="TEMPLATE_NOT_READY"
            )
        if golden.backend != self._backend.name:
            raise ConflictError(
                f"the golden of {item.ref} is for {golden.backend} machines, this host makes {self._backend.name} ones",
                hint=f"run `ingot build --force {item.ref}`",
                code="TEMPLATE_NOT_READY",
            )
        return golden

    async def _secrets(self, account: str, template: Template) -> Mapping[str, str]:
        """The values of what the template declares; ConflictError names a required one that is missing."""
        declared = [secret.name for secret in template.secrets]
        values = await self._reveal(account, declared) if declared else {}
        missing = [secret.name for secret in template.secrets if not secret.optional and secret.name not in values]
        if missing:
            raise ConflictError(
                f"the template needs the secret{'s' if len(missing) > 1 else ''} {', '.join(missing)}",
                hint=f"set it with `ingot secrets set {missing[0]}`",
                code="missing_secret",
            )
        return {name: values[name] for name in declared if name in values}

    async def _stack(self, golden: Golden, holding: contextlib.ExitStack) -> tuple[Path, ...]:
        """The golden's layers on this host, held; fetched from the object store where they are not here."""
        hold = holding.enter_context(self._layers.hold())
        keys = [layer.key for layer in golden.layers]
        for key in keys:
            hold(key)
        for key in keys:
            await self._layers.ensure_local(key)
        self._layers.touch(keys)
        return tuple(self._layers.parts(key) for key in keys)

    def _idle_of(self, wish: LaunchWish, template: Template) -> float | None:
        if wish.test_run:
            return self._idle
        minutes = wish.auto_stop_minutes
        if minutes is None:
            minutes = template.hardware.auto_stop_minutes
        return minutes * 60.0 if minutes else None

    def _host(self) -> HostHardware:
        return host_hardware(self._disk_dir)

    def _find(self, account: str, computer_id: str) -> _Entry:
        """By id or by instance id; another account's is not there."""
        for entry in self._entries.values():
            computer = entry.life.computer
            if computer.account == account and computer_id in (computer.id, computer.instance_id):
                return entry
        raise NotFoundError(f"there is no computer {computer_id}", hint="it may have ended after idle minutes")

    def _alive(self) -> Sequence[_Entry]:
        return [entry for entry in self._entries.values() if not entry.life.task.done()]

    def _ended(self, entry: _Entry) -> None:
        """A test run that ended is gone; what failed or stopped can be looked at for an hour."""
        entry.holding.close()
        entry.over_since = time.monotonic()
        computer = entry.life.computer
        if computer.test_run and computer.status is ComputerStatus.STOPPED:
            self._entries.pop(computer.id, None)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for key, entry in list(self._entries.items()):
            if entry.over_since is not None and now - entry.over_since > _REMEMBERED:
                del self._entries[key]


def _new_computer(account: str, item: Item, wish: LaunchWish, spec: MachineSpec, golden: Golden) -> Computer:
    ports = [dict(port) for app in golden.document.get("apps") or () for port in app.get("ports") or ()]
    identity = uuid.uuid4()
    return Computer(
        id=str(identity),
        instance_id=secrets.token_hex(4),
        account=account,
        name=wish.name or item.ref.name,
        ref=item.ref,
        status=ComputerStatus.CREATING,
        spec=spec,
        created_ms=time.time_ns() // 1_000_000,
        workspace=wish.workspace,
        auto_stop_minutes=wish.auto_stop_minutes,
        test_run=wish.test_run,
        ports=tuple(ports),
    )
