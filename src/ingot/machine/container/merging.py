"""Makes one layer of several that stand on each other, as the overlay would show them.

Files are not copied but linked: a layer's files are never changed, so layers can share them. What a layer deletes stays
deleted in what it is merged into, because there may be something of that name further below. Where there
is nothing no deletion must be left: a directory that is in one layer alone is listed as it is, deleted names included.
"""

# ruff: noqa: PTH102
# Tree walks: plain strings and os calls cost a fraction of Path for each of 10,000 files.

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from ingot.errors import HostError
from ingot.machine.container.capture import copy_entry, make_durable
from ingot.machine.container.tree import OPAQUE, is_whiteout, kept_attributes, own, set_attributes, stamp
from ingot.machine.contract import Captured
from ingot.machine.threads import Stopped


def merge_trees(trees: Sequence[Path], below: Sequence[Path], into: Path, stop: threading.Event) -> Captured:
    """Makes the new directory `into` of `trees`, which stand on those of `below`; both oldest first. Raises HostError
    when it cannot be written, Stopped."""
    merge = _Merge(stop)
    try:
        merge.all(_Directory(_newest_first(trees), str(into), _newest_first(below)))
        make_durable(merge.copied, [place for place, _ in merge.directories], into)
    except OSError as error:
        raise HostError(f"layers cannot be merged: {error}", hint="free space below the data directory") from error
    return Captured(size_bytes=merge.size, files=merge.files)


def count_entries(tree: Path) -> int:
    return sum(len(directories) + len(names) for _, directories, names in os.walk(tree))


@dataclass(frozen=True, slots=True)
class _Directory:
    """`target` is to be made of `sources`, what the merged layers have of that name; `below` is what those further down
    have. Newest first."""

    sources: list[str]
    target: str
    below: list[str]


class _Merge:
    """The merged tree in the making. Of each name the newest layer's entry counts; directories are merged down to the
    first layer where the name is something else, or where the directory is opaque."""

    def __init__(self, stop: threading.Event) -> None:
        self.size = self.files = 0
        self.copied: list[str] = []
        self.directories: list[tuple[str, os.stat_result]] = []
        self._stop = stop
        self._copies: dict[tuple[int, int], str] = {}

    def all(self, root: _Directory) -> None:
        waiting = [root]
        while waiting:
            waiting += self._directory(waiting.pop())
        for place, status in reversed(self.directories):
            stamp(place, status)

    def _directory(self, directory: _Directory) -> list[_Directory]:
        """Makes one directory; returns those in it, to be made."""
        joined = _joined(directory.sources)
        below = _joined(directory.below) if joined == directory.sources and not _is_opaque(joined[-1]) else []
        target, status = directory.target, os.lstat(joined[0])
        os.mkdir(target, 0o700)
        own(target, status)
        set_attributes(target, kept_attributes(joined[0]))
        if directory.below and not below:
            os.setxattr(target, OPAQUE, b"y")
        self.directories.append((target, status))
        inside = []
        further = _names(below)
        for name, paths in _names(joined).items():
            if self._stop.is_set():
                raise Stopped
            newest = os.lstat(paths[0])
            if stat.S_ISDIR(newest.st_mode):
                inside.append(_Directory(paths, f"{target}/{name}", further.get(name, [])))
            elif name in further or not is_whiteout(newest):
                self._link(paths[0], f"{target}/{name}", newest)
        return inside

    def _link(self, source: str, target: str, status: os.stat_result) -> None:
        identity = (status.st_dev, status.st_ino)
        try:
            os.link(self._copies.get(identity, source), target, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            copy_entry(source, target, status)
            self._copies[identity] = target
            self.copied.append(target)
        self.files += 1
        if stat.S_ISREG(status.st_mode):
            self.size += status.st_size


def _newest_first(trees: Sequence[Path]) -> list[str]:
    return [str(tree) for tree in reversed(trees)]


def _joined(paths: list[str]) -> list[str]:
    """Those of one name's entries that an overlay joins: directories, down to what is none, and to an opaque one."""
    joined = []
    for path in takewhile(_is_directory, paths):
        joined.append(path)
        if _is_opaque(path):
            break
    return joined


def _names(directories: list[str]) -> dict[str, list[str]]:
    """What the directories hold: name → paths, newest first."""
    found: dict[str, list[str]] = {}
    for directory in directories:
        with os.scandir(directory) as entries:
            for entry in entries:
                found.setdefault(entry.name, []).append(entry.path)
    return found


def _is_directory(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _is_opaque(directory: str) -> bool:
    return kept_attributes(directory).get(OPAQUE) == b"y"
