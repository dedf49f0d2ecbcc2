"""Starts and ends one container with runc.

Ending never asks runc: the first process is killed through a descriptor that cannot mean another process,
and its PID namespace takes everything else along. Running commands in it is `execution`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingot.errors import CommandError, HostError, MachineLostError
from ingot.machine.container.cgroups import ControlGroup
from ingot.machine.container.descriptors import hand_over, open_pipe
from ingot.machine.container.ids import Home
from ingot.process import run
from ingot.readable import wait_readable

_START_TIMEOUT = 20.0
_END_TIMEOUT = 4.0


def runc_argv(home: Home) -> list[str]:
    """The start of every runc command line of a machine."""
    return ["runc", "--root", str(home.runtime), "--log", str(home.run / "runc.log"), "--log-format", "json"]


class Container:
    """One container at a time: `start`, `end`, `start` again. One task at a time does either."""

    def __init__(self, home: Home, group: ControlGroup) -> None:
        self._home, self._group = home, group
        self._first: int | None = None
        self._first_pid = 0
        self._lifeline: int | None = None

    @property
    def started(self) -> bool:
        """Whether it was started and not ended since; `lost` tells whether it still runs."""
        return self._first is not None

    @property
    def lost(self) -> bool:
        """Whether the first process has ended without being asked to."""
        if self._first is None:
            return False
        poller = select.poll()  # takes any number of a descriptor
        poller.register(self._first, select.POLLIN)
        return bool(poller.poll(0))

    async def start(self, config: Mapping[str, Any]) -> None:
        """Raises HostError with runc's own words when the container cannot be started."""
        home, pid_file = self._home, self._home.run / "first.pid"
        home.bundle.mkdir(mode=0o700, exist_ok=True)
        (home.bundle / "config.json").write_text(json.dumps(config))
        argv = [*runc_argv(home), "run", "--detach", "--pid-file", str(pid_file), "--bundle", str(home.bundle), home.id]
        read_end, self._lifeline = open_pipe()
        try:
            handed = hand_over(argv, {0: ("<", read_end)}, log=home.run / "first.log")
            await run(handed, timeout=_START_TIMEOUT, pass_fds=(read_end,))
        except CommandError as error:
            said = last_message(home.run / "runc.log")
            raise HostError(f"the container cannot be started: {said}", hint="run `ingot doctor`") from error
        finally:
            os.close(read_end)
        try:
            self._first_pid = int(pid_file.read_text())
            self._first = os.pidfd_open(self._first_pid)
        except (OSError, ValueError) as error:
            raise MachineLostError("the machine ended as soon as it had started") from error

    def open_root(self) -> int:
        """A descriptor of the root directory as the first process has it, with what is mounted in it. Raises
        MachineLostError."""
        try:
            descriptor = os.open(f"/proc/{self._first_pid}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise MachineLostError("the machine has ended: its first process is gone") from error
        if self._first is None or self.lost:  # else the id was this process's all the time
            os.close(descriptor)
            raise MachineLostError("the machine has ended: its first process is gone")
        return descriptor

    async def end(self) -> None:
        """Kills everything inside and forgets the container; does nothing when none was started."""
        if self._lifeline is not None:
            os.close(self._lifeline)  # alone enough to end it, if runc was interrupted before telling the pid
            self._lifeline = None
        if self._first is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_TIMEOUT):
                    await wait_readable(self._first)
            os.close(self._first)
            self._first = None
        await self._group.kill()
        self._group.remove()
        shutil.rmtree(self._home.runtime, ignore_errors=True)


def last_message(log: Path) -> str:
    """The last message of a runc log, or a word that there is none."""
    with contextlib.suppress(OSError, ValueError):
        for line in reversed(log.read_text(errors="replace").splitlines()):
            if message := json.loads(line).get("msg"):
                return str(message)
    return "runc gave no reason"
