"""The texts that runc reads: a container's config.json and a command's process.json. Pure.

What a template's commands may do on this kernel is decided here and in `seccomp` and `network`: nothing
of the host's file tree is mounted, and the capabilities cannot reach beyond the container's own user
namespace. NET_RAW and NET_ADMIN are left out for good: a raw socket would pass by the network rules.
"""

from __future__ import annotations

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.machine.container.ids import FIRST_ID, ID_COUNT
from ingot.machine.environment import DEFAULT_ENVIRONMENT

CAPABILITIES = tuple(
    "CAP_" + name
    for name in (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)

HOSTNAME = "ingot"

OPEN_FILES = min(65_536, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
"""Files that a process inside may have open: no more than this server may allow."""

# The first process: reaps what is orphaned, and ends (and with it the PID namespace) when its standard
# input closes, which is when the server ends, however it ends. Reading is left to a child because a shell
# reaps only while it waits; a child that someone inside killed is started again.
_FIRST_PROCESS = (
    "exec 3<&0 </dev/null >/dev/null 2>&1; trap '' HUP INT TERM; "
    "while :; do { read -r _ <&3; } & wait $!; [ $? = 1 ] && exit; done"
)

# A command's wrapper: runc hands over the output pipe as descriptor 3 and standard input as 4, so that
# runc itself never waits for a daemon that keeps its output open.
_COMMAND = 'cd -- "$1" >&3 2>&3 || exit 126; shift; exec "$@" <&4 >&3 2>&3 3>&- 4>&-'
PASSED_DESCRIPTORS = 2

# A shell's wrapper: runc hands over the terminal as both. Opening it anew, as the session's leader, makes it the
# session's own, which is what Ctrl-C, job control and hanging up need.
_TERMINAL = 'cd -- "$1" 2>/dev/null; shift; exec "$@" <>/proc/self/fd/3 >&0 2>&0 3>&- 4>&-'

_MASKED = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/kallsyms",
    "/proc/config.gz",
    "/proc/interrupts",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/sys/kernel/debug",
    "/sys/kernel/tracing",
    "/sys/kernel/security",
)
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")


@dataclass(frozen=True, slots=True)
class GuestUser:
    """Ids inside of who runs a command, and where they are at home."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def config_json(
    *,
    root: Path,
    namespaces: Mapping[str, Path],
    binds: Mapping[str, Path],
    cgroup: str,
    resources: Mapping[str, Any],
    seccomp: Mapping[str, Any] | None,
    label: str,
    hostname: str = HOSTNAME,
) -> dict[str, Any]:
    """The container. `namespaces` names the prepared ones (`user`, `network`) by path, `binds` maps a path
    inside to a host directory of this machine's own (download caches)."""
    linux: dict[str, Any] = {
        "namespaces": [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "cgroup")]
        + [{"type": kind, "path": str(path)} for kind, path in namespaces.items()],
        "uidMappings": [{"containerID": 0, "hostID": FIRST_ID, "size": ID_COUNT}],
        "gidMappings": [{"containerID": 0, "hostID": FIRST_ID, "size": ID_COUNT}],
        "cgroupsPath": cgroup,
        "maskedPaths": list(_MASKED),
        "readonlyPaths": list(_READ_ONLY),
        "rootfsPropagation": "rprivate",
        "sysctl": {"net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 65535"},
    }
    if resources:
        linux["resources"] = dict(resources)
    if seccomp is not None:
        linux["seccomp"] = dict(seccomp)
    return {
        "ociVersion": "1.0.2",
        "process": _process(GuestUser("root", 0, 0, (), "/root"), ["/bin/sh", "-c", _FIRST_PROCESS, label], {}),
        "root": {"path": str(root), "readonly": False},
        "hostname": hostname,
        "mounts": [*_mounts(), *(_bind(target, source) for target, source in binds.items())],
        "linux": linux,
    }


def process_json(argv: Sequence[str], user: GuestUser, env: Mapping[str, str], cwd: str) -> dict[str, Any]:
    """A command for `runc exec --process`."""
    return _process(user, ["/bin/sh", "-c", _COMMAND, "sh", cwd, *argv], env)


def shell_json(argv: Sequence[str], user: GuestUser, env: Mapping[str, str]) -> dict[str, Any]:
    """The same for a shell on a terminal, in its user's home."""
    return _process(user, ["/bin/sh", "-c", _TERMINAL, "sh", user.home, *argv], env)


def _process(user: GuestUser, argv: list[str], env: Mapping[str, str]) -> dict[str, Any]:
    merged = {**DEFAULT_ENVIRONMENT, "HOME": user.home, "USER": user.name, **env}
    held = list(CAPABILITIES) if user.uid == 0 else []
    return {
        "terminal": False,
        "user": {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)},
        "args": argv,
        "env": [f"{name}={value}" for name, value in merged.items()],
        "cwd": "/",
        "capabilities": {"bounding": list(CAPABILITIES), "effective": held, "permitted": held},
        "noNewPrivileges": False,
        "rlimits": [_limit("NOFILE", OPEN_FILES), _limit("CORE", 0)],
        "oomScoreAdj": 500,
    }


def _limit(name: str, value: int) -> dict[str, Any]:
    return {"type": f"RLIMIT_{name}", "soft": value, "hard": value}


def _mounts() -> list[dict[str, Any]]:
    return [
        {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
        _tmpfs("/dev", "nosuid", "strictatime", "mode=755", "size=64k"),
        {
            "destination": "/dev/pts",
            "type": "devpts",
            "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        },
        _tmpfs("/dev/shm", "nosuid", "noexec", "nodev", "mode=1777", "size=256m"),  # noqa: S108  a path inside
        {"destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": ["nosuid", "noexec", "nodev"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"]},
    ]


def _tmpfs(target: str, *options: str) -> dict[str, Any]:
    return {"destination": target, "type": "tmpfs", "source": "tmpfs", "options": list(options)}


def _bind(target: str, source: Path) -> dict[str, Any]:
    return {
        "destination": target,
        "type": "bind",
        "source": str(source),
        "options": ["bind", "nosuid", "nodev", "rw", "rprivate"],
    }
