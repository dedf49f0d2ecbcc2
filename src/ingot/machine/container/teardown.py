"""Removes what a machine has on the host, whether its server ends it in order or was killed.

Works from `machine.json` and from what the kernel says is there, never from a process id alone, and never
deletes a file below a directory that is still a mount.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Collection, Iterator
from functools import partial
from pathlib import Path

from ingot.errors import HostError
from ingot.machine.container import mounts, syscalls
from ingot.machine.container.cgroups import ControlGroup, Hierarchies
from ingot.machine.container.ids import FIRST_ID, Home
from ingot.machine.threads import in_thread

_UNCLAIMED, _CLAIM_SECONDS = ".new-", 60.0


def claim(home: Home, label: str) -> int:
    """Makes the machine's directory and writes down what it will have, before any of it is made. The
    returned descriptor's lock tells every other server that the machine has an owner; it goes with us."""
    home.run.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    made = home.run.with_name(f"{_UNCLAIMED}{home.id}")
    made.mkdir(mode=0o710)
    os.chown(made, 0, FIRST_ID)  # for the machine's root to pass, and for nobody else of this host
    descriptor = os.open(made / home.state.name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    state = {"id": home.id, "image": str(home.image), "label": label, "server": os.getpid()}
    os.write(descriptor, json.dumps(state).encode())
    made.rename(home.run)  # only now can a sweep see it, and it is locked
    return descriptor


def remove_remains(home: Home, group: ControlGroup, *, spares_image: bool = False) -> list[str]:
    """Unmounts and deletes everything of a machine without processes, but a disk image that is spared; returns what
    there was, in words."""
    removed = []
    if not spares_image:
        with contextlib.suppress(OSError):
            syscalls.discard_file_system(home.disk, home.image)
    if gone := mounts.unmount_below(home.run):
        removed.append(f"{len(gone)} mounts below {home.run}")
    if home.image.exists() and not spares_image:
        home.image.unlink(missing_ok=True)
        removed.append(f"the disk image {home.image}")
    if group.exists():
        group.remove()
        removed.append(f"the control group {group.path}")
    if left := mounts.mounts_below(home.run):
        raise HostError(f"{left[0]} cannot be unmounted", hint=f"unmount it, then remove {home.run}")
    if home.run.exists():
        _remove_tree(home.run)
        removed.append(f"the directory {home.run}")
    return removed


def _remove_tree(place: Path) -> None:
    """Another server's sweep may take what has lost its state file for forsaken, and remove it as well."""
    while place.exists():
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(place)


async def sweep(run_dir: Path, disk_dir: Path, hierarchies: Hierarchies, spared: Collection[str] = ()) -> list[str]:
    """Removes the machines below `run_dir` whose server is gone, and disk images without a machine. One whose disk is
    another server's to recover is left to that server; of those that are `spared` the image stays."""
    removed: list[str] = []
    for directory in sorted(run_dir.iterdir()) if run_dir.is_dir() else ():
        with abandoned(directory, disk_dir) as home:
            if home is not None and (home.image.parent == disk_dir or not home.image.exists()):
                removed += await _end(home, hierarchies, spares_image=home.id in spared)
    for image in sorted(disk_dir.glob("*.img")):
        if image.stem not in spared and not (run_dir / image.stem).exists():
            image.unlink(missing_ok=True)
            removed.append(f"the disk image {image}")
    return removed


async def discard(machine: str, run_dir: Path, disk_dir: Path, hierarchies: Hierarchies) -> None:
    """See `Backend.discard`."""
    home = Home(machine, run_dir / machine, disk_dir / f"{machine}.img")
    if not home.run.exists():
        home.image.unlink(missing_ok=True)
        return
    with abandoned(home.run, disk_dir) as found:
        if found is not None:
            await _end(found, hierarchies, spares_image=False)


async def _end(home: Home, hierarchies: Hierarchies, *, spares_image: bool) -> list[str]:
    group = ControlGroup(home.id, hierarchies)
    killed = [f"{count} processes of machine {home.id}" for count in await kill(home, group)]
    return killed + await in_thread(partial(remove_remains, home, group, spares_image=spares_image))


@contextlib.contextmanager
def abandoned(directory: Path, disk_dir: Path) -> Iterator[Home | None]:
    """The machine of a directory, locked, when its server is gone; None while someone owns it."""
    try:
        descriptor = os.open(directory / "machine.json", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield Home(directory.name, directory, disk_dir / f"{directory.name}.img") if _forsaken(directory) else None
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield None
    else:
        name = directory.name.removeprefix(_UNCLAIMED)
        yield Home(name, directory, _image(descriptor, disk_dir / f"{name}.img"))
    finally:
        os.close(descriptor)


def _forsaken(directory: Path) -> bool:
    """Whether a directory without a state file is what an interrupted removal left, or a claim that came
    to nothing: a claim in progress takes no minute."""
    try:
        age = time.time() - directory.stat().st_mtime
    except OSError:
        return False
    return directory.is_dir() and (age > _CLAIM_SECONDS or not directory.name.startswith(_UNCLAIMED))


def _image(descriptor: int, otherwise: Path) -> Path:
    """The image a state file names; one written half names none."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        return Path(json.loads(os.read(descriptor, 65536))["image"])
    return otherwise


async def kill(home: Home, group: ControlGroup) -> list[int]:
    """Kills what the machine's control group holds, and the first process that runc wrote down if it is
    still the one that started then; [how many there were], or nothing."""
    found = len(group.processes())
    for state in home.runtime.glob("*/state.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            details = json.loads(state.read_text())
            pid = int(details["init_process_pid"])
            descriptor = os.pidfd_open(pid)
            try:
                if _start_time(pid) == int(details["init_process_start"]):
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
                    found = max(found, 1)
            finally:
                os.close(descriptor)
    await group.kill()
    return [found] if found else []


def _start_time(pid: int) -> int:
    """When a process started, in clock ticks since boot."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
