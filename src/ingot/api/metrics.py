"""The server's figures in Prometheus' text format.

Counters begin at 0 with the process; gauges are asked for when they are read. It labels nothing by account or
template, so that the number of series stays small and names stay private.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ingot.records.event import Result

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS = (1, 2, 5, 10, 20, 40, 60, 120, 300, 600, 1200, 3600)


class Metrics:
    """`count_build` is to be called once when an attempt has ended; everything else is asked for."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._builds = Counter("ingot_builds", "Attempts that ended, by result.", ["result"], registry=self._registry)
        self._seconds = Histogram(
            "ingot_build_seconds",
            "How long attempts took, from start to end, by result.",
            ["result"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._queued = Gauge("ingot_queue_length", "Builds that wait.", registry=self._registry)
        self._running = Gauge("ingot_builds_running", "Builds that run.", registry=self._registry)
        self._streams = Gauge("ingot_open_streams", "Event streams that are open.", registry=self._registry)
        for result in Result:
            self._builds.labels(result.value)

    def count_build(self, result: Result, seconds: float) -> None:
        self._builds.labels(result.value).inc()
        self._seconds.labels(result.value).observe(seconds)

    def render(self, *, queued: int, running: int, open_streams: int) -> bytes:
        """The page that Prometheus reads."""
        self._queued.set(queued)
        self._running.set(running)
        self._streams.set(open_streams)
        return generate_latest(self._registry)
