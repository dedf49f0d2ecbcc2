"""Charts of `results.json`, one a question, into bench/: `.venv/bin/python -m bench.stream.charts`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

HERE = Path(__file__).parent
_COLOURS = {
    "Ingot": "#1b6ca8",
    "Nchan": "#3a9d5d",
    "nginx, file": "#8fbf6a",
    "sse-starlette": "#e08e2b",
    "FastAPI SSE": "#b8433f",
}
_WATCHERS = ("100", "1000", "5000")
_REPLAYS = ("1000 x 1", "1000 x 50", "100000 x 1", "100000 x 50")
_FOOT = "One server process (nginx: one worker), clients on the same machine, frames of about 200 bytes."
Results = dict[str, Any]
Pick = Callable[[str, str], float | None]


def _short(value: float) -> str:
    """Two or three digits: 1.3 M, 250 k, 4.2, 0.05."""
    for size, unit in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}" if value >= 1 else f"{value:.2g}"


def _bars(axes: Axes, groups: Sequence[str], names: Sequence[str], pick: Pick) -> None:
    """Bars side by side in each group, each with its value; a cross where there is none. The scale is logarithmic."""
    width = 0.84 / len(names)
    axes.set_yscale("log")
    values = [value for group in groups for name in names if (value := pick(name, group))]
    axes.set_ylim(min(values) / 3, max(values) * 3)
    for number, name in enumerate(names):
        places = [n + (number - (len(names) - 1) / 2) * width for n in range(len(groups))]
        for place, group in zip(places, groups, strict=True):
            value = pick(name, group)
            if value:
                axes.bar(place, value, width * 0.94, color=_COLOURS[name])
            axes.annotate(
                _short(value) if value else "not\nmeasured",
                (place, value or min(values) / 3),
                (0, 2),
                textcoords="offset points",
                ha="center",
                fontsize=8 if value else 6,
            )
        axes.bar(0, 0, color=_COLOURS[name], label=name)
    axes.set_xticks(range(len(groups)), [_group(group) for group in groups])
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def _group(name: str) -> str:
    """`1000 x 50` as `1,000 frames × 50`; numbers with commas."""
    frames, _, readers = name.partition(" x ")
    return f"{int(frames):,} frames\n× {readers} reader{'s' * (readers != '1')}" if readers else f"{int(frames):,}"


def _one(title: str, unit: str, below: str, width: float = 9) -> tuple[Figure, Axes]:
    figure, axes = plt.subplots(figsize=(width, 5))
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.set_xlabel(below)
    return figure, axes


def _save(figure: Figure, name: str, foot: str = _FOOT) -> None:
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.text(0.01, 0.01, foot, fontsize=7, color="#555555")
    figure.savefig(HERE.parent / f"stream-{name}.png", dpi=110)
    plt.close(figure)


def draw_fan_out(results: Results) -> None:
    found = results["fanout"]
    figure, axes = _one("Live fan-out as fast as possible", "frames/s, all watchers together (log)", "watchers")
    _bars(axes, _WATCHERS, list(found), lambda name, group: found[name][group]["frames_s"])
    axes.legend(loc="upper center", ncols=4, fontsize=9)
    axes.set_ylim(top=axes.get_ylim()[1] * 3)
    _save(figure, "fanout", f"{_FOOT} Ingot's figure includes ingest and the durable log.")


def draw_latency(results: Results) -> None:
    found = results["latency"]
    figure, panels = plt.subplots(1, 3, figsize=(15, 5.5), sharey=True)
    for axes, watchers in zip(panels, _WATCHERS, strict=True):
        axes.set_yscale("log")
        axes.set_ylim(1, 300_000)
        axes.set_xlim(-0.6, len(found) - 0.4)
        for place, name in enumerate(found):
            _three_bars(axes, place, name, found[name].get(watchers))
        axes.set_xticks(range(len(found)), list(found), fontsize=9)
        axes.set_title(f"{int(watchers):,} watchers", fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
    panels[0].set_ylabel("ms (log)")
    figure.suptitle("Latency at 100 lines/s: from the time a line is due until a watcher has it (bars: p50, p99, max)")
    _save(figure, "latency", f"{_FOOT} Seconds mean that the server did not keep up: they grow with the time measured.")


def _three_bars(axes: Axes, place: float, name: str, figures: dict[str, float] | None) -> None:
    """p50, p99 and max of one server, in ms."""
    if figures is None:
        axes.text(place, 1.2, "not\nmeasured", ha="center", fontsize=8)
        return
    for step, key in enumerate(("p50", "p99", "max")):
        value, at = figures[key] * 1000, place + (step - 1) * 0.3
        axes.bar(at, value, 0.28, color=_COLOURS[name], alpha=(1, 0.7, 0.4)[step])
        label = f"{value / 1000:.2g} s" if value >= 1000 else f"{value:.2g}" if value < 100 else f"{value:.0f}"
        axes.annotate(label, (at, value), (0, 2), textcoords="offset points", ha="center", size=8)


def draw_replay(results: Results) -> None:
    found = results["replay"]
    names = [name for name in _COLOURS if name in found]
    figure, axes = _one("Replay of a finished log", "frames/s, all readers together (log)", "", width=11)
    _bars(axes, _REPLAYS, names, lambda name, group: found[name][group]["frames_s"])
    axes.legend(loc="upper center", ncols=5, fontsize=9)
    axes.set_ylim(top=axes.get_ylim()[1] * 4)
    _save(figure, "replay", f"{_FOOT}\n{_shorter(found)}")


def _shorter(found: Results) -> str:
    """Which replays had fewer frames than their label says."""
    cases = [
        f"{name} × {group.split(' x ')[1]}: {figures['frames']:,}"
        for name, groups in found.items()
        for group, figures in groups.items()
        if figures["frames"] != int(group.split(" x ")[0])
    ]
    return f"Fewer frames than 100,000 for {'; '.join(cases)}." if cases else ""


_PARTS = {"process": "server process", "kernel_slab": "kernel, objects", "kernel_buffers": "kernel, TCP buffers"}
_SHADES = dict(zip(_PARTS, (1, 0.55, 0.25), strict=True))


def draw_memory(results: Results) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(12, 5.5), sharey=True)
    for axes, watchers in zip(panels, ("1000", "5000"), strict=True):
        found = {name: groups[watchers] for name, groups in results["memory"].items()}
        found["connection\nalone"] = results["bare"]
        for place, (name, figures) in enumerate(found.items()):
            _pile(axes, place, _COLOURS.get(name, "#777777"), figures)
        axes.set_xticks(range(len(found)), list(found), fontsize=9)
        axes.set_title(f"{int(watchers):,} idle watchers", fontsize=10)
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.margins(y=0.12)
    for key, label in _PARTS.items():
        panels[0].bar(0, 0, color="#333333", alpha=_SHADES[key], label=label)
    panels[0].legend(loc="upper left", fontsize=9)
    panels[0].set_ylabel("KiB a watcher")
    figure.suptitle("Memory for each idle watcher")
    foot = "Kernel memory is that of both ends of a connection: server and client share the machine."
    _save(figure, "memory", f"{foot}\nThe kernel counts TCP buffers in steps of about 1 MiB: 1 KiB a watcher at 1,000.")


def _pile(axes: Axes, place: float, colour: str, figures: dict[str, float]) -> None:
    """The parts of one server's memory on top of each other, in KiB."""
    below = 0.0
    for key, shade in _SHADES.items():
        value = max(0.0, figures.get(key, 0.0)) / 1024
        axes.bar(place, value, 0.7, below, color=colour, alpha=shade)
        if value >= 2:
            axes.text(place, below + value / 2, f"{value:.1f}", ha="center", va="center", fontsize=8)
        below += value
    axes.text(place, below, f"{below:.1f}", ha="center", va="bottom", fontsize=9, weight="bold")


def draw_cpu(results: Results) -> None:
    kinds = (("fanout", "live, as fast as possible", _WATCHERS), ("replay", "replay", _REPLAYS))
    figure, panels = plt.subplots(1, 2, figsize=(15, 5), width_ratios=(3, 4.5))
    for axes, (kind, title, groups) in zip(panels, kinds, strict=True):
        found = results[kind]
        names = [name for name in _COLOURS if name in found]
        _bars(axes, groups, names, lambda name, group, found=found: found[name][group]["cpu_per_million"])  # type: ignore[misc]
        axes.set_title(title, fontsize=10)
    panels[0].set_xlabel("watchers")
    panels[0].set_ylabel("seconds of CPU (log)")
    panels[1].legend(loc="upper center", ncols=5, fontsize=8)
    panels[1].set_ylim(top=panels[1].get_ylim()[1] * 4)
    figure.suptitle("Processor time of the server, user and system, for a million frames delivered")
    _save(figure, "cpu", f"{_FOOT} Nchan's publisher is not counted; Ingot's ingest and log are.")


def draw_growth(results: Results) -> None:
    figure, panels = plt.subplots(2, 3, figsize=(15, 8.5))
    _draw_watchers(panels[0], results["fanout"]["Ingot"], results["latency"]["Ingot"])
    idle = results["memory"]["Ingot"]
    _draw_logs(panels[1], results["replay"]["Ingot"], results["log"]["Ingot"])
    _line(panels[1][2], {int(n): idle[n]["process"] / 1024 for n in idle}, "process")
    _frame(panels[1][2], "process memory for each idle watcher", "watchers (log)", "KiB")
    figure.suptitle("Ingot's growth with watchers and with the length of a log")
    _save(figure, "growth")


def _draw_watchers(panels: Sequence[Axes], fan_out: Results, latency: Results) -> None:
    speed, cpu, delay = panels
    _line(speed, {int(n): fan_out[n]["frames_s"] / 1e6 for n in fan_out}, "rate")
    _frame(speed, "live fan-out", "watchers (log)", "million frames/s, all together")
    _line(cpu, {int(n): fan_out[n]["cpu_per_million"] for n in fan_out}, "cpu")
    _frame(cpu, "CPU of live fan-out", "watchers (log)", "seconds for a million frames")
    for key in ("p99", "p50"):
        _line(delay, {int(n): latency[n][key] * 1000 for n in latency}, key, below=key == "p50")
    _frame(delay, "latency at 100 lines/s", "watchers (log)", "ms", log=True)
    delay.legend(fontsize=8)


def _draw_logs(panels: Sequence[Axes], replays: Results, logs: Results) -> None:
    rates, resume = panels[:2]
    for readers in (50, 1):
        points = {int(n): replays[f"{n} x {readers}"]["frames_s"] / 1e6 for n in logs}
        _line(rates, points, f"{readers} reader{'s' * (readers > 1)}", below=readers == 1)
    _frame(rates, "replay", "frames in the log (log)", "million frames/s, all together", log=True)
    rates.legend(fontsize=8)
    _line(resume, {int(n): figures["resume"] * 1000 for n, figures in logs.items()}, "ms")
    _frame(resume, "resuming ten frames before the end", "frames in the log (log)", "ms")


def _frame(axes: Axes, title: str, below: str, unit: str, *, log: bool = False) -> None:
    """What is around lines that were drawn; a scale that is not logarithmic begins at zero."""
    lowest, highest = axes.dataLim.y0, axes.dataLim.y1
    axes.set(title=title, xlabel=below, ylabel=f"{unit} (log)" if log else unit, yscale="log" if log else "linear")
    axes.set_ylim(*(lowest / 2, highest * 2) if log else (0, highest * 1.2))


def _line(axes: Axes, points: dict[int, float], label: str, *, below: bool = False) -> None:
    """A line with its values above or below the points."""
    axes.plot(list(points), list(points.values()), marker="o", label=label)
    colour = axes.lines[-1].get_color()
    for place, value in points.items():
        at = (0, -14 if below else 7)
        axes.annotate(
            _short(value), (place, value), at, textcoords="offset points", ha="center", fontsize=8, color=colour
        )
    axes.set_xscale("log")
    axes.set_xticks(list(points), [f"{place:,}" for place in points])
    axes.minorticks_off()
    axes.margins(x=0.12)
    axes.grid(alpha=0.3)


def main() -> None:
    results = json.loads((HERE / "results.json").read_text())
    for draw in (draw_fan_out, draw_latency, draw_replay, draw_memory, draw_cpu, draw_growth):
        draw(results)


if __name__ == "__main__":
    main()
