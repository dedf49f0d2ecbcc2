"""Talking to QEMU and to the guest agent: one class for both, since both speak QMP. Every call has a deadline.

A machine that does not answer is lost: MachineLostError says what was asked and what QEMU said last.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from qemu.qmp import EventListener, ExecuteError, QMPClient, QMPError, Runstate

from ingot.errors import MachineError, MachineLostError

_CONNECT = 20.0
_POLL = 0.01
_SYNC = 2.0
logging.getLogger("qemu.qmp").setLevel(logging.CRITICAL)  # what goes wrong is told by the errors below


class Control:
    """A connection to a socket of QEMU's; `name` is what it is for, in words."""

    def __init__(self, name: str, *, is_agent: bool = False) -> None:
        self._name = name
        self._client = QMPClient(name)
        self._shutdowns = EventListener("SHUTDOWN")
        self._client.register_listener(self._shutdowns)
        if is_agent:
            self._client.await_greeting = False
            self._client.negotiate = False

    async def connect(self, place: Path) -> None:
        """Waits until the socket listens. Raises MachineLostError."""
        try:
            async with asyncio.timeout(_CONNECT):
                while not _listens(place):  # noqa: ASYNC110 - QEMU tells nobody when it has made its sockets
                    await asyncio.sleep(_POLL)
                await self._client.connect(str(place))
        except (TimeoutError, QMPError, OSError) as error:
            raise MachineLostError(f"QEMU's {self._name} cannot be reached: {error}") from error

    async def take(self, link: socket.socket) -> None:
        """Speaks through a socket that is connected already. Raises MachineLostError."""
        try:
            async with asyncio.timeout(_CONNECT):
                await self._client.connect(link)
        except (TimeoutError, QMPError, OSError) as error:
            raise MachineLostError(f"QEMU's {self._name} cannot be reached: {error}") from error

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, *, deadline: float = 30.0) -> Any:
        """Runs a command and returns its answer. Raises MachineError for one that is refused."""
        try:
            async with asyncio.timeout(deadline):
                return await self._client.execute(name, dict(arguments or {}))
        except ExecuteError as error:
            raise MachineError(f"QEMU's {self._name} refused {name}: {error}") from error
        except TimeoutError:
            raise MachineLostError(f"QEMU's {self._name} did not answer {name} within {deadline:g} s") from None
        except (QMPError, OSError) as error:
            raise MachineLostError(f"QEMU's {self._name} is gone: {str(error) or type(error).__name__}") from error

    async def hear(self, event: str, fits: Callable[[Any], bool]) -> None:
        """Returns when QEMU tells an event whose data fits. Those from before are not heard."""
        with self._client.listener(event, lambda told: fits(told["data"])) as listener:
            await listener.get()

    @property
    def is_over(self) -> bool:
        """Whether the other side has ended the connection: it says nothing more."""
        return self._client.runstate is not Runstate.RUNNING

    @property
    def shutdown_reason(self) -> str:
        """Why QEMU said that it ends, in its own words (`guest-shutdown`, `guest-reset`); empty before."""
        told: list[Any] = [event["data"] for event in self._shutdowns.history]
        return str(told[-1]["reason"]) if told else ""

    async def wait_for_agent(self, deadline: float) -> None:
        """Until the guest agent answers. Raises MachineLostError."""
        number = 0
        try:
            async with asyncio.timeout(deadline):
                while True:
                    number += 1
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(_SYNC):
                            await self._client.execute("guest-sync", {"id": number})
                            return
        except TimeoutError:
            raise MachineLostError(f"the machine did not come up within {deadline:g} s") from None
        except (QMPError, OSError) as error:
            raise MachineLostError(
                f"the machine ended while it came up: {str(error) or type(error).__name__}"
            ) from error

    async def close(self) -> None:
        with contextlib.suppress(QMPError, OSError, TimeoutError, EOFError):
            async with asyncio.timeout(2):
                await self._client.disconnect()


def _listens(place: Path) -> bool:
    """Whether a connection is taken there. One that is tried and closed at once does QEMU no harm: it waits for the
    next."""
    with socket.socket(socket.AF_UNIX) as trial:
        try:
            trial.connect(str(place))
        except OSError:
            return False
    return True
