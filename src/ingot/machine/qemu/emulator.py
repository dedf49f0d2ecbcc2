"""One QEMU process: started, talked to, ended. Knows nothing of layers and of what runs inside."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ingot.errors import MachineError, MachineLostError
from ingot.machine.contract import POWERED_OFF, REBOOTED, Viewer
from ingot.machine.qemu.control import Control
from ingot.machine.qemu.hardware import Places
from ingot.process import started

_POLL = 0.005
_VIEW_POLL = 0.05
_UNPLUGGED = 10.0
_MIGRATION = 120.0
_BANDWIDTH = 1 << 40
_TOLD_LINES = 12
_LAST_WORDS = 0.2
_BLAME = 2.0
_KEPT = 8192


class Emulator:
    """A running QEMU. `monitor` and `agent` are its two controls."""

    def __init__(self, process: asyncio.subprocess.Process, places: Places) -> None:
        self.monitor = Control("monitor")
        self.agent = Control("guest agent", is_agent=True)
        self.places = places
        self._process = process
        self._said = bytearray()
        self._reading = asyncio.create_task(self._read())

    async def connect(self) -> None:
        try:
            await self.monitor.connect(self.places.monitor)
            await self.agent.connect(self.places.agent)
            await self._set_migration()
        except MachineLostError as error:
            raise MachineLostError(f"{error}; it said last:{self.last_words()}") from error

    async def restore(self, devices: Path) -> None:
        """Takes over a captured state. The machine does not go on before `go_on`."""
        await self.monitor.call("migrate-incoming", {"uri": f"exec:cat {_quoted(devices)}"})
        deadline = time.monotonic() + _MIGRATION
        while (await self.monitor.call("query-status"))["status"] == "inmigrate":
            if time.monotonic() > deadline:
                raise MachineLostError(f"the captured state was not taken over within {_MIGRATION:g} s")
            await asyncio.sleep(_POLL)
        found = (await self.monitor.call("query-migrate")).get("status", "completed")
        if found != "completed":
            raise MachineLostError(f"the captured state cannot be taken over: {found}")

    async def capture(self, devices: Path) -> None:
        """Writes the devices' state of the stopped machine; its memory is in its file."""
        await self.monitor.call("migrate", {"uri": f"exec:cat > {_quoted(devices)}"})
        deadline = time.monotonic() + _MIGRATION
        while (status := (await self.monitor.call("query-migrate")).get("status")) != "completed":
            if status in ("failed", "cancelled") or time.monotonic() > deadline:
                raise MachineLostError(f"the machine's state cannot be captured: {status}{self.last_words()}")
            await asyncio.sleep(_POLL)

    def check(self) -> None:
        """Raises MachineLostError when QEMU has ended, and what it said of that was read."""
        status = self._process.returncode
        if status is None or (status == 0 and not self.monitor.is_over):
            return
        if status != 0:
            raise MachineLostError(f"the machine has ended: QEMU is gone (status {status}){self.last_words()}")
        reason = self.monitor.shutdown_reason
        if reason == "guest-reset":
            raise MachineLostError("the machine was rebooted from inside", code=REBOOTED)
        if reason == "guest-shutdown":
            raise MachineLostError("the machine was switched off from inside", code=POWERED_OFF)
        raise MachineLostError(f"the machine has ended: QEMU was told to end ({reason or 'it did not say by what'})")

    async def blame(self, error: MachineLostError) -> None:
        """Raises MachineLostError where the machine was switched off or rebooted: that is known a moment after what it
        broke off, which met `error`."""
        if error.code != MachineLostError.code:
            return
        deadline = time.monotonic() + _BLAME
        while self._process.returncode in (None, 0) and time.monotonic() < deadline:
            self.check()
            await asyncio.sleep(_POLL)

    async def failed_writes(self) -> int:
        """How often this host did not take what the machine wrote to its disk, since it began."""
        found = await self.monitor.call("query-blockstats")
        return sum(
            device["stats"]["failed_wr_operations"] + device["stats"]["failed_flush_operations"] for device in found
        )

    async def stop(self) -> None:
        await self.monitor.call("stop")

    async def go_on(self) -> None:
        await self.monitor.call("cont")

    async def screenshot(self, into: Path) -> None:
        """Writes what the screen shows to a file, as a PNG."""
        await self.monitor.call("screendump", {"filename": str(into), "format": "png"})

    async def set_screen_password(self, password: str) -> None:
        await self.monitor.call("set_password", {"protocol": "vnc", "password": password})

    @contextlib.asynccontextmanager
    async def plugged_port(self, name: str) -> AsyncIterator[Path]:
        """A virtio port of that name within the context; the path of its socket. States that were captured before fit
        again behind it."""
        place = self.places.sockets / name
        address = {"type": "unix", "data": {"path": str(place)}}
        backend = {"type": "socket", "data": {"addr": address, "server": True, "wait": False}}
        await self.monitor.call("chardev-add", {"id": name, "backend": backend})
        try:
            device = {"driver": "virtserialport", "id": f"{name}-port", "chardev": name, "name": f"ingot.{name}"}
            await self.monitor.call("device_add", device)
            try:
                yield place
            finally:
                with contextlib.suppress(MachineLostError):
                    await self.monitor.call("device_del", {"id": f"{name}-port"})
        finally:
            await self._remove_socket(name)
            place.unlink(missing_ok=True)

    async def port_let_go(self, name: str) -> None:
        """Returns when what had a plugged port open in the machine has it no more."""
        await self.monitor.hear("VSERPORT_CHANGE", lambda told: told["id"] == f"{name}-port" and not told["open"])

    async def _remove_socket(self, name: str) -> None:
        """QEMU lets go of an unplugged device a moment later, and tells nobody when."""
        deadline = time.monotonic() + _UNPLUGGED
        with contextlib.suppress(MachineLostError):
            while True:
                try:
                    await self.monitor.call("chardev-remove", {"id": name})
                    return
                except MachineLostError:
                    raise
                except MachineError:
                    if time.monotonic() > deadline:
                        raise
                await asyncio.sleep(_POLL)

    async def hear_out(self) -> None:
        """Waits a moment for what a QEMU that has ended said before."""
        await asyncio.wait([self._reading], timeout=_LAST_WORDS)

    def last_words(self) -> str:
        """What QEMU and the machine's console said last, for an error."""
        lines = self._said.decode(errors="replace").splitlines()
        told = [line.strip() for line in lines if line.strip()][-_TOLD_LINES:]
        return "".join(f"\n  {line}" for line in told)

    async def close(self) -> None:
        await self.monitor.close()
        await self.agent.close()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _set_migration(self) -> None:
        capabilities = [{"capability": "x-ignore-shared", "state": True}]
        await self.monitor.call("migrate-set-capabilities", {"capabilities": capabilities})
        await self.monitor.call("migrate-set-parameters", {"max-bandwidth": _BANDWIDTH})

    async def _read(self) -> None:
        """The machine's console is QEMU's standard output: a guest may write to it without end."""
        assert self._process.stdout is not None
        while chunk := await self._process.stdout.read(4096):
            self._said += chunk
            del self._said[:-_KEPT]


@contextlib.asynccontextmanager
async def running(argv: Sequence[str], places: Places) -> AsyncIterator[Emulator]:
    """QEMU within the context. It ends with this server, however that ends. Raises MachineLostError, HostError."""
    async with started(argv, dies_with_us=True) as process:
        emulator = Emulator(process, places)
        try:
            await emulator.connect()
            yield emulator
        finally:
            await emulator.close()


async def connect_screen(place: Path, deadline: float = 20.0) -> Viewer:
    """A connection to a screen's socket. QEMU lets few wait there: one that finds it full is no sign of a lost machine,
    and tries again. Raises MachineLostError, and MachineError `screen_busy` at the deadline."""
    end = time.monotonic() + deadline
    link = socket.socket(socket.AF_UNIX)
    try:
        link.setblocking(False)
        while True:
            try:
                link.connect(str(place))
                return await asyncio.open_unix_connection(sock=link)
            except BlockingIOError:
                if time.monotonic() > end:
                    told = f"the machine's screen took no viewer within {deadline:g} s"
                    raise MachineError(told, hint="try again", code="screen_busy") from None
            await asyncio.sleep(_VIEW_POLL)
    except OSError as error:
        link.close()
        raise MachineLostError(f"the machine's screen cannot be reached: {error.strerror}") from error
    except BaseException:
        link.close()
        raise


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"
