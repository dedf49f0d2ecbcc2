"""Waiting for a descriptor, without a thread."""

from __future__ import annotations

import asyncio


async def wait_readable(descriptor: int) -> None:
    """Returns when the descriptor can be read, or its other side is closed."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, lambda: None if ready.done() else ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)
