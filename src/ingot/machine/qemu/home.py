"""What a virtual machine has on the host: one directory for its files, one with short names for its sockets.

Both are written down and locked before anything is put into them, so that a sweep can tell a machine with an owner
from what a killed server left. QEMU itself ends with its server.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from ingot.machine.container import mounts

_OWNER = "owner.json"
_DISKS = "disk*.qcow2"


def default_run_dir() -> Path:
    """Where sockets go: /run for root, else the user's own run directory, else a private temporary one."""
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run/ingot-vm")
    return Path(os.environ.get("XDG_RUNTIME_DIR") or f"{tempfile.gettempdir()}/ingot-{os.geteuid()}") / "ingot-vm"


@dataclass(slots=True)
class Home:
    """`files` lies with the data, `sockets` below a short path: a socket's may have 107 bytes. `abandoned`: its disks
    stay when it ends."""

    id: str
    files: Path
    sockets: Path
    abandoned: bool = False

    @property
    def disk(self) -> Path:
        return self.files / "disk.qcow2"

    @property
    def memory(self) -> Path:
        return self.files / "memory.bin"

    @property
    def device_state(self) -> Path:
        return self.files / "device.bin"


@contextlib.contextmanager
def occupied(home: Home, label: str) -> Iterator[None]:
    """The directories exist within the context and are gone behind it, but for the disks of an abandoned machine.
    Blocking."""
    home.files.mkdir(parents=True, mode=0o700)
    descriptor = os.open(home.files / _OWNER, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, json.dumps({"sockets": str(home.sockets), "label": label}).encode())
        home.sockets.mkdir(parents=True, mode=0o700)
        yield
    finally:
        _remove(home.sockets, home.files, spares_disks=home.abandoned)
        os.close(descriptor)


def newest_disk(files: Path) -> Path | None:
    """The disk that a machine of a killed server wrote to last; None while the machine has an owner, or is none."""
    if _abandoned(files) is None:
        return None
    return max(files.glob("disk*.qcow2"), key=lambda path: path.stat().st_mtime, default=None)


def sweep(machines: Path, spared: Collection[str] = ()) -> list[str]:
    """Removes what is below `machines` and has no owner any more, but for the disks of those that are `spared`; what
    that was, in words. Blocking."""
    removed = []
    for directory in sorted(machines.iterdir()) if machines.is_dir() else ():
        if (sockets := _abandoned(directory)) is not None:
            spares = directory.name in spared
            _remove(sockets, directory, spares_disks=spares)
            removed += [] if spares else [f"the virtual machine {directory.name}"]
    return removed


def discard(files: Path) -> None:
    """Removes a machine that has no owner any more. Blocking."""
    if (sockets := _abandoned(files)) is not None:
        _remove(sockets, files)


def _remove(sockets: Path, files: Path, *, spares_disks: bool = False) -> None:
    """Namespaces are held by mounts below the sockets' directory. What says that this is a machine goes last: a removal
    that is interrupted is found again."""
    mounts.unmount_below(sockets)
    shutil.rmtree(sockets, ignore_errors=True)
    spared = {_OWNER, *(disk.name for disk in files.glob(_DISKS) if spares_disks)}
    for entry in [entry for entry in files.glob("*") if entry.name not in spared]:
        if entry.is_dir():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink(missing_ok=True)
    if not spares_disks:
        shutil.rmtree(files, ignore_errors=True)


def _abandoned(directory: Path) -> Path | None:
    """Where the sockets of a machine without owner are; None while it has one, or is none."""
    try:
        descriptor = os.open(directory / _OWNER, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return Path(json.loads(os.read(descriptor, 4096))["sockets"])
    except BlockingIOError:
        return None
    except (ValueError, KeyError, TypeError):
        return directory / "sockets"
    finally:
        os.close(descriptor)
