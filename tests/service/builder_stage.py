"""A builder over the scripted backend in a temporary directory, and a reporter that keeps what it is told."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ingot.builder.packages import describe_base
from ingot.builder.request import BuildRequest, BuildTools, Limits
from ingot.builder.run import build
from ingot.errors import BuildError
from ingot.machine.scripted import Scripted, ScriptedBackend
from ingot.records.build import BuildFlags, Failure, StepRecord, StepState
from ingot.records.event import Level, Phase
from ingot.records.layer import Golden
from ingot.storage.objects import DirectoryObjects
from ingot.store.archive import Archive
from ingot.store.base_images import BaseImages
from ingot.store.downloads import Downloads
from ingot.store.goldens import GoldenStore
from ingot.store.layers import LayerStore
from ingot.template import load_canonical, parse_template


class KeptOutput:
    def __init__(self, log: BuildLog, source: str) -> None:
        self._log, self._source = log, source
        self._lines: list[str] = []

    async def write(self, chunk: bytes) -> None:
        for line in chunk.decode().splitlines():
            self._lines.append(line)
            self._log.lines.append((self._log.phase, self._source, line))

    def last_lines(self) -> tuple[str, ...]:
        return tuple(self._lines[-20:])


@dataclass
class BuildLog:
    """`lines` are (phase, source, line); `steps` the last record of each index."""

    phase: Phase = Phase.PUBLISH
    phases: list[Phase] = field(default_factory=list)
    lines: list[tuple[Phase, str | None, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    steps: dict[int, StepRecord] = field(default_factory=dict)

    async def enter(self, phase: Phase) -> None:
        self.phase = phase
        self.phases.append(phase)

    async def say(self, line: str, *, level: Level = Level.INFO, source: str | None = None) -> None:
        assert level is not Level.ERROR
        self.lines.append((self.phase, source, line))
        if level is Level.WARN:
            self.warnings.append(line)

    @asynccontextmanager
    async def output(self, source: str) -> AsyncIterator[KeptOutput]:
        yield KeptOutput(self, source)

    async def step(self, record: StepRecord) -> None:
        self.steps[record.index] = record

    def said(self, source: str | None = None) -> list[str]:
        return [line for _, told, line in self.lines if source is None or told == source]

    def states(self) -> list[StepState]:
        return [self.steps[index].state for index in sorted(self.steps)]


@dataclass
class Stage:
    """One host: its stores survive over several builds and `reopen`."""

    directory: Path
    backend: ScriptedBackend
    tools: BuildTools
    log: BuildLog = field(default_factory=BuildLog)
    previous: tuple[StepRecord, ...] = ()

    async def bake(
        self,
        *,
        flags: BuildFlags | None = None,
        vault: Mapping[str, str] | None = None,
        account: str = "acme",
        build_id: str = "build-1",
        limits: Limits | None = None,
        **document: Any,
    ) -> Golden:
        """Builds `document` (its sections); the log of it is `self.log`, and the next build's previous one."""
        self.log = BuildLog()
        request = BuildRequest(
            template=load_canonical(parse_template(document_bytes(document)).canonical),
            account=account,
            build_id=build_id,
            flags=flags or BuildFlags(),
            secrets=vault or {},
            fingerprints={name: hashlib.sha256(value.encode()).hexdigest() for name, value in (vault or {}).items()},
            limits=limits or Limits(cpu=16, memory_mb=65536, disk_mb=65536),
            previous=self.previous,
        )
        try:
            return await build(request, self.tools, self.log)
        finally:
            self.previous = tuple(self.log.steps.values())

    async def fails(self, **document: Any) -> Failure:
        try:
            await self.bake(**document)
        except BuildError as error:
            return error.failure
        raise AssertionError("the build was expected to fail")


def document_bytes(document: Mapping[str, Any]) -> bytes:
    head = {"api_version": "orgo.ai/v1", "template": {"name": "demo", "version": "1.0.0"}}
    return json.dumps({**head, **document}).encode()


@asynccontextmanager
async def stage(directory: Path, script: Mapping[str, Scripted] | None = None) -> AsyncIterator[Stage]:
    backend = ScriptedBackend(script)
    objects = DirectoryObjects(directory / "objects")
    staging = directory / "staging"
    layers = LayerStore(directory / "layers", staging, objects, backend)
    await layers.start()
    archive = Archive(objects, backend, staging)
    base_images = BaseImages(backend, layers, archive, objects, describe_base)
    tools = BuildTools(
        backend, layers, GoldenStore(objects), archive, base_images, Downloads(directory / "downloads"), staging
    )
    try:
        yield Stage(directory, backend, tools)
    finally:
        await archive.aclose()
        assert backend.running == [], "a build left its machine behind"
        assert list(staging.iterdir()) == [], "a build left half-made things behind"
