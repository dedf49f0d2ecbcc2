"""From a command's flags to an open client, and from a coroutine to its result. Chooses the server in one place."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from ingot.credentials import Server, choose_server, local_url, read_credentials
from ingot.settings import client_environment, load_settings

if TYPE_CHECKING:
    from ingot.client import Client

T = TypeVar("T")


def find_server(url: str | None) -> Server:
    """The server that a command talks to: `--url`, `INGOT_URL`, the credentials file, this host's default."""
    settings, _ = load_settings()
    return choose_server(
        read_credentials(settings.credentials_file),
        flag=url,
        environment=client_environment(),
        fallback=local_url(settings.listen),
    )


def ask(url: str | None, question: Callable[[Client], Awaitable[T]]) -> T:
    """Runs `question` with an open client and returns what it returns."""
    import asyncio

    from ingot.client import Client

    server = find_server(url)

    async def talk() -> T:
        async with Client(server.url, server.key) as client:
            return await question(client)

    return asyncio.run(talk())
