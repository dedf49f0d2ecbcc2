"""A whole server on scripted machines, a process of its own, and pages of it."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.async_api import BrowserContext, Page

from tests.acceptance.server import KEY, Server
from tests.console.conftest import watched_pages

Show = Callable[..., Awaitable[Page]]
_numbers = itertools.count(1)


@dataclass
class Host(Server):
    """A server of `scripted_server`. It asks, and is asked, over HTTP alone."""

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.console.scripted_server"]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"INGOT_LISTEN": f"127.0.0.1:{self.port}"}

    def gate(self, name: str) -> Path:
        """A file that `wait` waits for; `touch` opens it."""
        return self.home / name

    def template(self, *run: str, name: str = "", **more: Any) -> str:
        """Publishes one whose steps are these scripts."""
        build = {"run": list(run), **more.pop("build", {})}
        named = {"name": name or f"made-{next(_numbers)}", "version": "1.0.0"}
        hardware = {"cpu": 1, "ram_gb": 1, "disk_gb": 1}
        return self.publish(
            {"api_version": "orgo.ai/v1", "template": named, "hardware": hardware, "build": build} | more, force="true"
        )


def path_of(ref: str) -> str:
    return f"/console/builds/{ref.replace('@', '/')}"


@contextlib.contextmanager
def running_host(home: Path, **settings: str) -> Iterator[Host]:
    made = Host(home, settings, patience=90)
    try:
        yield made.start()
    finally:
        made.close()


@contextlib.asynccontextmanager
async def shown(context: BrowserContext) -> AsyncIterator[Show]:
    """Opens pages of hosts."""
    async with watched_pages(context) as open_:

        async def show(host: Host, path: str) -> Page:
            return await open_(host.url, path, KEY)

        yield show
