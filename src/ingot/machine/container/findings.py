"""What this host offers to container machines, for `ingot doctor`. Looks and tries; changes nothing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ingot.machine.container.cgroups import Hierarchies
from ingot.machine.container.ids import FIRST_ID, ID_COUNT
from ingot.machine.container.seccomp import PROFILE
from ingot.machine.contract import Finding

_CAP_SYS_ADMIN = 21
_GIVEN_IDS = (Path("/etc/subuid"), Path("/etc/subgid"))
_TOOLS = {
    "runc": "runc",
    "slirp4netns": "slirp4netns",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "mkfs.ext4": "e2fsprogs",
    "unshare": "util-linux",
    "nsenter": "util-linux",
}


async def find(run_dir: Path, hierarchies: Hierarchies) -> Sequence[Finding]:
    """Every finding, the needed ones first."""
    tools = [_tool(program, package) for program, package in _TOOLS.items()]
    return [
        _root(),
        *tools,
        _profile(),
        _overlay(),
        _device("/dev/net/tun", "tun"),
        _device("/dev/loop-control", "loop"),
        _user_namespaces(),
        _run_dir(run_dir),
        _own_ids(),
        *_limits(hierarchies),
    ]


def _root() -> Finding:
    """Root of an unprivileged container may not mount, and cannot make containers of its own."""
    if os.geteuid() != 0:
        return Finding("root", False, "containers need root", "run `ingot up` as root")
    lines = Path("/proc/self/status").read_text().splitlines()
    held = int(next(line.split()[1] for line in lines if line.startswith("CapEff:")), 16)
    if not held & 1 << _CAP_SYS_ADMIN:
        why = "root without CAP_SYS_ADMIN, as in an unprivileged container"
        return Finding("root", False, why, "run `ingot up` on the host itself, or with --machine qemu")
    return Finding("root", True, "running as root")


def _tool(program: str, package: str) -> Finding:
    place = shutil.which(program)
    return Finding(
        program, place is not None, place or "not installed", None if place else f"apt-get install {package}"
    )


def _profile() -> Finding:
    ok = PROFILE.is_file()
    remedy = None if ok else "apt-get install golang-github-containers-common"
    return Finding("seccomp", ok, str(PROFILE) if ok else f"{PROFILE} is not there", remedy)


def _overlay() -> Finding:
    ok = "\toverlay\n" in Path("/proc/filesystems").read_text()
    return Finding("overlayfs", ok, "in the kernel" if ok else "not in the kernel", None if ok else "modprobe overlay")


def _device(path: str, module: str) -> Finding:
    ok = Path(path).exists()
    return Finding(path, ok, "there" if ok else "missing", None if ok else f"modprobe {module}")


def _user_namespaces() -> Finding:
    most = int(Path("/proc/sys/user/max_user_namespaces").read_text())
    remedy = None if most else "sysctl -w user.max_user_namespaces=10000"
    return Finding("user namespaces", most > 0, f"up to {most}", remedy)


def _run_dir(run_dir: Path) -> Finding:
    place = next(parent for parent in (run_dir, *run_dir.parents) if parent.exists())
    closed = [parent for parent in (place, *place.parents) if not parent.stat().st_mode & 0o001]
    detail = f"{run_dir} can be reached" if not closed else f"{closed[0]} is closed to other users"
    return Finding("run directory", not closed, detail, f"chmod o+x {closed[0]}" if closed else None)


def _own_ids() -> Finding:
    """A user who was given ids of the machines' range can become their root: Debian gives its first user those."""
    owners = sorted({owner for place in _GIVEN_IDS for owner in _owners_of_ids(place)})
    if not owners:
        return Finding("machines' ids", True, f"{FIRST_ID} to {FIRST_ID + ID_COUNT - 1}, nobody's", needed=False)
    detail = f"{', '.join(owners)} can act as root of every machine: {FIRST_ID} and up are theirs in {_GIVEN_IDS[0]}"
    last = FIRST_ID + ID_COUNT - 1
    remedy = f"usermod --del-subuids {FIRST_ID}-{last} --del-subgids {FIRST_ID}-{last} {owners[0]}"
    return Finding("machines' ids", False, detail, remedy, needed=False)


def _owners_of_ids(place: Path) -> Iterator[str]:
    """Who has ids of the machines' range, of lines `user:first:count`."""
    for line in place.read_text().splitlines() if place.is_file() else ():
        owner, first, count, *_ = (*line.split(":"), "", "")
        if first.isdecimal() and count.isdecimal():
            begin, end = int(first), int(first) + int(count)
            if begin < FIRST_ID + ID_COUNT and end > FIRST_ID:
                yield owner


def _limits(hierarchies: Hierarchies) -> list[Finding]:
    names = {"memory": "memory", "pids": "processes", "cpu": "CPU"}
    return [
        Finding(
            f"{words} limit",
            name in hierarchies.limited,
            f"control groups version {hierarchies.version}" if name in hierarchies.limited else "cannot be enforced",
            None if name in hierarchies.limited else f"give this system the {name} control group",
            needed=False,
        )
        for name, words in names.items()
    ]
