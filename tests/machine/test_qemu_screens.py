"""The screens of virtual machines: pictures, and viewers who need the password."""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path

import pytest
from matplotlib.image import imread

from ingot.machine.contract import Keep, Machine
from tests.machine.cached_base import VM_SETTINGS
from tests.machine.conftest import sh
from tests.machine.test_qemu_machines import SMALL, QemuBackend, vm_base, vms
from tests.rfb import VNC_AUTHENTICATION, RefusedError, Viewer, open_viewer
from tests.service.api_server import running_server

__all__ = ["vm_base", "vms"]
pytestmark = pytest.mark.timeout(600)

WRITE = "for n in 1 2 3 4 5 6; do echo 'INGOT SHOWS ITS SCREEN' >/dev/tty1; done"


def lit(picture: bytes) -> tuple[int, int, float]:
    """Width, height and the share of pixels that are not black."""
    pixels = imread(io.BytesIO(picture))
    height, width = pixels.shape[:2]
    return width, height, float((pixels[:, :, :3].max(axis=2) > 0.2).mean())


async def settled(machine: Machine) -> bytes:
    """A picture of the screen after everything was drawn: QEMU draws when it is asked, a moment late."""
    await machine.screenshot()
    await asyncio.sleep(0.5)
    return await machine.screenshot()


async def drawn(machine: Machine, more_than: float) -> bytes:
    """A picture with a larger share of it lit than this, once there is one."""
    async with asyncio.timeout(60):
        while lit(picture := await machine.screenshot())[2] <= more_than:
            await asyncio.sleep(0.2)
    return picture


async def test_the_screen_shows_what_is_written_to_it_also_after_resuming(
    vms: QemuBackend, vm_base: Path, tmp_path: Path
) -> None:
    layer = tmp_path / "golden"
    layer.mkdir()
    async with vms.open(SMALL, [vm_base]) as machine:
        before = await settled(machine)
        await sh(machine, WRITE)
        picture = await drawn(machine, lit(before)[2])
        width, height, share = lit(picture)
        assert width >= 640
        assert height >= 400
        assert share > lit(before)[2]
        assert not list(machine._home.files.glob("*.png"))  # type: ignore[attr-defined]
        await machine.checkpoint(layer, Keep.STATE)
    async with vms.open(SMALL, [vm_base, layer], hostname="one") as resumed:
        assert resumed.resumed
        again = await drawn(resumed, lit(before)[2])
        assert lit(again)[:2] == (width, height)
        assert lit(again)[2] > lit(before)[2]
        if keep := os.environ.get("INGOT_KEEP_PICTURES"):
            Path(keep, "built.png").write_bytes(picture)
            Path(keep, "resumed.png").write_bytes(again)
        await _check_viewers(resumed, tmp_path)
        reader, writer = await resumed.view_screen()
        assert await asyncio.wait_for(reader.readexactly(12), 60) == b"RFB 003.008\n"
    assert await asyncio.wait_for(reader.read(), 60) == b"", "a viewer outlived the machine"
    writer.close()


@pytest.mark.timeout(600)
async def test_a_base_that_only_boots_is_shown_already(vm_base: Path, tmp_path: Path) -> None:
    backend = QemuBackend(tmp_path / "fresh", VM_SETTINGS, Path(f"/run/ingot-vm-tests-{os.getpid()}"))
    shown: list[Machine] = []
    pictures: list[bytes] = []

    async def look() -> None:
        while not shown:
            await asyncio.sleep(0.05)
        pictures.append(await shown[0].screenshot())

    looking = asyncio.create_task(look())
    async with asyncio.timeout(500), backend.open(SMALL, [vm_base], show=shown.append) as machine:
        await looking
        assert pictures[0].startswith(b"\x89PNG\r\n\x1a\n")
        assert len(shown) == 2, "the base that booted, and the machine itself"
        assert shown[0].id != machine.id == shown[1].id


async def _check_viewers(machine: Machine, directory: Path) -> None:
    """In the same machine: starting one takes long."""
    async with asyncio.timeout(240), running_server(directory) as server:
        ref = await server.ready_template()
        computer = (await server.http.post("/api/computers", json={"template_ref": ref})).json()["id"]
        server.computers.screens[computer] = machine.view_screen
        headers = {"Authorization": server.http.headers["Authorization"]}
        for password in ("", "s3cr3t-1"):  # the first: none is set yet
            if password:
                await machine.set_screen_password(password)
            for tried in ("", "wrong"):
                async with open_viewer(server.url, computer, headers) as websocket:
                    viewer = Viewer(websocket)
                    assert await viewer.security_types() == [VNC_AUTHENTICATION]
                    with pytest.raises(RefusedError):
                        await viewer.enter(tried)
        async with (
            open_viewer(server.url, computer, headers) as first,
            open_viewer(server.url, computer, headers) as second,
        ):
            for websocket in (first, second):
                viewer = Viewer(websocket)
                assert websocket.subprotocol == "binary"
                assert await viewer.security_types() == [VNC_AUTHENTICATION]
                width, height = await viewer.enter("s3cr3t-1")
                assert (width, height) == lit(await machine.screenshot())[:2]
                assert len(set((await viewer.picture(width, height))[::4])) > 1
            await _check_shell(machine, viewer)


async def _check_shell(machine: Machine, viewer: Viewer) -> None:
    """What a person does who sees the screen."""
    look = "for n in $(seq 60); do grep . /root/typed 2>/dev/null && break; sleep 0.1; done"
    for _ in range(5):  # a keyboard's buffer is small: a machine that is slow to read it loses keys
        await viewer.type("\ncp /etc/hostname typed\n")
        _, shown = await sh(machine, look, timeout=120)
        if shown.strip():
            break
    assert shown.strip() == "one"
