"""Which packages a layer brings, read from its files on the host: dpkg's status, pip's `*.dist-info`, npm's
`package.json`. Nothing is run, no link is followed, sizes are bounded; all functions block.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ingot.builder.scrub import find_residue
from ingot.store.tree import Entry, list_directory, read_file

TREE = "diff"
"""The directory in a layer's parts that holds its file tree, for the backends that have one."""

_MANAGERS = ("apt", "pip", "npm")
_STATUS = "var/lib/dpkg/status"
_NODE_MODULES = "usr/local/lib/node_modules"
_EXECUTABLE_PLACES = ("usr/bin", "usr/local/bin")
_TOLD_EXECUTABLES = ("pip", "pip3", "npm", "npx", "node")
_PARAGRAPH = re.compile(rb"^(Package|Status|Version): (.*)$", re.MULTILINE)
_MIB = 2**20


def describe_layer(parts: Path) -> dict[str, object]:
    """What a layer's `info` holds of its content: `packages` ({manager: {name: version, or None for removed}})
    and `residue` (paths that must not reach a golden)."""
    tree = parts / TREE
    packages = {"apt": _apt(tree), "pip": _pip(tree), "npm": _npm(tree)}
    return {
        "packages": {manager: found for manager, found in packages.items() if found},
        "residue": list(find_residue(tree)),
    }


def describe_base(parts: Path) -> dict[str, object]:
    """The same for a base image, and which package managers it has."""
    tree = parts / TREE
    there = {entry.path.rpartition("/")[2] for place in _EXECUTABLE_PLACES for entry in list_directory(tree, place)}
    return {**describe_layer(parts), "executables": [name for name in _TOLD_EXECUTABLES if name in there]}


def merge_packages(infos: Iterable[Mapping[str, object]]) -> dict[str, dict[str, str]]:
    """All packages of a stack, base first: {manager: {name: version}}, sorted by name."""
    merged: dict[str, dict[str, str]] = {manager: {} for manager in _MANAGERS}
    for info in infos:
        packages = info.get("packages")
        for manager, found in packages.items() if isinstance(packages, Mapping) else ():
            if manager == "apt":  # dpkg's status is always whole
                merged[manager] = {}
            for name, version in found.items():
                if version is None:
                    merged[manager].pop(name, None)
                else:
                    merged[manager][name] = version
    return {manager: dict(sorted(found.items())) for manager, found in merged.items()}


def _apt(tree: Path) -> dict[str, str | None]:
    content = read_file(tree, _STATUS, 64 * _MIB)
    found: dict[str, str | None] = {}
    for paragraph in (content or b"").split(b"\n\n"):
        fields = {match[1]: match[2].decode(errors="replace") for match in _PARAGRAPH.finditer(paragraph)}
        if fields.get(b"Status", "").endswith(" installed") and b"Package" in fields:
            found[fields[b"Package"]] = fields.get(b"Version", "")
    return found


def _pip(tree: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    places = [
        f"{entry.path}/dist-packages" for entry in list_directory(tree, "usr/local/lib") if "/python3" in entry.path
    ]
    entries = [entry for place in places for entry in list_directory(tree, place) if entry.path.endswith(".dist-info")]
    for entry in sorted(entries, key=lambda one: not one.is_whiteout):
        name, _, version = entry.path.rpartition("/")[2].removesuffix(".dist-info").partition("-")
        if entry.is_whiteout:
            found[_pip_name(name)] = None
        elif entry.is_directory:
            found[_pip_name(name)] = version
    return found


def _pip_name(name: str) -> str:
    return name.replace("_", "-").lower()


def _npm(tree: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for entry in _node_packages(tree):
        name = entry.path.removeprefix(f"{_NODE_MODULES}/")
        if entry.is_whiteout:
            found[name] = None
            continue
        content = read_file(tree, f"{entry.path}/package.json", _MIB)
        version = _node_version(content)
        if version is not None:
            found[name] = version
    return found


def _node_packages(tree: Path) -> Iterable[Entry]:
    for entry in list_directory(tree, _NODE_MODULES):
        if entry.path.rpartition("/")[2].startswith("@") and entry.is_directory:
            yield from list_directory(tree, entry.path)
        elif entry.is_directory or entry.is_whiteout:
            yield entry


def _node_version(content: bytes | None) -> str | None:
    try:
        package = json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None
    version = package.get("version") if isinstance(package, dict) else None
    return version if isinstance(version, str) else None
