"""One measurement a function. All figures are of all watchers together; all connections are on loopback."""

from __future__ import annotations

import contextlib
import socket
import statistics
import time
from collections.abc import Iterator

from bench.stream.commands import LINE, PACE
from bench.stream.served import Server, kernel_memory
from bench.stream.watchers import Watchers, watching

_LONGEST = 150
"""Seconds after which a measurement is given up."""
Figures = dict[str, float]


@contextlib.contextmanager
def _live(server: Server, command: str, watchers: int) -> Iterator[Watchers]:
    """Watchers of a build that does not write before it is told to."""
    build = server.ask(command)["build"]
    with watching(server.port, server.request(build), watchers) as clients:
        server.answer()
        clients.settle(0.3)
        yield clients


def fan_out(server: Server, watchers: int, lines: int) -> Figures:
    """Frames delivered a second from the first write to the last receipt; seconds of CPU for a million of them."""
    with _live(server, f"live {watchers} {lines}", watchers) as clients:
        cpu = server.cpu()
        server.send("go")
        finished = clients.drain(time.monotonic() + _LONGEST)
        began = server.answer()["began"]
        cpu = server.cpu() - cpu
        assert min(clients.received.values()) > lines * len(LINE), "a watcher missed frames"
    frames = watchers * lines
    return {"lines": lines, "frames_s": frames / (finished - began), "cpu_per_million": cpu / frames * 1e6}


def latency(server: Server, watchers: int, seconds: int) -> Figures:
    """Seconds from the time a line is due, at 100 lines a second, until a client has it."""
    with _live(server, f"paced {watchers} {seconds}", watchers) as clients:
        cpu = server.cpu()
        server.send("go")
        seen = clients.latencies(time.monotonic() + seconds + _LONGEST)
        finished, began = time.monotonic(), server.answer()["began"]
        cpu = server.cpu() - cpu
    assert len(seen) == watchers * seconds * PACE, "a watcher missed lines"
    percentiles = {"p50": seen[len(seen) // 2], "p99": seen[len(seen) * 99 // 100], "max": seen[-1]}
    return {**percentiles, "took": finished - began, "cpu_per_million": cpu / len(seen) * 1e6}


def replay(server: Server, request: bytes, frames: int, readers: int, times: int = 1) -> Figures:
    """Frames delivered a second from the first connection to the last receipt; the median of some times."""
    cpu, took = server.cpu(), []
    for _ in range(times):
        began = time.monotonic()
        with watching(server.port, request, readers) as clients:
            took.append(clients.drain(began + _LONGEST) - began)
            assert min(clients.received.values()) > frames * len(LINE), "a reader missed frames"
    cpu, delivered = server.cpu() - cpu, frames * readers
    rate = delivered / statistics.median(took)
    return {"frames": frames, "frames_s": rate, "cpu_per_million": cpu / delivered / times * 1e6}


def idle_memory(server: Server, watchers: int) -> Figures:
    """Bytes for each watcher of a silent build: of the server, and of the kernel for both ends of its connection."""
    fan_out(server, 50, 100)  # what is loaded and allocated once
    time.sleep(0.5)
    process, kernel = server.memory(), kernel_memory()
    with _live(server, f"live {watchers} 1", watchers) as clients:
        held, now = server.memory() - process, kernel_memory()
        server.send("go")
        clients.drain(time.monotonic() + _LONGEST)
        server.answer()
    buffers, slab = now.buffers - kernel.buffers, now.slab - kernel.slab
    return {"process": held / watchers, "kernel_buffers": buffers / watchers, "kernel_slab": slab / watchers}


def bare_connections(count: int) -> Figures:
    """Bytes of kernel memory for both ends of an accepted connection nothing is sent on: what no server can avoid."""
    before, open_ = kernel_memory(), contextlib.ExitStack()
    with open_, socket.create_server(("127.0.0.1", 0), backlog=count) as listener:
        for _ in range(count):
            open_.enter_context(socket.create_connection(listener.getsockname()))
            open_.enter_context(listener.accept()[0])
        time.sleep(0.5)
        now = kernel_memory()
    return {
        "kernel_buffers": (now.buffers - before.buffers) / count,
        "kernel_slab": (now.slab - before.slab) / count,
    }


def resume(server: Server, build: int, seq: int, times: int = 20) -> float:
    """Seconds from connecting until one client, which has all frames up to `seq`, has the rest; the median."""
    request, took = server.request(build, f"Last-Event-ID: 1-{seq}\r\n"), []
    for _ in range(times):
        began = time.monotonic()
        with watching(server.port, request, 1) as client:
            took.append(client.drain(began + 30) - began)
    return statistics.median(took)
