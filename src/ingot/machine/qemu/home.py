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
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingot.machine.container import mounts

_OWNER = "owner.json"
_MAGIC = b"QFI\xfb"
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


def find_disks(files: Path, *, kept: bool) -> list[Path]:
    """The disks of a machine without owner, oldest first: all that it wrote to, or those `since_kept`, where the last
    is always one of them: no checkpoint has it. Empty while it has an owner, or is none. Blocking."""
    if _abandoned(files) is None:
        return []
    disks = sorted(filter(_is_disk, files.glob(_DISKS)), key=lambda path: (len(path.name), path.name))
    return [*since_kept(disks[:-1]), *disks[-1:]] if kept else disks


def since_kept(disks: Sequence[Path]) -> list[Path]:
    """Those after the last one that is a layer too: it has a second name there. Blocking."""
    shared = [number for number, disk in enumerate(disks, 1) if disk.stat().st_nlink > 1]
    return list(disks[max(shared, default=0) :])


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


def _is_disk(path: Path) -> bool:
    """One that was made just before the host's power went may be empty."""
    with path.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC
