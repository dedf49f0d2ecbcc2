"""The server's figures in Prometheus' text format.

Counters begin at 0 with the process; gauges are asked for when they are read. It labels nothing by account or
template, so that the number of series stays small and names stay private.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ingot.api.open_streams import StreamFigures
from ingot.records.event import Result
from ingot.vitals import Activity

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
        self._tasks = Gauge("ingot_tasks", "Tasks of the event loop.", registry=self._registry)
        self._figures = _StreamCollector()
        self._registry.register(self._figures)
        for result in Result:
            self._builds.labels(result.value)

    def count_build(self, result: Result, seconds: float) -> None:
        self._builds.labels(result.value).inc()
        self._seconds.labels(result.value).observe(seconds)

    def render(self, activity: Activity, streamed: StreamFigures) -> bytes:
        """The page that Prometheus reads."""
        self._queued.set(activity.queued)
        self._running.set(activity.building)
        self._streams.set(activity.open_streams)
        self._tasks.set(len(asyncio.all_tasks()))
        self._figures.figures = streamed
        return generate_latest(self._registry)


class _StreamCollector(Collector):
    """The event stream counts by itself; here its counts get their names."""

    def __init__(self) -> None:
        self.figures = StreamFigures()

    def collect(self) -> Iterator[Metric]:
        figures = self.figures
        yield CounterMetricFamily("ingot_streams_opened", "Event streams that were opened.", figures.opened)
        yield CounterMetricFamily("ingot_streams_resumed", "Event streams that went on from an id.", figures.resumed)
        yield CounterMetricFamily("ingot_stream_frames", "Frames sent to all event streams.", figures.frames)
        yield GaugeMetricFamily("ingot_stream_lag_bytes", "What the last reader has yet to be sent.", figures.lag_bytes)
        ended = CounterMetricFamily("ingot_streams_ended", "Event streams that the server ended.", labels=["reason"])
        for reason, count in figures.ended.items():
            ended.add_metric([reason], count)
        yield ended
