"""Computers that are real: a container's terminal typed in and read, its services' logs, a virtual machine's screen."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.acceptance import test_virtual_machines
from tests.acceptance.conftest import running
from tests.acceptance.documents import template
from tests.acceptance.server import KEY, Server
from tests.console.axe import axe_findings
from tests.console.build_fixtures import Show
from tests.console.conftest import watched_pages
from tests.rfb import open_viewer

_MISSING = [tool for tool in ("runc", "slirp4netns", "mkfs.ext4", "nft") if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.machine,
    pytest.mark.skipif(os.geteuid() != 0 or bool(_MISSING), reason="needs root and what machines are made of"),
]
vm_server = test_virtual_machines.vm_server
_SECONDS = 60_000
_BUILT = 400_000
_TRIES = 3  # of typing on an emulated machine, which may be too busy to take a key
_SHADES = """(canvas) => new Set(
  new Uint32Array(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.buffer)
).size"""
_PICTURE = """() => {
  const picture = document.querySelector(".screen-small img");
  if (!picture?.complete || !picture.naturalWidth) return false;
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width: picture.naturalWidth, height: picture.naturalHeight });
  canvas.getContext("2d").drawImage(picture, 0, 0);
  return (SHADES)(canvas) > 1;
}""".replace("SHADES", _SHADES)
_PAINTED = """() => {
  const canvas = document.querySelector(".screen canvas");
  return canvas?.width > 0 && (SHADES)(canvas) > 1;
}""".replace("SHADES", _SHADES)
_TELL_WHEN_SMALL = (
    "for n in $(seq 500); do set -- $(stty size); test $2 -lt 100 && break; sleep 0.1; done; "
    "test $2 -lt 100 && echo it-is-${n:+small}"
)
TEXT = """Aa Zz 0189 `-=[]\\;',./
~!@#$%^&*()_+{}|:"<>?
The last $LINE: of three
"""
_TICKER = {
    "name": "ticker",
    "services": [{"name": "tick", "run": "sh -c 'while true; do echo tick; sleep 1; done'", "user": "root"}],
}


@pytest.fixture(scope="module")
def containers(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(seed, tmp_path_factory.mktemp("containers")) as made:
        yield made


@pytest.fixture
async def computer(containers: Server) -> AsyncIterator[str]:
    """A container that runs, with a service that prints."""
    ref, _ = await asyncio.to_thread(containers.make, template(apps=[_TICKER]))
    made = await asyncio.to_thread(containers.launch, ref, name="desk")
    yield made["id"]
    await asyncio.to_thread(containers.ask, "DELETE", f"/computers/{made['id']}", 200)


@pytest.fixture
async def show(context: BrowserContext) -> AsyncIterator[Show]:
    async with watched_pages(context) as open_:

        async def show_path(server: Server, path: str) -> Page:
            return await open_(server.url, f"/console/{path}", KEY)

        yield show_path


async def typed(page: Page, line: str) -> Locator:
    """Types a line into the terminal; what the terminal shows."""
    await page.get_by_role("textbox", name="Terminal input").focus()
    await page.keyboard.type(f"{line}\n")
    return page.locator(".xterm-rows")


@pytest.mark.timeout(600)
async def test_a_terminal_is_typed_in_and_read(containers: Server, computer: str, show: Show) -> None:
    page = await show(containers, f"computers/{computer}")
    await expect(page.get_by_text("Connected as root")).to_be_visible(timeout=_SECONDS)
    await expect(await typed(page, "echo read-$((40 + 2))")).to_contain_text("read-42", timeout=_SECONDS)
    await expect(await typed(page, "stty size | tr ' ' x")).to_contain_text("x1", timeout=_SECONDS)
    assert await axe_findings(page) == []
    await page.set_viewport_size({"width": 600, "height": 700})
    rows = await typed(page, _TELL_WHEN_SMALL)
    await expect(rows.get_by_text("it-is-small", exact=True)).to_be_visible(timeout=_SECONDS)
    await page.keyboard.press("Control+F6")
    await expect(page.get_by_role("button", name="Start over")).to_be_focused()
    await typed(page, "exit 3")
    await expect(page.get_by_text("The shell ended with status 3.")).to_be_visible(timeout=_SECONDS)
    await page.get_by_role("button", name="Open a new one").click()
    await expect(page.get_by_text("Connected as root")).to_be_visible(timeout=_SECONDS)
    await expect(await typed(page, "echo again-$((1 + 1))")).to_contain_text("again-2", timeout=_SECONDS)


@pytest.mark.timeout(600)
async def test_a_service_s_log_is_followed(containers: Server, computer: str, show: Show) -> None:
    page = await show(containers, f"computers/{computer}?tab=logs")
    await expect(page.get_by_role("button", name="tick")).to_contain_text("running", timeout=_SECONDS)
    await page.get_by_role("button", name="tick").click()
    log = page.get_by_role("log", name="Log of tick")
    await expect(log).to_contain_text("tick", timeout=_SECONDS)
    assert await axe_findings(page) == []
    before = len(await log.inner_text())
    await page.wait_for_function(
        "(before) => document.querySelector('[role=log]').innerText.length > before", arg=before, timeout=_SECONDS
    )


@pytest.fixture(scope="module")
def vm_ref(vm_server: Server) -> str:
    """A template of a virtual machine; its one build is the first test's, or else that of `vm`."""
    return vm_server.publish(template("echo 'SHOWN BY THE BUILD' >/dev/tty1; sleep 20"))


@pytest.fixture(scope="module")
def vm(vm_server: Server, vm_ref: str) -> Iterator[dict[str, Any]]:
    """A virtual machine that runs, one for all tests."""
    vm_server.build(vm_ref)
    frames = vm_server.follow(vm_ref)
    assert frames[-1].data["result"] == "ready", frames[-1].data
    made = vm_server.launch(vm_ref, name="vm")
    yield made
    vm_server.ask("DELETE", f"/computers/{made['id']}", 200)


async def seen(vm_server: Server, vm: dict[str, Any], path: str) -> str:
    """What is in a file of the machine, once it is there; nothing where it does not come."""
    looking = f"while test $SECONDS -lt 60; do test -s {path} && cat {path} && break; sleep 0.1; done"
    return await asyncio.to_thread(vm_server.bash, vm["id"], looking)


@pytest.mark.timeout(900)
async def test_the_screen_of_a_virtual_machine_that_builds_is_on_the_build_s_page(
    vm_server: Server, vm_ref: str, show: Show
) -> None:
    page = await show(vm_server, f"builds/{vm_ref.replace('@', '/')}")
    await asyncio.to_thread(vm_server.build, vm_ref)
    small = page.get_by_role("button", name="What the building machine's screen shows now")
    await expect(small).to_be_visible(timeout=_SECONDS)
    await page.wait_for_function(_PICTURE, timeout=_SECONDS)
    await small.click()
    await expect(page.get_by_role("dialog").get_by_role("img")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator(".ending")).to_contain_text("Golden snapshot ready", timeout=_BUILT)
    await expect(small).to_have_count(0)


@pytest.mark.timeout(900)
async def test_a_virtual_machine_s_screen_is_shown_and_typed_on(
    vm_server: Server, vm: dict[str, Any], show: Show
) -> None:
    page = await show(vm_server, f"computers/{vm['id']}")
    await expect(page.get_by_text("Connected.")).to_be_visible(timeout=_SECONDS)
    await page.wait_for_function(_PAINTED, timeout=_SECONDS)
    await page.locator(".screen canvas").click()
    for _ in range(_TRIES):
        await page.keyboard.type("\ncp /etc/hostname typed\n", delay=100)
        if told := await seen(vm_server, vm, "/root/typed"):
            break
    assert told.strip().endswith(vm["instance_id"])
    await page.get_by_role("tab", name="Details").click()
    await expect(page.get_by_role("tabpanel")).to_contain_text(vm["vnc_password"])


@pytest.mark.timeout(900)
async def test_a_text_is_typed_on_a_screen_as_it_is(vm_server: Server, vm: dict[str, Any], show: Show) -> None:
    """The shell that the test before has begun reads it."""
    page = await show(vm_server, f"computers/{vm['id']}")
    await expect(page.get_by_text("Connected.")).to_be_visible(timeout=_SECONDS)
    for turn in range(_TRIES):
        if turn > 0:
            await page.locator(".screen canvas").click()
            await page.keyboard.press("Control+c")
            await asyncio.to_thread(vm_server.bash, vm["id"], "rm -f /root/new /root/pasted")
        await type_text(page, f"head -n 3 >new; mv new pasted\n{TEXT}ü")
        if (told := await seen(vm_server, vm, "/root/pasted")) == TEXT:
            break
    assert told == TEXT


async def type_text(page: Page, text: str) -> None:
    """By the dialog, which says that an ü cannot be typed; until it is typed."""
    button = page.get_by_role("button", name="Type a text …")
    await button.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Text").fill(text)
    await expect(dialog.get_by_text("have no key on an American keyboard")).to_contain_text("ü")
    await dialog.get_by_role("button", name="Type it").click()
    await expect(page.get_by_role("button", name="Stop typing")).to_be_visible()
    await expect(page.get_by_role("button", name="Stop typing")).to_have_count(0, timeout=_SECONDS)
    await expect(button).to_be_enabled()


@pytest.mark.timeout(900)
async def test_the_ninth_viewer_is_told_so(vm_server: Server, vm: dict[str, Any], show: Show) -> None:
    headers = {"Authorization": f"Bearer {KEY}"}
    async with contextlib.AsyncExitStack() as viewers:
        for _ in range(8):
            await viewers.enter_async_context(open_viewer(vm_server.url, vm["id"], headers))
        page = await show(vm_server, f"computers/{vm['id']}")
        await expect(page.get_by_text("The computer's screen has 8 viewers already")).to_be_visible(timeout=_SECONDS)
    await page.get_by_role("button", name="Connect again").click()
    await expect(page.get_by_text("Connected.")).to_be_visible(timeout=_SECONDS)


@pytest.mark.timeout(900)
async def test_a_screen_is_there_again_after_a_restart(vm_server: Server, vm: dict[str, Any], show: Show) -> None:
    page = await show(vm_server, f"computers/{vm['id']}")
    await expect(page.get_by_text("Connected.")).to_be_visible(timeout=_SECONDS)
    await asyncio.to_thread(vm_server.change, vm["id"], "restart")
    await expect(page.get_by_text("Connected.")).to_be_visible(timeout=_SECONDS)
    await page.wait_for_function(_PAINTED, timeout=_SECONDS)
    await asyncio.to_thread(vm_server.change, vm["id"], "stop", "stopped")
    await expect(page.get_by_text("It is off")).to_be_visible(timeout=_SECONDS)
