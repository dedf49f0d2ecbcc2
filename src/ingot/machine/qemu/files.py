"""Files on their way into a machine and out of it, as tar archives that `tar` inside reads and writes."""

from __future__ import annotations

import io
import shlex
import tarfile
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ingot.errors import MachineError
from ingot.records.machine import GuestFile

_NOT_OURS = frozenset({"proc", "sys", "dev"})
MARK = "/run/ingot-mark"
"""As old as the last checkpoint: what is newer came after it."""

# Packages are told by few files: those that are new since the last checkpoint. That one of them changes meanwhile does
# no harm. Then everything goes to the disk, or this fails, and what is kept only for speed leaves the memory.
EXCERPT_SCRIPT = f"""cd / || exit 1
set -- var/lib/dpkg/status
for place in usr/local/lib/python3*/dist-packages usr/local/lib/node_modules; do
    [ -d "$place" ] && set -- "$@" "$place"
done
touch {MARK}.new 2>/dev/null
find "$@" -maxdepth 3 \\( -path '*/dpkg/status' -o -name '*.dist-info' -o -name package.json \\) \\
    -cnewer {MARK} -print0 2>/dev/null | tar --null --no-recursion -T - -cf - 2>/dev/null
fstrim / 2>/dev/null
sync -f / 2>/dev/null || exit 1
mv {MARK}.new {MARK}
echo 3 >/proc/sys/vm/drop_caches
"""


def check_path(path: str) -> None:
    """MachineError for what is no place for a file."""
    parts = PurePosixPath(path).parts
    if not path.startswith("/") or ".." in parts or len(parts) < 2 or path.endswith("/"):
        raise MachineError(f"{path!r} cannot be written in the machine: it is not an absolute path of a file")
    if parts[1] in _NOT_OURS:
        raise MachineError(f"{path!r} cannot be written in the machine: /{parts[1]} belongs to the kernel")


def pack_files(files: Sequence[GuestFile]) -> bytes:
    """Owners by name: they are looked up inside."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for file in files:
            entry = tarfile.TarInfo(file.path.lstrip("/"))
            entry.size, entry.mode, entry.mtime = len(file.content), file.mode & 0o7777, int(time.time())
            entry.uname, entry.gname = file.owner, file.group
            entry.uid = int(file.owner) if file.owner.isdigit() else 0
            entry.gid = int(file.group) if file.group.isdigit() else 0
            archive.addfile(entry, io.BytesIO(file.content))
    return content.getvalue()


def unpack_script(files: Sequence[GuestFile]) -> str:
    """Reads the archive from standard input; tells on a line of its own what cannot be written."""
    checks = []
    for kind, database, names in (
        ("user", "passwd", sorted({file.owner for file in files})),
        ("group", "group", sorted({file.group for file in files})),
    ):
        checks += [
            f"getent {database} {shlex.quote(name)} >/dev/null || "
            f"{{ echo 'there is no {kind} '{shlex.quote(name)}; exit 3; }}"
            for name in names
            if name != "root" and not name.isdigit()
        ]
    return "\n".join([*checks, "umask 022", "exec tar -xpf - -C / --no-overwrite-dir --warning=no-timestamp 2>&1"])


def unpack_excerpt(archive: bytes, into: Path) -> None:
    """What a machine sent of its own files, below `into`. It is hostile: nothing of it leads out, no link and no
    device is made, and no file larger than what was sent of it. Blocking."""
    into.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(fileobj=io.BytesIO(archive)) as source:
            for entry in source:
                if entry.isdir() or (entry.isfile() and not entry.issparse()):
                    source.extract(entry, into, filter="data")
    except tarfile.TarError as error:
        raise MachineError(f"the machine did not tell what it holds: {error}") from error
