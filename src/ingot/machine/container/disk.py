"""A machine's own disk: a sparse ext4 image that holds everything the machine writes.

Its size is the limit that `MachineSpec.disk_mb` asks for, exact to the block. Checkpoints copy from it, and the
image is thrown away unsynced with the machine; only what a killed server left is read again, before it goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingot.errors import HostError, MachineError
from ingot.machine.container import syscalls
from ingot.machine.threads import in_thread
from ingot.process import run

_SMALLEST_MB = 16
_RESERVE, _RESERVE_BYTES, _RESERVE_FILES = "reserve", 512 * 1024, 16
_NEARLY_LEAST, _NEARLY_MOST = 1024 * 1024, 32 * 1024 * 1024
_UNMENDED = 4
_OPTIONS = "discard,barrier=0,noauto_da_alloc,noinit_itable"


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """What is left on a machine's disk."""

    free_bytes: int
    free_inodes: int
    total_bytes: int

    @property
    def full(self) -> bool:
        """Whether writes fail, or are about to: a file system stops a little above 0 free bytes."""
        nearly = min(max(self.total_bytes // 200, _NEARLY_LEAST), _NEARLY_MOST)
        return self.free_bytes < nearly or self.free_inodes < 8


async def make_disk(image: Path, mount_point: Path, size_mb: int) -> None:
    """Makes the image and mounts it. Raises HostError when the host cannot."""
    await asyncio.to_thread(_allocate, image, max(size_mb, _SMALLEST_MB) * 1024 * 1024)
    argv = ["mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", str(image)]
    await run(argv, timeout=30)
    await mount_disk(image, mount_point)


async def mend_disk(image: Path) -> None:
    """Makes the file system of an image whose host went down mountable again. Raises MachineError when it cannot."""
    status, output = await run(["e2fsck", "-f", "-y", str(image)], timeout=300, check=False)
    if status >= _UNMENDED:
        raise MachineError(f"its disk image is damaged: {output.decode(errors='replace').strip()[-300:]}")


async def mount_disk(image: Path, mount_point: Path) -> None:
    """Mounts an image that has a file system. Raises HostError when the host cannot."""
    try:
        await in_thread(partial(_mount, image, mount_point))
    except OSError as error:
        raise HostError(f"a machine's disk image cannot be mounted: {error}", hint="run `ingot doctor`") from error


def _allocate(image: Path, size: int) -> None:
    image.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(image, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(descriptor, size)
    finally:
        os.close(descriptor)


def _mount(image: Path, mount_point: Path) -> None:
    mount_point.mkdir(mode=0o711, exist_ok=True)
    device, descriptor = syscalls.attach_loop(image)
    try:
        syscalls.mount(
            device, mount_point, "ext4", syscalls.MS_NODEV | syscalls.MS_NOSUID | syscalls.MS_NOATIME, _OPTIONS
        )
    finally:
        os.close(descriptor)
    mount_point.chmod(0o711)


def hold_reserve(mount_point: Path) -> None:
    """Keeps a little of the disk back, so that a machine that filled it can still be checkpointed. Keeps
    nothing when there is nothing left."""
    reserve = mount_point / _RESERVE
    with contextlib.suppress(OSError):
        reserve.mkdir()
        for number in range(_RESERVE_FILES):
            (reserve / str(number)).touch()
        with (reserve / "0").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, _RESERVE_BYTES)


def release_reserve(mount_point: Path) -> None:
    shutil.rmtree(mount_point / _RESERVE, ignore_errors=True)


def room(mount_point: Path) -> DiskRoom:
    status = os.statvfs(mount_point)
    return DiskRoom(
        free_bytes=status.f_bavail * status.f_frsize,
        free_inodes=status.f_favail,
        total_bytes=status.f_blocks * status.f_frsize,
    )
