"""Machines for tests: one cached base image, a run directory of this test run's own, small disks."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from ingot.machine.container import ContainerBackend
from ingot.machine.contract import Machine
from ingot.records.machine import Command, CommandResult, MachineSpec
from tests.machine.cached_base import SETTINGS, cached_base

SMALL = MachineSpec(cpu=2, memory_mb=512, disk_mb=1024, processes=200)


class Output:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []

    async def __call__(self, chunk: bytes) -> None:
        self.chunks.append(chunk)

    @property
    def text(self) -> str:
        return b"".join(self.chunks).decode()


async def sh(machine: Machine, script: str, *, timeout: float = 60, user: str = "root") -> tuple[CommandResult, str]:
    """Runs a shell script inside; (result, all output)."""
    output = Output()
    result = await machine.exec(Command(("sh", "-c", script), timeout, user=user), output)
    return result, output.text


@pytest.fixture(scope="session")
async def base_layer() -> Path:
    return await cached_base()


@pytest.fixture(scope="session")
def run_dir() -> Iterator[Path]:
    """Below /run as in earnest, but no other server's."""
    directory = Path(f"/run/ingot-tests-{os.getpid()}")
    directory.mkdir(mode=0o711)
    yield directory
    assert list(directory.iterdir()) == [], "a test left a machine behind"
    shutil.rmtree(directory)


@pytest.fixture
def backend(run_dir: Path, tmp_path: Path) -> ContainerBackend:
    return ContainerBackend(tmp_path / "machines", SETTINGS, run_dir)


Opener = Callable[..., AbstractAsyncContextManager[Machine]]


@pytest.fixture
def open_machine(backend: ContainerBackend, base_layer: Path) -> Opener:
    """Opens a small machine on the base image and the layers given."""

    @contextlib.asynccontextmanager
    async def opened(*layers: Path, spec: MachineSpec = SMALL) -> AsyncIterator[Machine]:
        async with backend.open(spec, [base_layer, *layers], label="test") as machine:
            yield machine

    return opened
