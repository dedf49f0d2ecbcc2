"""Shared by all tests: everything asynchronous runs on asyncio, as the server does; one seed for data directories."""

import asyncio
import signal
from pathlib import Path

import pytest

from tests.seeded import base_data


def pytest_configure() -> None:
    """A shell starts what runs beside it deaf to Ctrl-C, and all that these tests start would be so as well."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def seed() -> Path:
    """A data directory with the base image. Only to be copied: see `tests.seeded.copy_data`."""
    return asyncio.run(base_data())
