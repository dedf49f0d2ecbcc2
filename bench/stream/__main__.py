"""The event stream beside its peers: `.venv/bin/python -m bench.stream` (about five minutes, loopback only).

Live fan-out as fast as possible, latency at 100 lines/s, replay by 1 and 50 readers, memory of idle watchers, and CPU;
the same clients for all. Writes `results.json` here and the charts beside this package.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.stream import charts, measure
from bench.stream.served import FASTAPI, NAMES, NCHAN, OURS, SSE_STARLETTE, Server, serving

HERE = Path(__file__).parent
_FAN_OUT = {
    OURS: {100: 200_000, 1000: 30_000, 5000: 5000},
    NCHAN: {100: 2500, 1000: 500, 5000: 120},
    SSE_STARLETTE: {100: 1000, 1000: 100, 5000: 20},
    FASTAPI: {100: 600, 1000: 40, 5000: 8},
}
"""Lines for each number of watchers: about five seconds for each."""
_PACED_SECONDS = 4
_PACED = {OURS: (100, 1000, 5000), NCHAN: (100, 1000, 5000), SSE_STARLETTE: (100, 1000), FASTAPI: (100, 1000)}
_IDLE = (1000, 5000)
_REPLAY = {
    OURS: {(1000, 1): 1000, (1000, 50): 1000, (100_000, 1): 100_000, (100_000, 50): 100_000}
    | {(1_000_000, 1): 1_000_000, (1_000_000, 50): 1_000_000},
    NCHAN: {(1000, 1): 1000, (1000, 50): 1000, (100_000, 1): 20_000, (100_000, 50): 4000},
    SSE_STARLETTE: {(1000, 1): 1000, (1000, 50): 1000, (100_000, 1): 100_000, (100_000, 50): 4000},
    FASTAPI: {(1000, 1): 1000, (1000, 50): 1000, (100_000, 1): 50_000, (100_000, 50): 2000},
}
"""Frames that are really replayed for each case of frames and readers; fewer for those that would take minutes."""
_FILES = "nginx, file"
"""nginx serving our logs as files, without Nchan."""
Results = dict[str, Any]


def _tell(*words: object) -> None:
    print(f"{time.monotonic() - _BEGAN:6.1f} s", *words, file=sys.stderr, flush=True)


_BEGAN = time.monotonic()


def _memory(name: str, directory: Path) -> Results:
    """A server of its own for each number: memory that was used once is not always given back."""
    found = {}
    for watchers in _IDLE:
        with serving(name, directory / f"idle-{watchers}") as server:
            found[str(watchers)] = measure.idle_memory(server, watchers)
        _tell(name, "memory", watchers, found[str(watchers)])
    return found


def _live(server: Server) -> tuple[Results, Results]:
    delays, rates = {}, {}
    for watchers in _PACED[server.name]:
        delays[str(watchers)] = measure.latency(server, watchers, _PACED_SECONDS)
        _tell(server.name, "latency", watchers, delays[str(watchers)])
    for watchers, lines in _FAN_OUT[server.name].items():
        rates[str(watchers)] = measure.fan_out(server, watchers, lines)
        _tell(server.name, "fan-out", watchers, rates[str(watchers)])
    return delays, rates


def _replay(server: Server, builds: dict[int, int]) -> Results:
    found = {}
    for (frames, readers), really in _REPLAY[server.name].items():
        request = server.request(builds[really])
        figures = measure.replay(server, request, really, readers, _times(server.name, frames, readers))
        found[f"{frames} x {readers}"] = figures
        _tell(server.name, "replay", frames, readers, figures)
    return found


def _times(name: str, frames: int, readers: int) -> int:
    """How often a replay is repeated: one that takes milliseconds tells little."""
    short = 5_000_000 if name in (OURS, _FILES) else 1000
    return 9 if frames * readers <= short else 1


def _replay_files(nginx: Server, builds: dict[int, int]) -> Results:
    """nginx serving our logs as files: the same bytes without a server that knows events."""
    found = {}
    for frames, readers in _REPLAY[OURS]:
        request = f"GET /files/build{builds[frames]}/events.sse HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        figures = measure.replay(nginx, request, frames, readers, _times(_FILES, frames, readers))
        found[f"{frames} x {readers}"] = figures
        _tell(_FILES, "replay", frames, readers, figures)
    return found


def _logs(server: Server) -> tuple[dict[int, int], Results]:
    """The builds of the logs to replay, and for each length what the server's memory grew by and how long it takes to
    resume ten frames before the end."""
    builds, growth = {}, {}
    for frames in sorted(set(_REPLAY[server.name].values())):
        before = server.memory()
        builds[frames] = server.ask(f"log {frames}")["build"]
        growth[str(frames)] = {"process": float(server.memory() - before)}
        if server.name == OURS:
            growth[str(frames)]["resume"] = measure.resume(server, builds[frames], frames - 10)
    _tell(server.name, "logs", growth)
    return builds, growth


def measure_all(directory: Path) -> Results:
    kinds = ("memory", "latency", "fanout", "log", "replay")
    results: Results = {kind: {} for kind in kinds}
    results["bare"] = measure.bare_connections(1000)
    for name in NAMES:
        files = directory / "logs"
        results["memory"][name] = _memory(name, directory)
        with serving(name, files) as server:
            builds, results["log"][name] = _logs(server)
            results["replay"][name] = _replay(server, builds)
            results["latency"][name], results["fanout"][name] = _live(server)
        if name == OURS:
            with serving(NCHAN, files) as nginx:
                results["replay"][_FILES] = _replay_files(nginx, builds)
    return results


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        results = measure_all(Path(directory))
    results["took"] = time.monotonic() - _BEGAN
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))
    charts.main()


if __name__ == "__main__":
    main()
