"""What a computer's start needs: its golden, the golden's layers on this host, its secrets. Makes no machine."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ingot.errors import ConflictError
from ingot.machine.contract import Backend
from ingot.records.computer import Computer
from ingot.records.layer import Golden
from ingot.records.ref import Ref
from ingot.records.template import Template
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore
from ingot.template import load_canonical

_MINUTE = 60.0

Reveal = Callable[[str, Sequence[str]], Awaitable[Mapping[str, str]]]
"""(account, names) → the values of those that the account's vault has."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a computer is started from. `golden` are its golden's layers, base first, held from garbage collection until
    `holding` is closed; `secrets` maps declared names to values; `idle` is after how many seconds without a command it
    ends by itself (None: never)."""

    template: Template
    golden: tuple[Path, ...]
    secrets: Mapping[str, str] = field(repr=False)
    idle: float | None
    holding: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, compare=False)


class Supplies:
    """`run_idle` is after how many idle seconds a test run ends."""

    def __init__(
        self,
        backend: Backend,
        layers: LayerStore,
        goldens: GoldenStore,
        reveal: Reveal,
        run_idle: float,
    ) -> None:
        self._backend = backend
        self._layers = layers
        self._goldens = goldens
        self._reveal = reveal
        self._run_idle = run_idle

    async def golden(self, ref: Ref, key: str) -> Golden:
        """Raises ConflictError when it is gone, or made for machines of another kind."""
        golden = await self._goldens.get(key)
        if golden is None:
            raise ConflictError(
                f"the golden of {ref} is gone", hint=f"run `ingot build {ref}`", code="TEMPLATE_NOT_READY"
            )
        if golden.backend != self._backend.name:
            raise ConflictError(
                f"the golden of {ref} is for {golden.backend} machines, this host makes {self._backend.name} ones",
                hint=f"run `ingot build --force {ref}`",
                code="TEMPLATE_NOT_READY",
            )
        return golden

    async def gather(self, computer: Computer) -> Start:
        """Raises what `golden` raises, and ConflictError naming a required secret that is missing."""
        golden = await self.golden(computer.ref, computer.golden_key)
        template = load_canonical(golden.document, golden.digest)
        secrets = await self._secrets(computer.account, template)
        with contextlib.ExitStack() as holding:
            stack = await self._stack(golden, holding)
            return Start(template, stack, secrets, self._idle_of(computer, template), holding.pop_all())

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

    def _idle_of(self, computer: Computer, template: Template) -> float | None:
        if computer.test_run:
            return self._run_idle
        minutes = computer.auto_stop_minutes
        if minutes is None:
            minutes = template.hardware.auto_stop_minutes
        return minutes * _MINUTE if minutes else None
