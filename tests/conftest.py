"""Shared by all tests: everything asynchronous runs on asyncio, as the server does; one seed for data directories."""

import asyncio
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.seeded import base_data


def pytest_configure() -> None:
    """A shell starts what runs beside it deaf to Ctrl-C, and all that these tests start would be so as well. Examples
    of a property may take as long as they do."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def seed() -> Path:
    """A data directory with the base image. Only to be copied: see `tests.seeded.copy_data`."""
    return asyncio.run(base_data())
