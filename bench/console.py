"""The console's log viewer in headless Chromium: how soon, how fast, how smooth, how large.

A running build of 50 lines; one of 1,000,000 lines of 100 bytes; a search in these; scrolling through them by jumps and
by the wheel; 5,000 lines a second live. The server, the browser and this program share the host's cores.

    .venv/bin/python -m bench.console [--rounds 3]

Needs the console built (`npm ci && npm run build` in console/) and /usr/bin/chromium. Prints one JSON object: of each
figure all rounds and the median; times in ms, those of rows from the navigation's start; memory in MiB.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, Page, async_playwright
from tests.console.builds import LiveBuild, begin_build
from tests.console.conftest import sign_in
from tests.service.api_server import Server, running_server

import ingot.console
from ingot.records.event import Phase

LINES = 1_000_000
RATE = 5_000
LIVE_SECONDS = 20
_TURN = 0.01
_DEADLINE_MS = 120_000
_FLAGS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--js-flags=--expose-gc"]

_WATCH = """
window.bench = { long: [], first: 0 };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) bench.long.push(Math.round(entry.duration));
}).observe({ type: "longtask", buffered: true });
new MutationObserver((_, observer) => {
  if (!document.querySelector(".log-line .log-text:not(.waiting)")) return;
  observer.disconnect();
  requestAnimationFrame(() => setTimeout(() => { bench.first = performance.now(); }));
}).observe(document, { childList: true, subtree: true });
"""
_UNTIL = """([selector, pattern]) => new Promise((done) => {
  const look = () => {
    const found = [...document.querySelectorAll(selector)].some((one) => new RegExp(pattern).test(one.textContent));
    if (found) done(performance.now());
    else setTimeout(look, 4);
  };
  look();
})"""
_SEARCH = """([text, found]) => new Promise((done) => {
  const field = document.querySelector(".log-search input");
  const count = document.querySelector(".log-count");
  field.value = text;
  field.dispatchEvent(new InputEvent("input", { bubbles: true }));
  const begin = performance.now();
  setTimeout(() => {
    field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
    const look = () => {
      if (count.textContent === found) done(performance.now() - begin);
      else setTimeout(look, 2);
    };
    look();
  });
})"""
_SCROLL = """async (by) => {
  const frame = document.querySelector(".log-frame");
  const gaps = [];
  frame.scrollTop = 0;
  await new Promise(requestAnimationFrame);
  await new Promise(requestAnimationFrame);
  for (let step = 1, last = performance.now(); step <= 240; step++) {
    frame.scrollTop = by > 0 ? frame.scrollTop + by : (frame.scrollHeight * step) / 240;
    await new Promise(requestAnimationFrame);
    gaps.push(performance.now() - last);
    last = performance.now();
  }
  return gaps.sort((a, b) => a - b);
}"""
_LAG = """(seconds) => new Promise((done) => {
  const lags = [];
  const until = performance.now() + seconds * 1000;
  const look = () => {
    const ticks = [...document.querySelectorAll(".log-text")].map((one) => /^tick (\\d+)/.exec(one.textContent));
    const newest = Math.max(0, ...ticks.filter(Boolean).map((tick) => Number(tick[1])));
    if (newest > 0) lags.push(performance.timeOrigin + performance.now() - newest / 1000);
    if (performance.now() < until) requestAnimationFrame(look);
    else done(lags.sort((a, b) => a - b));
  };
  look();
})"""


async def measure() -> dict[str, float]:
    """All figures once."""
    with tempfile.TemporaryDirectory(prefix="ingot-bench-") as home:
        async with running_server(Path(home), pages=ingot.console.PAGES) as server, async_playwright() as playwright:
            found: dict[str, float] = {}
            for part in (running, million, live, tasks):
                browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
                try:
                    found |= await part(server, browser)
                finally:
                    await browser.close()
            return found


async def running(server: Server, browser: Browser) -> dict[str, float]:
    build = await begun(server, [f"compiling {number}" for number in range(50)])
    async with opened(server, browser, build) as page:
        found = await first_rows(page)
    await build.end()
    return {"running build, first rows": found}


async def million(server: Server, browser: Browser) -> dict[str, float]:
    build = await begun(server, lines_of_100_bytes())
    async with opened(server, browser, build) as page:
        first = await first_rows(page)
        everything = await page.evaluate(_UNTIL, [".log-line", f"^{LINES - 1:07d} "])
        loading_long = await page.evaluate("() => bench.long.splice(0)")
        after_load = memory(browser_pid())
        rare = await page.evaluate(_SEARCH, ["0777777", "1 line"])
        common = await page.evaluate(_SEARCH, ["file_77", f"{len(range(77, LINES, 131)):,} lines"])
        each = await page.evaluate(_SEARCH, ["c", f"{LINES:,} lines"])
        nothing = await page.evaluate(_SEARCH, ["nothing like it", "not found"])
        await page.get_by_role("button", name="Regular expression", pressed=False).click()
        await page.get_by_role("button", name="Regular expression", pressed=True).wait_for()
        expression = await page.evaluate(_SEARCH, ["file_7.?7\\.c", f"{len(range(77, LINES, 131)):,} lines"])
        jumps = await page.evaluate(_SCROLL, 0)
        wheel = await page.evaluate(_SCROLL, 300)
        scroll_long = await page.evaluate("() => bench.long.splice(0)")
        after = memory(browser_pid())
    await build.end()
    return {
        "1,000,000 lines, first rows": first,
        "1,000,000 lines, all there": everything,
        "longest task while they come": max(loading_long, default=0),
        "search of a rare text": rare,
        "search of a common text": common,
        "search of a text in each line": each,
        "search of a text in no line": nothing,
        "search of an expression": expression,
        "worst frame of 240 jumps": jumps[-1],
        "median frame of 240 jumps": jumps[120],
        "worst frame of 240 turns of the wheel": wheel[-1],
        "longest task while scrolling": max(scroll_long, default=0),
        "tab after loading, private": after_load["private"],
        "tab after all, private": after["private"],
        "tab after all, proportional": after["proportional"],
    }


async def live(server: Server, browser: Browser) -> dict[str, float]:
    build = await begun(server, ["the beginning"])
    async with opened(server, browser, build) as page:
        await first_rows(page)
        writing = asyncio.create_task(write_ticks(build))
        lags = await page.evaluate(_LAG, LIVE_SECONDS)
        long = await page.evaluate("() => bench.long.splice(0)")
        written = await writing
        await page.evaluate(_UNTIL, [".log-line", "^the end"])
    await build.end()
    return {
        "live, lines a second": written / LIVE_SECONDS,
        "live lag, median": lags[len(lags) // 2],
        "live lag, p99": lags[len(lags) * 99 // 100],
        "live lag, most": lags[-1],
        "live, longest task": max(long, default=0),
    }


async def tasks(server: Server, browser: Browser) -> dict[str, float]:
    """The longest task of the page's main thread by its own time, however busy the host is. Tracing slows all else."""
    build = await begun(server, lines_of_100_bytes())
    await browser.start_tracing(categories=["toplevel"])
    async with opened(server, browser, build) as page:
        await page.evaluate(_UNTIL, [".log-line", f"^{LINES - 1:07d} "])
        await page.evaluate(_SCROLL, 0)
        await page.evaluate(_SCROLL, 300)
        pid = browser_pid()
    events = json.loads(await browser.stop_tracing())["traceEvents"]
    await build.end()
    main = next(
        one["tid"] for one in events if one["pid"] == pid and one.get("args", {}).get("name") == "CrRendererMain"
    )
    own = [one["tdur"] / 1000 for one in events if (one["pid"], one["tid"]) == (pid, main) and "tdur" in one]
    return {"longest task of the main thread, its own time": max(own)}


def lines_of_100_bytes() -> list[str]:
    tail = "-o build/obj/file.o -Iinclude -Wall"
    lines = (f"{n:07d} gcc -O2 -c src/module_{n % 977}/file_{n % 131}.c {tail}" for n in range(LINES))
    return [line.ljust(100)[:100] for line in lines]


async def write_ticks(build: LiveBuild) -> int:
    """Lines that tell when they were written (µs), at RATE; how many."""
    began, written = time.monotonic(), 0
    while (passed := time.monotonic() - began) < LIVE_SECONDS:
        due = int(passed * RATE) - written
        await build.raw([f"tick {time.time_ns() // 1000} of a step that prints a lot".ljust(100) for _ in range(due)])
        written += due
        await asyncio.sleep(_TURN)
    await build.raw(["the end"])
    return written


async def begun(server: Server, lines: Sequence[str]) -> LiveBuild:
    build = await begin_build(server)
    await build.enter(Phase.INSTALL)
    await build.step(1, 1, "run make")
    await build.raw(lines)
    return build


@contextlib.asynccontextmanager
async def opened(server: Server, browser: Browser, build: LiveBuild) -> AsyncIterator[Page]:
    """The build's page, signed in, from the moment at which it is asked for."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    try:
        await sign_in(context, server.url, server.api_key)
        page = await context.new_page()
        page.set_default_timeout(_DEADLINE_MS)
        await page.add_init_script(_WATCH)
        await page.goto(f"{server.url}{build.path}", wait_until="commit")
        yield page
    finally:
        await context.close()


async def first_rows(page: Page) -> float:
    await page.wait_for_selector(".log-line .log-text:not(.waiting)")
    while not (first := await page.evaluate("() => bench.first")):
        await asyncio.sleep(0.01)
    return float(first)


def memory(pid: int) -> dict[str, float]:
    """Of a process, in MiB: its own, and with its share of what is common (the browser's program)."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()

    def of(name: str) -> float:
        return int(rollup.split(f"{name}:")[1].split()[0]) / 1024

    return {"private": of("Private_Clean") + of("Private_Dirty"), "proportional": of("Pss")}


def browser_pid() -> int:
    """The largest renderer below this process: the tab."""
    pids = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            is_renderer = b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes()
            if is_renderer and is_below(pid, os.getpid()):
                found.append((memory(pid)["private"], pid))
    return max(found)[1]


def is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return False


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = [await measure() for _ in range(parser.parse_args().rounds)]
    middle: dict[str, Any] = {name: [round(float(one[name]), 1) for one in rounds] for name in rounds[0]}
    print(
        json.dumps(
            {name: {"median": statistics.median(all_), "rounds": all_} for name, all_ in middle.items()}, indent=1
        )
    )


if __name__ == "__main__":
    asyncio.run(main())
