"""The event stream beside its peers: `.venv/bin/python -m bench.stream` (about three minutes, loopback only).

Live fan-out as fast as possible, latency at 100 lines/s, replay by 1 and 50 readers, memory of idle watchers, and CPU;
the same clients for all. Prints tables for RESULTS.md and draws charts beside this package.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from bench.stream import nchan
from bench.stream.watchers import Watchers

HERE = Path(__file__).parent
REQUEST = b"GET /api/templates/a/b/%d.0.0/build/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer k\r\n\r\n"
EVENT = b'{"ts":"2026-06-08T17:00:01.007Z","level":"info","phase":"install","source":"run","line":"%015d Get:112 https://deb.example/debian bookworm/main amd64 libexample-%d amd64 1.2.3-4 [56.7 kB]"}'  # noqa: E501


class Ours:
    """The server in a process of its own."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "our_server.py")]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self.answer()["port"])

    def send(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer = json.loads(self.process.stdout.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, command: str) -> dict[str, Any]:
        self.send(command)
        return self.answer()

    def cpu(self) -> float:
        return float(self.ask("cpu")["cpu"])

    def memory(self) -> int:
        return _memory(self.process.pid)

    def close(self) -> None:
        self.send("")
        self.process.wait(30)


def fan_out(ours: Ours, watchers: int, lines: int) -> dict[str, float]:
    """Frames delivered a second, all watchers together, from the first write to the last byte received."""
    before = ours.cpu()
    ours.send(f"live {watchers} {lines}")
    build = ours.answer()["build"]
    clients = Watchers(ours.port, REQUEST % build, watchers)
    clients.settle(0.2)
    finished = _drain_closed(clients)
    told = ours.answer()
    clients.close()
    assert min(clients.received.values()) > lines * len(EVENT), "a watcher missed frames"
    frames = watchers * lines
    return {"frames_s": frames / (finished - told["began"]), "cpu_per_million": (ours.cpu() - before) / frames * 1e6}


def _drain_closed(clients: Watchers) -> float:
    """Until every client has seen the last frame: the end of the chunked body."""
    counts: set[int] = set()
    open_, tails = set(clients.sockets), dict.fromkeys(clients.sockets, b"")
    deadline, finished = time.monotonic() + 120, 0.0
    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    while open_:
        for number, _ in clients.epoll.poll(1.0):
            count = clients.sockets[number].recv_into(view)
            clients.received[number] += count
            tail = (tails[number] + bytes(view[max(0, count - 5) : count]))[-5:]
            tails[number] = tail
            if not count or tail == b"0\r\n\r\n":
                assert count, "a stream was cut off"
                clients.epoll.unregister(number)
                open_.discard(number)
                finished = time.monotonic()
                counts.add(clients.received[number] // 100_000)
        if time.monotonic() > deadline:
            raise TimeoutError(f"{len(open_)} clients have not seen the end")
    assert len(counts) <= 2, "watchers got different amounts"
    return finished


def nchan_fan_out(nginx: nchan.Nginx, watchers: int, lines: int) -> dict[str, float]:
    request = b"GET /sub HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"
    clients = Watchers(nginx.port, request, watchers)
    clients.settle(1.0)
    payloads = [EVENT % (0, n) for n in range(lines)]
    enough = sum(map(len, payloads))  # each event arrives with its id and framing around it
    before, began = _cpu_of_children(nginx.pid), time.monotonic()
    publisher = threading.Thread(target=nginx.publish, args=(payloads,))
    publisher.start()
    finished = clients.drain(enough, time.monotonic() + 120)
    publisher.join(60)
    clients.close()
    cpu = _cpu_of_children(nginx.pid) - before
    return {
        "frames_s": watchers * lines / (finished - began),
        "cpu_per_million": cpu / (watchers * lines) * 1e6,
    }


def latency(ours: Ours, watchers: int, seconds: int) -> dict[str, float]:
    ours.send(f"paced {watchers} {seconds}")
    clients = Watchers(ours.port, REQUEST % ours.answer()["build"], watchers)
    seen = clients.latencies(seconds * 100, time.monotonic() + seconds + 60)
    ours.answer()
    clients.close()
    assert len(seen) >= 0.99 * watchers * seconds * 100
    return {"p50": seen[len(seen) // 2], "p99": seen[len(seen) * 99 // 100], "max": seen[-1]}


def replay(port: int, request: bytes, size: int, readers: int) -> float:
    """Bytes a second, all readers together."""
    began = time.monotonic()
    clients = Watchers(port, request, readers)
    finished = clients.drain(size, time.monotonic() + 180)
    clients.close()
    return size * readers / (finished - began)


def idle_memory(ours: Ours, watchers: int) -> float:
    """Bytes of process memory for each watcher of a silent build."""
    ours.ask("log 1000")
    before = ours.memory()
    ours.send(f"live {watchers} 1")
    clients = Watchers(ours.port, REQUEST % ours.answer()["build"], watchers)
    clients.settle(0.4)
    held = ours.memory() - before
    ours.answer()
    clients.close()
    return held / watchers


def _memory(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024


def _cpu_of_children(pid: int) -> float:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(sum(map(int, Path(f"/proc/{child}/stat").read_text().split()[13:15])) / 100 for child in children)


def main() -> None:
    ours, results = Ours(), dict[str, Any]()
    log = {frames: ours.ask(f"log {frames}") for frames in (1000, 100_000, 1_000_000)}
    results["memory"] = {n: idle_memory(ours, n) for n in (1000, 5000)}
    results["latency"] = {n: latency(ours, n, 8) for n in (100, 1000, 5000)}
    results["fanout"] = {n: fan_out(ours, n, lines) for n, lines in ((100, 200_000), (1000, 30_000), (5000, 5000))}
    path = Path(log[1_000_000]["path"]).parent.parent
    with nchan.running(path) as nginx:
        levels = ((100, 3000), (1000, 1500), (5000, 400))
        results["nchan"] = {n: nchan_fan_out(nginx, n, lines) for n, lines in levels}
        results["replay"] = {}
        for frames, made in log.items():
            name, size = Path(made["path"]).parent.name, made["size"]
            file = f"GET /files/{name}/events.sse HTTP/1.1\r\nHost: x\r\n\r\n".encode()
            for readers in (1, 50):
                mine = replay(ours.port, REQUEST % made["build"], size, readers)
                theirs = replay(nginx.port, file, size, readers)
                rate = (frames / size, mine, theirs)
                results["replay"][f"{frames} x {readers}"] = {"ours": rate[1] * rate[0], "nginx": rate[2] * rate[0]}
    ours.close()
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
