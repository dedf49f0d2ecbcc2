"""A machine's control groups: its limits, what the kernel says about them, and killing by group.

Both layouts: version 1 (one tree per controller) and version 2 (one tree). Version 2 is written from the
kernel's documentation and was not tested on a host that has it. Nothing outside of `/ingot/<id>` is touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.records.machine import MachineSpec

PARENT = "ingot"
_UNIFIED = ""
_HYBRID = "unified"  # beside version 1 trees: runc makes a group there too, without controllers
_KILL_ROUNDS = 3000
_KILL_CHILD_ROUNDS = 200
_ROUND = 0.01
_PERIOD = 100_000


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """Where each usable controller is mounted; version 2 has the one key ''. `limited` are the controllers
    (memory, pids, cpu) whose limits hold on this host."""

    version: int
    places: Mapping[str, Path]
    limited: frozenset[str]


def find_hierarchies() -> Hierarchies:
    """What this host offers, tried by making our parent group."""
    first: dict[str, Path] = {}
    second: Path | None = None
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split(" ")
        if kind == "cgroup":
            first.update({name: Path(place) for name in options.split(",") if name in _V1_CONTROLLERS})
        elif kind == "cgroup2":
            second = Path(place)
    if first or second is None:
        if second is not None:
            first[_HYBRID] = second
        return _first_version(first)
    return _second_version(second)


_V1_CONTROLLERS = frozenset(
    [
        "memory",
        "pids",
        "cpu",
        "cpuacct",
        "cpuset",
        "devices",
        "freezer",
        "blkio",
        "perf_event",
        "net_cls",
        "net_prio",
        "hugetlb",
        "name=systemd",
    ]
)


def _first_version(places: Mapping[str, Path]) -> Hierarchies:
    usable = {name: place for name, place in places.items() if _can_make(place / PARENT)}
    return Hierarchies(1, usable, frozenset(usable) & {"memory", "pids", "cpu"})


def _second_version(place: Path) -> Hierarchies:
    offered = set((place / "cgroup.controllers").read_text().split()) & {"memory", "pids", "cpu"}
    if not _can_make(place / PARENT):
        return Hierarchies(2, {}, frozenset())
    return Hierarchies(2, {_UNIFIED: place}, frozenset(offered))


def _can_make(place: Path) -> bool:
    try:
        place.mkdir(exist_ok=True)
    except OSError:
        return False
    return os.access(place, os.W_OK)


@dataclass(frozen=True, slots=True)
class ControlGroup:
    """The group of one machine, in every hierarchy."""

    id: str
    hierarchies: Hierarchies

    @property
    def path(self) -> str:
        return f"/{PARENT}/{self.id}"

    def resources(self, spec: MachineSpec) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The limits for config.json, and a warning for each that this host cannot enforce."""
        wanted: dict[str, dict[str, Any]] = {
            "memory": self._memory(spec.memory_mb * 1024 * 1024),
            "pids": {"limit": spec.processes},
            "cpu": {"quota": int(spec.cpu * _PERIOD), "period": _PERIOD},
        }
        asked = {
            "memory": f"{spec.memory_mb} MB of memory",
            "pids": f"{spec.processes} processes",
            "cpu": f"{spec.cpu:g} CPUs",
        }
        limited = self.hierarchies.limited
        held = {name: limit for name, limit in wanted.items() if name in limited}
        lost = tuple(
            f"this host cannot enforce the limit of {asked[name]}: it offers no {name} control group"
            for name in wanted
            if name not in limited
        )
        return held, lost

    def _memory(self, limit: int) -> dict[str, int]:
        """Swap counts too, where the host can count it."""
        parent = self.hierarchies.places.get("memory")
        counted = parent is not None and (parent / PARENT / "memory.memsw.limit_in_bytes").exists()
        return {"limit": limit, "swap": limit} if counted else {"limit": limit}

    def oom_kills(self) -> int:
        """How many processes the memory limit has killed since the group was made; 0 where nobody counts."""
        place, name = self._place("memory"), "memory.oom_control"
        if self.hierarchies.version == 2:
            place, name = self._place(_UNIFIED), "memory.events"
        if place is None:
            return 0
        with contextlib.suppress(OSError):
            for line in (place / name).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == "oom_kill":
                    return int(value)
        return 0

    def make_child(self, name: str) -> tuple[Path, str] | None:
        """A group below, for one command: (its directory, what `runc exec --cgroup` wants). None where the
        host offers no tree to make it in."""
        controller, place = self._freezer()
        if place is None:
            return None
        child = place / name
        try:
            child.mkdir()
        except OSError:
            return None
        return child, f"{controller}:{name}" if controller else name

    def children(self) -> list[Path] | None:
        """The groups that `make_child` made and that are still there: everything but the first process is in one of
        them. None where the host offers no tree for them."""
        _, place = self._freezer()
        return None if place is None else [path.parent for path in place.glob("*/cgroup.procs")]

    def processes(self) -> set[int]:
        """Host ids of every process in the group or below, in any hierarchy."""
        return {pid for place in self._places() for pid in _pids_below(place)}

    async def kill(self) -> None:
        """Kills every process of the group and waits until they are gone, at most half a minute: one that waits for a
        disk dies when that answers. What a killed server had frozen dies when it is thawed, before it could do
        anything."""
        for _ in range(_KILL_ROUNDS):
            pids = await asyncio.to_thread(self.processes)
            if not pids:
                return
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            for child in self.children() or ():
                thaw(child)
            await asyncio.sleep(_ROUND)

    def remove(self) -> None:
        """Removes the group's empty directories. One that still holds a dying process stays for the sweep."""
        for place in self._places():
            _remove_tree(place)

    def exists(self) -> bool:
        return bool(self._places())

    def _freezer(self) -> tuple[str, Path | None]:
        """The tree whose groups can be frozen: its controller, and our group in it."""
        controller = "freezer" if self.hierarchies.version == 1 else _UNIFIED
        return controller, self._place(controller)

    def _place(self, controller: str) -> Path | None:
        place = self.hierarchies.places.get(controller)
        return None if place is None else place / PARENT / self.id

    def _places(self) -> list[Path]:
        found = {place / PARENT / self.id for place in self.hierarchies.places.values()}
        return sorted(place for place in found if place.is_dir())


async def kill_child(child: Path) -> bool:
    """Kills every process in a command's group, also those that left its session; whether all are gone.

    The group is frozen first, so that nothing escapes by forking and no id is used twice meanwhile.
    """
    freezer = child / "freezer.state"
    for _ in range(_KILL_CHILD_ROUNDS):
        if not child.exists() or not _pids_below(child):
            return True
        if (child / "cgroup.kill").exists():
            (child / "cgroup.kill").write_text("1")
        else:
            await _kill_frozen(child, freezer)
        await asyncio.sleep(_ROUND)
    return False


async def _kill_frozen(child: Path, freezer: Path) -> None:
    with contextlib.suppress(OSError):
        freezer.write_text("FROZEN")
        for _ in range(20):
            if freezer.read_text().strip() == "FROZEN":
                break
            await asyncio.sleep(0.002)
    for pid in _pids_below(child):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        freezer.write_text("THAWED")


def freeze(child: Path) -> None:
    """Has the processes of a command's group stand still: soon, see `is_frozen`."""
    _tell(child, "FROZEN", "1")


def thaw(child: Path) -> None:
    _tell(child, "THAWED", "0")


def is_frozen(child: Path) -> bool:
    """Whether nothing in the group runs; a group that is gone has nothing that could."""
    try:
        if (child / "freezer.state").exists():
            return (child / "freezer.state").read_text().strip() == "FROZEN"
        return "frozen 1" in (child / "cgroup.events").read_text()
    except OSError:
        return True


def _tell(child: Path, first: str, second: str) -> None:
    """In the words of the host's version. A group that is gone has nothing to be told."""
    with contextlib.suppress(OSError):
        if (child / "freezer.state").exists():
            (child / "freezer.state").write_text(first)
        else:
            (child / "cgroup.freeze").write_text(second)


def remove_child(child: Path) -> None:
    """Removes a command's group if nothing of the command lives on."""
    with contextlib.suppress(OSError):
        child.rmdir()


def _pids_below(place: Path) -> list[int]:
    pids: list[int] = []
    for directory, _, _ in os.walk(place):
        with contextlib.suppress(OSError):
            pids += [int(line) for line in (Path(directory) / "cgroup.procs").read_text().split()]
    return pids


def _remove_tree(place: Path) -> None:
    for directory, _, _ in os.walk(place, topdown=False):
        with contextlib.suppress(OSError):
            Path(directory).rmdir()
