"""Pictures of the console, of a real server with example content. To be run by scripts/console-pictures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, Page, async_playwright, expect

from tests.acceptance.conftest import running
from tests.acceptance.server import KEY, Server
from tests.console.conftest import sign_in
from tests.console.pages_fixtures import EXAMPLES, editor_of
from tests.seeded import base_data, copy_data, vm_data

Scheme = Literal["light", "dark"]
Prepare = Callable[[Page], Awaitable[Any]]

_DOCS = Path(__file__).parents[2] / "docs/pictures"
_WIDE, _NARROW = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
_PATIENCE_MS = 60_000
_BROKEN = """\
api_version: orgo.ai/v1
template: {name: broken, version: 1.0.0, description: Fails on purpose}
hardware: {cpu: 1, ram_gb: 1, disk_gb: 1}
build:
  run:
    - echo this one is fine
    - |
      echo compiling
      make --directory /opt/none all
"""
_ON_SCREEN = """\
api_version: orgo.ai/v1
template: {name: desk, version: 1.0.0}
hardware: {cpu: 1, ram_gb: 1, disk_gb: 1}
build:
  run:
    - cat /etc/os-release >/dev/tty1
"""
_SLOW = """\
api_version: orgo.ai/v1
template: {name: data-tools, version: 1.0.0, description: Takes its time}
hardware: {cpu: 1, ram_gb: 1, disk_gb: 1}
build:
  run:
    - for n in $(seq 12); do echo "unpacking archive $n of 12"; done
    - for n in $(seq 900); do echo "cc -O2 -c part-$n.c -o part-$n.o"; sleep 1; done
"""
_MISTAKES = """\
api_version: orgo.ai/v1
template:
  name: notes
  version: 1.0.0
hardware:
  cpu: 3
build:
  apts: [sqlite3]
  run:
    - sqlite3 --version
apps:
  - name: web
    services:
      - name: web
        run: python3 -m http.server 8000
    health:
      type: http
      url: ${var.address}
"""


@dataclass(frozen=True)
class Picture:
    """`path` below /console/; `{computer}` is the id of one that runs. `schemes` and `narrow` say which the
    documentation shows. One that `streams` has a connection that stays open."""

    name: str
    path: str
    prepare: Prepare
    schemes: tuple[Scheme, ...] = ("light",)
    narrow: bool = False
    streams: bool = False


def shows(text: str) -> Prepare:
    async def prepare(page: Page) -> None:
        await expect(page.get_by_text(text).first).to_be_visible(timeout=_PATIENCE_MS)

    return prepare


async def write_mistakes(page: Page) -> None:
    await editor_of(page).click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(_MISTAKES)
    await expect(page.get_by_text("3 problems")).to_be_visible(timeout=_PATIENCE_MS)
    await expect(page.locator(".cm-lintRange-error").first).to_be_visible()


async def complete(page: Page) -> None:
    await editor_of(page).click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text((EXAMPLES / "static-site.yaml").read_text() + "    autostart:\n    ")
    await page.keyboard.press("Control+Home")
    await expect(page.get_by_text("nginx-light").first).to_be_visible()
    await page.locator(".cm-line", has_text="disk_gb").click()
    await page.keyboard.press("End")
    await page.keyboard.type("\ng")
    await expect(page.locator(".cm-tooltip-autocomplete")).to_be_visible()
    await expect(page.locator(".cm-completionInfo")).to_be_visible()


async def use_terminal(page: Page) -> None:
    await expect(page.get_by_text("Connected as root")).to_be_visible(timeout=_PATIENCE_MS)
    await page.get_by_role("textbox", name="Terminal input").focus()
    await expect(page.locator(".xterm-rows")).to_contain_text("root@", timeout=_PATIENCE_MS)
    await page.keyboard.type("cat /etc/os-release | head -4\n")
    await expect(page.locator(".xterm-rows")).to_contain_text("bookworm)", timeout=_PATIENCE_MS)
    await page.keyboard.type("ps -o pid,user,args -u orgo; tail -3 /var/lib/worker/heartbeat.log\n")
    await expect(page.locator(".xterm-rows")).to_contain_text("heartbeat.sh", timeout=_PATIENCE_MS)


async def look_for_garbage(page: Page) -> None:
    await expect(page.get_by_role("table", name="Settings")).to_be_visible(timeout=_PATIENCE_MS)
    await page.get_by_role("button", name="Look what could go").click()
    await expect(page.get_by_text("Look what could go")).to_be_enabled(timeout=_PATIENCE_MS)
    await page.evaluate("document.querySelector('main').scrollTo(0, 0)")


PICTURES = (
    Picture("builds", "", shows("Under way"), ("light", "dark"), narrow=True),
    Picture("build-running", "builds/default/data-tools/1.0.0", shows("part-3.o"), ("light", "dark"), streams=True),
    Picture("build-failed", "builds/default/broken/1.0.0", shows("A step failed"), ("light",), narrow=True),
    Picture("build-ready", "builds/default/hello/1.0.0", shows("Golden snapshot ready"), ("dark",)),
    Picture("templates", "templates", shows("default/hello"), ("light", "dark"), narrow=True),
    Picture("template", "templates/default/heartbeat-worker", shows("heartbeat.sh")),
    Picture("editor-problems", "templates/new", write_mistakes, ("light", "dark")),
    Picture("editor-completion", "templates/new", complete),
    Picture("computers", "computers", shows("running"), ("light",), narrow=True),
    Picture("computer-terminal", "computers/{computer}?tab=terminal", use_terminal, ("light", "dark")),
    Picture("computer-logs", "computers/{computer}?tab=logs", shows("heartbeat 3")),
    Picture("computer-details", "computers/{computer}?tab=details", shows("Host name"), ()),
    Picture("secrets", "secrets", shows("anthropic_api_key")),
    Picture("keys", "keys", shows("this session's")),
    Picture("host", "host", look_for_garbage, ("light", "dark")),
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/console-pictures", description=__doc__)
    parser.add_argument("--all", metavar="DIR", type=Path, help="every page in every way, into DIR")
    parser.add_argument("--screen", action="store_true", help="also the screen of a virtual machine")
    parser.add_argument("names", nargs="*", help="these pictures only")
    wanted = parser.parse_args()
    asyncio.run(take(wanted.all, wanted.screen, wanted.names))


async def take(everything: Path | None, screen: bool, names: list[str]) -> None:
    place = everything or _DOCS
    place.mkdir(parents=True, exist_ok=True)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        seed = await base_data()
        wanted = [picture for picture in PICTURES if not names or picture.name in names]
        if wanted:
            with tempfile.TemporaryDirectory() as home, running(seed, Path(home)) as server:
                computer = await asyncio.to_thread(fill, server)
                for picture in wanted:
                    await take_one(browser, server, picture, computer, place, everything is not None)
                await asyncio.to_thread(empty, server)
        if screen or "computer-screen" in names:
            await take_screen(browser, place)
        await browser.close()


async def take_one(browser: Browser, server: Server, picture: Picture, computer: str, place: Path, all_: bool) -> None:
    schemes: tuple[Scheme, ...] = ("light", "dark") if all_ else picture.schemes
    for scheme in schemes:
        for size, suffix in ((_WIDE, ""), (_NARROW, "-narrow")):
            if size is _NARROW and not all_ and not (picture.narrow and scheme == "light"):
                continue
            async with opened(browser, server, size, scheme) as page:
                await page.goto(f"{server.url}/console/{picture.path.format(computer=computer)}")
                await picture.prepare(page)
                await page.wait_for_load_state("domcontentloaded" if picture.streams else "networkidle")
                name = f"{picture.name}{'-dark' if scheme == 'dark' else ''}{suffix}.png"
                await page.screenshot(path=place / name)
                print(place / name)  # noqa: T201 # a script


@contextlib.asynccontextmanager
async def opened(browser: Browser, server: Server, size: Any, scheme: Scheme) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    try:
        await sign_in(context, server.url, KEY)
        yield await context.new_page()
    finally:
        await context.close()


def fill(server: Server) -> str:
    """Examples, some of them built, one that fails, a computer; its id."""
    for file in sorted(EXAMPLES.glob("*.yaml")):
        server.publish(file.read_text())
    server.publish(
        (EXAMPLES / "hello.yaml").read_text().replace("version: 1.0.0", "version: 1.1.0").replace("Hello", "Hi")
    )
    for ref in (server.publish(_BROKEN), "default/hello@1.0.0", "default/heartbeat-worker@1.0.0"):
        server.build(ref)
        server.follow(ref)
    server.build(server.publish(_SLOW))
    for secret in ("anthropic_api_key", "deploy_token"):
        server.ask("PUT", f"/secrets/{secret}", 200, json={"value": f"not a real {secret}"})
    server.ask("POST", "/keys", 201, json={"name": "continuous integration", "scopes": ["read", "publish", "build"]})
    server.launch("default/hello@1.0.0", name="greeter")
    stopped = server.launch("default/hello@1.0.0", name="archive")["id"]
    server.change(stopped, "stop", "stopped")
    return str(server.launch("default/heartbeat-worker@1.0.0", name="heartbeat")["id"])


def empty(server: Server) -> None:
    if server.ask("GET", "/builds", 200)["builds"]:
        server.cancel("default/data-tools@1.0.0")
    for shown in server.ask("GET", "/computers", 200)["computers"]:
        server.ask("DELETE", f"/computers/{shown['id']}", 200)


async def take_screen(browser: Browser, place: Path) -> None:
    with virtual_machines(await vm_data()) as server:
        server.make(_ON_SCREEN)
        computer = server.launch("default/desk@1.0.0", name="desk")["id"]
        async with opened(browser, server, _WIDE, "light") as page:
            await page.goto(f"{server.url}/console/computers/{computer}")
            await expect(page.get_by_text("Connected.")).to_be_visible(timeout=_PATIENCE_MS)
            await page.wait_for_load_state("networkidle")
            await page.screenshot(path=place / "computer-screen.png")
        empty(server)


@contextlib.contextmanager
def virtual_machines(seed: Path) -> Iterator[Server]:
    home = Path(tempfile.mkdtemp())
    server = Server(home, {"machine": "qemu"}, patience=300)
    copy_data(seed, server.data)
    try:
        yield server.start()
    finally:
        server.close()
        shutil.rmtree(home)


if __name__ == "__main__":
    main()
