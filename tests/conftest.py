"""Shared by all tests: everything asynchronous runs on asyncio, as the server does; one seed for data directories."""

import asyncio
from pathlib import Path

import pytest

from tests.seeded import base_data


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def seed() -> Path:
    """A data directory with the base image. Only to be copied: see `tests.seeded.copy_data`."""
    return asyncio.run(base_data())
