"""A host with scripted machines and one golden, for tests of computers: real stores, records and database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ingot.computer_records import ComputerRecords, Workspaces
from ingot.launcher.computers import Computers
from ingot.launcher.own_layers import OwnLayers
from ingot.launcher.recovery import recover_computers
from ingot.machine.scripted import Scripted, ScriptedBackend
from ingot.records.computer import Computer, ComputerStatus, LaunchWish
from ingot.records.item import Item
from ingot.records.layer import Golden, Layer
from ingot.records.machine import MachineSpec
from ingot.records.ref import Ref
from ingot.settings import Settings
from ingot.storage.database import Database
from ingot.storage.objects import DirectoryObjects
from ingot.store.archive import Archive
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore

ACCOUNT = "default"
RUN = LaunchWish(test_run=True)
DOCUMENT: dict[str, Any] = {
    "api_version": "orgo.ai/v1",
    "template": {"name": "hello", "version": "1.0.0"},
    "hardware": {"cpu": 0.5, "ram_gb": 1},
    "secrets": [{"name": "api-key"}, {"name": "extra", "optional": True}],
    "env": {"MODE": "test", "TOKEN": {"secret": "api-key"}},
    "hooks": {"on_resume": "echo resumed", "on_shutdown": "echo bye"},
}


class House:
    """A host with scripted machines, one golden of `DOCUMENT`, and a vault that is a dictionary."""

    def __init__(self, directory: Path, idle: float, script: Mapping[str, Scripted]) -> None:
        self.backend = ScriptedBackend(script)
        self.vault = {"api-key": "it's a secret", "extra": "more", "undeclared": "canary"}
        self._directory = directory
        self._idle = idle

    async def open(self, document: dict[str, Any]) -> None:
        objects = DirectoryObjects(self._directory / "objects")
        self.layers = LayerStore(self._directory / "layers", self._directory / "staging", objects, self.backend)
        await self.layers.start()
        archive = Archive(objects, self.backend, self._directory / "staging")
        async with self.layers.stage() as parts:
            await self.backend.make_base(parts, _nowhere)
            layer = Layer("a" * 64, None, "base", "base image", "scripted", 1, 6, 1, {"recipe": "r"})
            await self.layers.publish(layer, parts)
        stored = await archive.ensure(layer, self.layers.parts(layer.key))
        await archive.aclose()
        self.goldens = GoldenStore(objects)
        self.golden = Golden("g" * 64, "d" * 64, "scripted", MachineSpec(0.5, 1024, 8192), (stored,), document, {}, 1)
        await self.goldens.publish(self.golden)
        self.item = Item(Ref("default", "hello", "1.0.0"), "d" * 64, 1, document)
        self.db = Database(self._directory / "ingot.db")
        await self.db.start()
        self.records, self.own = ComputerRecords(self.db), OwnLayers(self._directory / "computers")
        self.workspaces = Workspaces(self.db)
        self.computers = self._computers()

    def _computers(self) -> Computers:
        settings = replace(Settings(), data_dir=self._directory, run_idle_timeout=self._idle)
        return Computers(self.backend, self.layers, self.goldens, self.records, self.own, self.reveal, settings)

    async def next_server(self) -> None:
        """What a server does at its start, on what the last one left."""
        pending = await recover_computers(self.backend, self.records, self.own)
        await self.backend.sweep(pending)
        self.computers = self._computers()
        await self.computers.resume()

    async def launch(self, **wish: Any) -> Computer:
        return await self.computers.launch(ACCOUNT, self.item, self.golden.key, LaunchWish(**wish))

    async def until(self, computer_id: str, status: ComputerStatus) -> Computer:
        """Waits until the computer is so."""
        async with asyncio.timeout(60):
            while (found := await self.computers.get(ACCOUNT, computer_id)).status is not status:
                await asyncio.sleep(0.01)
        return found

    def kept(self) -> list[str]:
        """The layers that computers wrote, also half-made ones."""
        return sorted(str(place.relative_to(self._directory / "computers")) for place in self._kept())

    def _kept(self) -> Sequence[Path]:
        return list((self._directory / "computers").glob("*/*"))

    async def reveal(self, account: str, names: Sequence[str]) -> dict[str, str]:
        assert account == ACCOUNT
        return {name: self.vault[name] for name in names if name in self.vault}


async def _nowhere(_: bytes) -> None:
    return None


@contextlib.asynccontextmanager
async def house(
    directory: Path,
    script: Mapping[str, Scripted] | None = None,
    idle: float = 900,
    document: dict[str, Any] | None = None,
    greeting: float = 30,
) -> AsyncIterator[House]:
    """`greeting` is for how many seconds an answer waits for what it began: where nothing hangs, until that is done."""
    home = House(directory, idle, script or {})
    await home.open(document or DOCUMENT)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("ingot.launcher.computers._GREETING", greeting)
        try:
            yield home
        finally:
            await home.computers.aclose()
            await home.db.aclose()
            assert home.backend.running == []
