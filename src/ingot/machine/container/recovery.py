"""Takes what a machine wrote from the disk that its killed server left behind.

As a sweep does, it works from what is written down and from what the kernel says, takes the machine's lock first, and
never touches one whose server lives. It removes nothing: the sweep after it does.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from ingot.errors import MachineError
from ingot.machine.container import disk, mounts, overlay, teardown
from ingot.machine.container.capture import capture_tree
from ingot.machine.container.cgroups import ControlGroup, Hierarchies
from ingot.machine.container.ids import Home
from ingot.machine.contract import Captured
from ingot.machine.threads import in_stoppable_thread, in_thread
from ingot.machine.volatile import is_volatile

_ID = re.compile("[0-9a-f]{12}")


async def recover(
    machine: str, into: Path, run_dir: Path, disk_dir: Path, hierarchies: Hierarchies, *, kept: bool
) -> Captured | None:
    """See `Backend.recover`. After a restart of the host only the disk image is left: it is mended and mounted."""
    home = Home(machine, run_dir / machine, disk_dir / f"{machine}.img")
    if not _ID.fullmatch(machine) or not home.image.exists():
        return None
    with _taken(home, disk_dir):
        await teardown.kill(home, ControlGroup(home.id, hierarchies))
        if home.disk not in mounts.mounts_below(home.run):
            await disk.mend_disk(home.image)
            await disk.mount_disk(home.image, home.disk)
        await in_thread(lambda: mounts.unmount(home.root))
        upper = await in_thread(lambda: _find_upper(home.disk / overlay.TOPS, kept))
        if upper is None:
            return None
        tree = into / overlay.LAYER_TREE
        return await in_stoppable_thread(lambda stop: capture_tree(upper, tree, stop, is_volatile))


@contextlib.contextmanager
def _taken(home: Home, disk_dir: Path) -> Iterator[None]:
    """The machine is ours meanwhile. Where nothing but its disk image is left it gets its directory again."""
    if not home.run.exists():
        descriptor = teardown.claim(home, "being recovered")
        try:
            yield
        finally:
            os.close(descriptor)
        return
    with teardown.abandoned(home.run, disk_dir) as abandoned:
        if abandoned is None:
            raise MachineError(f"machine {home.id} belongs to a server that runs", hint="stop that server")
        yield


def _find_upper(tops: Path, kept: bool) -> Path | None:
    """The only top that something was written to, else the newest: a machine that went through a checkpoint has more.
    Where that was `kept` what it wrote before is a layer already."""
    found = sorted(tops.iterdir(), key=lambda top: int(top.name)) if tops.is_dir() else []
    written = [top for top in found if any((top / "upper").iterdir()) and not kept]
    if len(written) > 1:
        raise MachineError("it was interrupted while its files were being kept, and had written more since")
    chosen = written or found[-1:]
    return chosen[0] / "upper" if chosen else None
