"""The base of virtual machines: a disk with Debian on it, its kernel, and an initramfs that finds the disk.

Made without a mount: mmdebstrap fills a tree, `mkfs.ext4 -d` makes a file system of it. Beside the disk lies an excerpt
of the tree, by which packages can be told without opening the disk.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from functools import partial
from importlib import resources
from pathlib import Path

from ingot.errors import CommandError, HostError
from ingot.machine import base_image
from ingot.machine.contract import Captured
from ingot.machine.own_root import REMEDY, as_own_root, is_root
from ingot.machine.qemu.initramfs import make_initramfs
from ingot.machine.qemu.state import sync_tree
from ingot.machine.threads import in_thread
from ingot.process import Sink, run

DISK, KERNEL, INITRAMFS, EXCERPT = "disk.raw", "vmlinuz", "initrd", "diff"
_FORMAT = 1
_PACKAGES = ("e2fsprogs", "iproute2", "kmod", "qemu-guest-agent", "systemd", "systemd-sysv", "udev")
_MODULES = ("virtio_pci", "virtio_blk", "ext4")
_PROGRAMS = "usr/lib/ingot/machine"
_UNITS = (
    "ingot.service",
    "ingot-arrive.service",
    "ingot-going.service",
    "ingot-network.service",
    "ingot-screen.service",
)
_MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"),
    *("systemd-tmpfiles-clean.timer", "e2scrub_reap.service", "getty@tty1.service", "systemd-timesyncd.service"),
    *("systemd-networkd-wait-online.service", "systemd-update-utmp.service", "systemd-journal-flush.service"),
    *("systemd-pcrphase.service", "systemd-pcrphase-sysinit.service", "systemd-random-seed.service"),
    *("systemd-logind.service", "systemd-machine-id-commit.service", "supervisor.service", "ldconfig.service"),
)
_TEXTS = {
    # Nothing is shared with other machines, so downloads would only be kept in layers.
    "etc/apt/apt.conf.d/95ingot": 'APT::Keep-Downloaded-Packages "false";\n',
    "etc/pip.conf": "[global]\nno-cache-dir = true\n",
    "etc/npmrc": "cache=/var/tmp/npm\n",
    "etc/fstab": "/dev/vda / ext4 noatime 0 1\n",
    "etc/systemd/journald.conf.d/ingot.conf": "[Journal]\nStorage=volatile\nRuntimeMaxUse=4M\nForwardToConsole=no\n",
    "etc/systemd/system/qemu-guest-agent.service.d/ingot.conf": (
        "[Unit]\nDefaultDependencies=no\nAfter=ingot.service\n[Service]\nOOMScoreAdjust=-1000\n"
        "[Install]\nWantedBy=sysinit.target\n"
    ),
    "etc/systemd/system.conf.d/ingot.conf": "[Manager]\nDefaultTimeoutStopSec=10s\nShowStatus=no\n",
}
# The kernel's package is unpacked, not installed: installing it would make an initramfs of its own.
_FETCH = """set -e
cd "$1" && mkdir -p ingot-kernel && chroot . sh -ec '
cd /ingot-kernel
kernel=$(apt-cache depends linux-image-cloud-amd64 | sed -n "s/.*Depends: \\(linux-image-[0-9].*\\)/\\1/p")
apt-get download $kernel busybox-static'
"""
_SUPERBLOCK_UUID = 1024 + 0x68
_MAKING = 3600.0
_SPARE_MB = 128
"""Room on the disk of the base itself. A machine's own disk is larger, and the file system grows when it boots."""


def recipe(ca_bundle: Path | None, mirror: str) -> str:
    """Everything that decides what `make_base` makes, as one text."""
    payload = resources.files("ingot.machine.qemu") / "payload"
    programs = {entry.name: entry.read_text() for entry in payload.iterdir() if entry.is_file()}
    decided = {
        "format": _FORMAT,
        "tree": base_image.recipe(ca_bundle, mirror),
        "packages": _PACKAGES,
        "programs": programs,
        "masked": _MASKED,
        "texts": _TEXTS,
        "fetch": _FETCH,
        "spare_mb": _SPARE_MB,
    }
    return json.dumps(decided, indent=1, sort_keys=True)


async def make_base(into: Path, ca_bundle: Path | None, mirror: str, sink: Sink) -> Captured:
    """Fills the empty directory `into`, durably. Raises HostError."""
    if not is_root():
        return await _make_as_own_root(into, ca_bundle, mirror, sink)
    tree = into / "tree"
    try:
        await base_image.make_tree(tree, ca_bundle, mirror, sink, more=_PACKAGES, hook=_FETCH)
        await _take_kernel(tree, into, sink)
        await in_thread(partial(_furnish, tree))
        files = await in_thread(partial(_excerpt, tree, into / EXCERPT))
        await _make_disk(tree, into / DISK)
    except CommandError as error:
        raise HostError(f"the base of virtual machines cannot be made: {error}", hint="see the lines above") from error
    finally:
        await in_thread(partial(shutil.rmtree, tree, ignore_errors=True))
    await in_thread(partial(sync_tree, into))
    size = sum(path.stat().st_blocks * 512 for path in into.iterdir())
    return Captured(size_bytes=size, files=files)


async def _make_as_own_root(into: Path, ca_bundle: Path | None, mirror: str, sink: Sink) -> Captured:
    """Files of many owners are made, and a file system with root's: in a namespace where this user is root."""
    maker = [sys.executable, "-m", "ingot.machine.qemu.base_maker", str(into), str(ca_bundle or ""), mirror]
    argv = [*as_own_root(alone=True), *maker]
    try:
        _, said = await run(argv, timeout=_MAKING, sink=sink, dies_with_us=True)
    except CommandError as error:
        why = f"the base of virtual machines cannot be made: {error}"
        raise HostError(why, hint=f"see the lines above; or set ids aside: {REMEDY}") from error
    size = sum(path.stat().st_blocks * 512 for path in into.iterdir())
    return Captured(size_bytes=size, files=int(said.split()[-2]))


def read_identity(layer: Path) -> str:
    """What tells one base from another: the UUID of its file system, which is made anew with each. Blocking."""
    with (layer / DISK).open("rb") as disk:
        disk.seek(_SUPERBLOCK_UUID)
        return disk.read(16).hex()


async def _take_kernel(tree: Path, into: Path, sink: Sink) -> None:
    """Kernel and modules out of their packages, an initramfs of them."""
    fetched, unpacked = tree / "ingot-kernel", into / "unpacked"
    await sink(b"taking the kernel\n")
    try:
        for package in sorted(fetched.glob("*.deb")):
            await run(["dpkg-deb", "-x", str(package), str(unpacked)], timeout=120)
        [kernel] = (unpacked / "boot").glob("vmlinuz-*")
        version = kernel.name.removeprefix("vmlinuz-")
        kernel.rename(into / KERNEL)
        modules = tree / "usr/lib/modules"
        modules.mkdir(exist_ok=True)
        (unpacked / "lib/modules" / version).rename(modules / version)
        await run(["chroot", str(tree), "depmod", version], timeout=60)
        needed = [module for name in _MODULES for module in await _with_needed(tree, version, name)]
        content = make_initramfs(unpacked / "bin/busybox", dict.fromkeys(needed))
        (into / INITRAMFS).write_bytes(content)
    finally:
        for place in (fetched, unpacked):
            await in_thread(partial(shutil.rmtree, place, ignore_errors=True))


async def _with_needed(tree: Path, version: str, module: str) -> list[Path]:
    """A module's file behind those that it needs; none for what the kernel has built in."""
    argv = ["chroot", str(tree), "modprobe", "--show-depends", "--ignore-install", "-S", version, module]
    _, text = await run(argv, timeout=30)
    lines = [line.split() for line in text.decode().splitlines()]
    return [tree / words[1].lstrip("/") for words in lines if words[0] == "insmod"]


def _furnish(tree: Path) -> None:
    programs, payload = tree / _PROGRAMS, resources.files("ingot.machine.qemu") / "payload"
    programs.mkdir(parents=True)
    for name in ("arrive", "hold", "network"):
        (programs / name).write_bytes((payload / name).read_bytes())
        (programs / name).chmod(0o755)
    system = tree / "etc/systemd/system"
    for name in _UNITS:
        (system / name).write_bytes((payload / name).read_bytes())
        _link(system / "sysinit.target.wants" / name, f"../{name}")
    _link(system / "sysinit.target.wants/qemu-guest-agent.service", "/lib/systemd/system/qemu-guest-agent.service")
    for name in _MASKED:
        _link(system / name, "/dev/null")
    _link(system / "default.target", "/lib/systemd/system/basic.target")  # what templates install is not booted
    for path, text in _TEXTS.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)


def _link(place: Path, target: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.unlink(missing_ok=True)
    place.symlink_to(target)


def _excerpt(tree: Path, into: Path) -> int:
    """dpkg's status and the names of programs: what is asked of a base image. Returns how many files the tree has."""
    status = into / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    shutil.copyfile(tree / "var/lib/dpkg/status", status)
    (into / "usr/bin").mkdir(parents=True)
    for name in sorted(entry.name for entry in (tree / "usr/bin").iterdir()):
        (into / "usr/bin" / name).touch()
    return sum(len(names) for _, _, names in os.walk(tree))


async def _make_disk(tree: Path, disk: Path) -> None:
    _, text = await run(["du", "-sm", str(tree)], timeout=60)
    megabytes = int(text.split()[0]) * 11 // 10 + _SPARE_MB
    with disk.open("xb") as file:
        file.truncate(megabytes * 2**20)
    options = ["-E", "root_owner=0:0,lazy_itable_init=1", "-m", "0"]
    await run(["mkfs.ext4", "-q", "-F", "-d", str(tree), *options, str(disk)], timeout=300)
