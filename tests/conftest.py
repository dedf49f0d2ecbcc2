"""Shared by all tests: everything asynchronous runs on asyncio, as the server does; one seed for data directories."""

import asyncio
import functools
import inspect
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.seeded import base_data


def pytest_configure() -> None:
    """A shell starts what runs beside it deaf to Ctrl-C, and all that these tests start would be so as well. Examples
    of a property may take as long as they do."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("patient")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """An asynchronous test that hangs is ended inside of its loop, a little before pytest would end it from outside:
    so what it has open is closed, and the loop, which all tests share, goes on to the next."""
    for item in items:
        if (
            isinstance(item, pytest.Function)
            and inspect.iscoroutinefunction(item.obj)
            and not hasattr(item.obj, "hypothesis")
        ):
            marker = item.get_closest_marker("timeout")
            limit = float(marker.args[0] if marker else config.getini("timeout"))
            item.obj = _in_time(item.obj, limit * 0.8)


def _in_time(test: Callable[..., Awaitable[None]], limit: float) -> Callable[..., Awaitable[None]]:
    @functools.wraps(test)
    async def run(*given: Any, **named: Any) -> None:
        async with asyncio.timeout(limit):
            await test(*given, **named)

    return run


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def seed() -> Path:
    """A data directory with the base image. Only to be copied: see `tests.seeded.copy_data`."""
    return asyncio.run(base_data())
