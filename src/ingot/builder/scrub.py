"""What no golden may carry: temporary files, histories, logs, identities, package lists; and how it is removed.

`find_residue` looks at a layer on the host, so that a layer without any costs no command in the machine;
`SCRUB` is what runs inside when there is some. The two name the same things.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterator
from pathlib import Path

from ingot.guest import layout
from ingot.store.tree import Entry, list_directory, walk

SCRUB_FORMAT = 1
"""Part of a closing layer's key: raise it when the scrub's result changes."""

_HISTORIES = (".bash_history", ".python_history", ".node_repl_history", ".lesshst", ".wget-hsts", ".viminfo")

SCRUB = f"""
set -u
find /tmp /var/tmp -xdev -mindepth 1 -delete
for home in /root /home/*; do
  for name in {" ".join(_HISTORIES)}; do
    if [ -e "$home/$name" ]; then rm -f "$home/$name"; fi
  done
done
rm -rf {layout.LOGS}
find /run -xdev -mindepth 1 ! -type d -delete
find /var/log -xdev -type f \\( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' \\) -delete
find /var/log -xdev -type f -size +0 -exec truncate -s 0 {{}} +
if [ -s /etc/machine-id ]; then : > /etc/machine-id; fi
rm -f /var/lib/dbus/machine-id /etc/ssh/ssh_host_*
rm -f /var/cache/apt/*.bin
for place in /var/lib/apt/lists /var/cache/apt/archives; do
  if ! mountpoint -q "$place"; then find "$place" -xdev -mindepth 1 -type f -delete; fi
done
"""

SCRUB_RUNNING = f"""
set -u
since={layout.SUPERVISOR_PID}
if [ -e "$since" ]; then spared="! -newer $since"; else spared=""; fi
find /tmp /var/tmp -xdev -mindepth 1 -depth $spared ! -type s -delete 2>/dev/null
for home in /root /home/*; do
  for name in {" ".join(_HISTORIES)} .cache/pip; do rm -rf "$home/$name"; done
done
find /var/log -xdev -type f \\( -name '*.gz' -o -name '*.[0-9]' -o -name '*.old' \\) -delete
find /var/log -xdev -type f -size +0 -exec truncate -s 0 {{}} +
rm -f /etc/ssh/ssh_host_* /var/cache/apt/*.bin
find /var/lib/apt/lists /var/cache/apt/archives -xdev -mindepth 1 -type f -delete
true
"""
"""The same in a machine that goes on: what services have open, or made since they started, stays."""

_FILES = (
    *(f"root/{name}" for name in _HISTORIES),
    "var/lib/dbus/machine-id",
    "etc/ssh/ssh_host_*",
    "var/cache/apt/*.bin",
)
_FULL = ("etc/machine-id",)
_TREES = ("tmp", "var/tmp", "run", "var/log", "var/lib/apt/lists", "var/cache/apt/archives")
_MOST = 20


def find_residue(diff: Path) -> tuple[str, ...]:
    """Paths in a layer's tree that must not reach a golden, twenty at most. Blocks; safe on hostile trees."""
    found: list[str] = []
    for path in _residue(diff):
        found.append(path)
        if len(found) == _MOST:
            break
    return tuple(found)


def _residue(diff: Path) -> Iterator[str]:
    for pattern in _FILES:
        parent, _, name = pattern.rpartition("/")
        yield from (f"/{entry.path}" for entry in _files(diff, parent) if fnmatch.fnmatchcase(_name(entry), name))
    for path in _FULL:
        parent, _, name = path.rpartition("/")
        yield from (f"/{path}" for entry in _files(diff, parent) if _name(entry) == name and entry.size)
    for home in list_directory(diff, "home"):
        yield from (f"/{entry.path}" for entry in _files(diff, home.path) if _name(entry) in _HISTORIES)
    for top in _TREES:
        yield from (f"/{entry.path}" for entry in _tree(diff, top) if _counts(entry, top))


def _counts(entry: Entry, top: str) -> bool:
    """Below temporary directories everything counts; elsewhere only files, and logs only with something in them."""
    if top in ("tmp", "var/tmp"):
        return not entry.is_whiteout
    if top == "run":
        return not (entry.is_whiteout or entry.is_directory)
    return entry.is_file and (entry.size > 0 if top == "var/log" else _name(entry) != "lock")


def _tree(diff: Path, top: str) -> Iterator[Entry]:
    try:
        yield from walk(diff, top)
    except OSError:
        return


def _files(diff: Path, directory: str) -> Iterator[Entry]:
    return (entry for entry in list_directory(diff, directory) if entry.is_file)


def _name(entry: Entry) -> str:
    return entry.path.rpartition("/")[2]
