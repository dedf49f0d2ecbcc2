"""Turns the containers project's default seccomp profile into the form runc reads. Pure.

Stricter than the profile in one point: no new namespaces and no mounts, which the profile allows because
other runtimes nest containers. It never allows what the profile denies.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

PROFILE = Path("/usr/share/containers/seccomp.json")

_ARCHES = {"x86_64": "amd64", "aarch64": "arm64"}
_NATIVE = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}

_DENIED = frozenset(
    [
        "unshare",
        "setns",
        "mount",
        "umount",
        "umount2",
        "mount_setattr",
        "move_mount",
        "open_tree",
        "fsopen",
        "fsmount",
        "fsconfig",
        "fspick",
        "pivot_root",
        "name_to_handle_at",
        "keyctl",
        "add_key",
        "request_key",
    ]
)
_NEW_NAMESPACES = 0x7E020000
"""Every CLONE_NEW* flag that `clone` takes. `clone3` hides its flags behind a pointer: it answers ENOSYS,
and C libraries fall back to `clone`."""
_EPERM, _ENOSYS = 1, 38


def convert_profile(profile: Mapping[str, Any], machine: str, capabilities: Iterable[str]) -> dict[str, Any]:
    """The `linux.seccomp` object for a container with `capabilities` on `machine` (`uname -m`)."""
    arch, held = _ARCHES.get(machine, machine), frozenset(capabilities)
    rules = [_rule(entry) for entry in profile["syscalls"] if _applies(entry, arch, held)]
    syscalls = [rule for rule in rules if rule["names"]]
    syscalls.append({"names": sorted(_DENIED), "action": "SCMP_ACT_ERRNO", "errnoRet": _EPERM})
    syscalls.append({"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": _ENOSYS})
    syscalls.append(
        {
            "names": ["clone"],
            "action": "SCMP_ACT_ALLOW",
            "args": [{"index": 0, "value": _NEW_NAMESPACES, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"}],
        }
    )
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile.get("defaultErrnoRet", _EPERM),
        "architectures": _architectures(profile, machine),
        "syscalls": syscalls,
    }


def load_profile() -> dict[str, Any]:
    """The profile of this host, or what raises OSError when its package is not installed."""
    content: dict[str, Any] = json.loads(PROFILE.read_text())
    return content


def _applies(entry: Mapping[str, Any], arch: str, held: frozenset[str]) -> bool:
    includes, excludes = entry.get("includes") or {}, entry.get("excludes") or {}
    if includes.get("arches") and arch not in includes["arches"]:
        return False
    if arch in (excludes.get("arches") or ()):
        return False
    if not set(includes.get("caps") or ()) <= held:
        return False
    return not held & set(excludes.get("caps") or ())


def _rule(entry: Mapping[str, Any]) -> dict[str, Any]:
    allowed = entry["action"] == "SCMP_ACT_ALLOW"
    denied = _DENIED | {"clone", "clone3"}
    rule: dict[str, Any] = {
        "names": [name for name in entry["names"] if name not in denied],
        "action": entry["action"],
    }
    if not allowed and "errnoRet" in entry:
        rule["errnoRet"] = entry["errnoRet"]
    if entry.get("args"):
        rule["args"] = entry["args"]
    return rule


def _architectures(profile: Mapping[str, Any], machine: str) -> list[str]:
    native = _NATIVE.get(machine)
    for entry in profile.get("archMap", ()):
        if entry["architecture"] == native:
            return [native, *entry.get("subArchitectures", ())]
    return [native] if native else []
