"""Makes one disk layer of several that stand on each other.

QEMU's storage daemon has the layers' clusters pulled up into an empty disk, also those that say "zero here": what was
discarded above a layer stays discarded. The file systems inside are not looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ingot.errors import HostError, MachineError
from ingot.machine.qemu.control import Control
from ingot.machine.qemu.hardware import chain_node, empty_disk_argv
from ingot.machine.qemu.state import sync
from ingot.machine.threads import in_thread
from ingot.process import run, started

_DEADLINE = 1800.0
_POLL = 0.02


async def keep_disks(disks: Sequence[Path], place: Path) -> None:
    """Puts what `disks` mean together, oldest first, at a place beside them, durably. A single one gets a second name
    there: that takes no room, and a machine may go on reading it. Raises HostError, OSError."""
    if len(disks) > 1:
        await merge_disks(disks, place)
        await in_thread(partial(sync, place))
    else:
        await in_thread(partial(sync, disks[0]))
        await in_thread(partial(os.link, disks[0], place))
    await in_thread(partial(sync, place.parent))


async def merge_disks(disks: Sequence[Path], into: Path) -> None:
    """Makes the new disk `into` of `disks`, oldest first. Raises HostError when it cannot be written."""
    _, told = await run(["qemu-img", "info", "--force-share", "--output=json", str(disks[-1])], timeout=60)
    await run(empty_disk_argv(into, json.loads(told)["virtual-size"]), timeout=60)
    image = {"driver": "file", "filename": str(into)}
    node = {"node-name": "merged", "driver": "qcow2", "file": image, "backing": chain_node(disks)}
    ours, theirs = socket.socketpair()
    with ours, theirs:
        argv = ["qemu-storage-daemon", "--blockdev", json.dumps(node)]
        argv += ["--chardev", f"socket,id=control,fd={theirs.fileno()}", "--monitor", "control"]
        async with started(argv, pass_fds=[theirs.fileno()], dies_with_us=True) as process:
            theirs.close()
            try:
                async with asyncio.timeout(_DEADLINE):
                    await _pull(ours)
                    status, said = await _end(process)
            except (MachineError, TimeoutError) as error:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                why = str(error) or f"it takes longer than {_DEADLINE:g} s"
                raise _failure(f"{why} {(await _end(process))[1]}") from error
    if status != 0:
        raise _failure(said)


async def _pull(link: socket.socket) -> None:
    control = Control("storage daemon")
    try:
        await control.take(link)
        await control.call("block-stream", {"job-id": "merge", "device": "merged", "auto-dismiss": False})
        while (found := await _find(control))["status"] != "concluded":  # noqa: ASYNC110 - asked for, not waited for
            await asyncio.sleep(_POLL)
        if "error" in found:
            raise MachineError(f"the storage daemon says: {found['error']}")
        await control.call("quit")
    finally:
        await control.close()


async def _find(control: Control) -> dict[str, Any]:
    [found] = await control.call("query-jobs")
    return dict(found)


async def _end(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    """(status, the end of what it printed)."""
    said, _ = await process.communicate()
    return process.returncode, said.decode(errors="replace").strip()[-300:]


def _failure(why: str) -> HostError:
    return HostError(f"layers cannot be merged: {why.strip()}", hint="free space in the data directory")
