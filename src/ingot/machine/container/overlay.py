"""Stacks a machine's layers into one root with a writable top.

Layers are only ever read. The order of `stack` is the contract's: base first.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot.errors import HostError
from ingot.machine.container import syscalls
from ingot.machine.container.ids import FIRST_ID

LAYER_TREE = "diff"
"""The directory inside a layer that holds its tree: the overlay's upper directory as it was."""

TOPS = "tops"
"""The directory on a machine's disk that holds its writable tops, numbered from 1."""

# Renamed directories are copied, nothing refers to another layer by handle: a layer then means the same
# above any copy of the layers below it.
_FLAGS = {"redirect_dir": "off", "index": "off", "metacopy": "off"}


@dataclass(frozen=True, slots=True)
class WritableTop:
    """An upper and a work directory, new for each mount."""

    upper: Path
    work: Path


def make_top(directory: Path) -> WritableTop:
    """A new top whose root belongs to the mapped root."""
    top = WritableTop(directory / "upper", directory / "work")
    for place in (directory, top.upper, top.work):
        place.mkdir(parents=True)
    os.chown(top.upper, FIRST_ID, FIRST_ID)
    top.upper.chmod(0o755)
    return top


def mount_stack(stack: Sequence[Path], top: WritableTop, target: Path) -> None:
    """Mounts the trees of `stack` (base first) below `top` at `target`."""
    target.mkdir(mode=0o755, exist_ok=True)
    lower = list(reversed(stack))
    try:
        syscalls.mount_overlay(lower, top.upper, top.work, target, _FLAGS)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        if error.errno not in (errno.EINVAL, errno.ENOSYS):
            raise HostError(f"the layers cannot be mounted: {error}", hint="run `ingot doctor`") from error
        _mount_classic(lower, top, target)


def _mount_classic(lower: Sequence[Path], top: WritableTop, target: Path) -> None:
    try:
        syscalls.mount_overlay_classic(lower, top.upper, top.work, target, _FLAGS)
    except OSError as error:
        why = f"{len(lower)} layers cannot be mounted: {error}"
        raise HostError(why, hint="see the kernel's log, and run `ingot doctor`") from error
