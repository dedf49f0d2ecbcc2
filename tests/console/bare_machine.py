"""A machine of firmware alone: QEMU's own VNC server, up in a second, without a guest that would have to boot."""

from __future__ import annotations

import asyncio
import contextlib
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from ingot.machine.contract import Viewer
from ingot.machine.qemu.control import Control

PASSWORD = "seen5678"
_ARGV = ("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot")
_DEVICES = ("-accel", "tcg", "-m", "64M", "-device", "VGA,vgamem_mb=16")


@dataclass
class BareMachine:
    """It ends when its keyboard says Ctrl+Alt+Del. `viewers` are the connections to its screen that were made."""

    process: Process
    place: Path
    viewers: list[Viewer] = field(default_factory=list)

    async def connect(self) -> Viewer:
        self.viewers.append(await asyncio.open_unix_connection(str(self.place)))
        return self.viewers[-1]

    def cut(self) -> None:
        """Ends the newest connection."""
        self.viewers[-1][1].close()


@contextlib.asynccontextmanager
async def bare_machine(directory: Path) -> AsyncIterator[BareMachine]:
    screen, monitor = directory / "vnc", directory / "qmp"
    sockets = ("-vnc", f"unix:{screen},password=on,share=force-shared", "-qmp", f"unix:{monitor},server=on,wait=off")
    process = await asyncio.create_subprocess_exec(*_ARGV, *_DEVICES, *sockets)
    control = Control("monitor")
    try:
        await control.connect(monitor)
        await control.call("set_password", {"protocol": "vnc", "password": PASSWORD})
        yield BareMachine(process, screen)
    finally:
        await control.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
