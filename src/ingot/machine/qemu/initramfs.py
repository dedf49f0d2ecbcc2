"""The initramfs of a machine: busybox, the modules that its disk needs, and `init`. Pure but for reading files.

The archive is a cpio of the kind `newc`, which is what kernels take, not compressed.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path

_MAGIC = b"070701"


def make_initramfs(busybox: Path, modules: Iterable[Path]) -> bytes:
    """`modules` are loaded in their order. The same files give the same bytes."""
    listed = list(modules)
    init = (resources.files("ingot.machine.qemu") / "payload" / "init").read_bytes()
    files = {"init": init, "bin/busybox": busybox.read_bytes()}
    files |= {f"modules/{module.name}": module.read_bytes() for module in listed}
    files["modules/order"] = "".join(f"{module.name}\n" for module in listed).encode()
    return pack_cpio(("bin", "dev", "modules", "proc", "root", "sys"), files)


def pack_cpio(directories: Iterable[str], files: Mapping[str, bytes]) -> bytes:
    """Directories, and files that may be executed, owned by root."""
    entries = [_entry(number, name, stat.S_IFDIR | 0o755, b"") for number, name in enumerate(directories, start=1)]
    entries.append(_entry(99, "dev/console", stat.S_IFCHR | 0o600, b"", device=(5, 1)))
    entries += [
        _entry(number, name, stat.S_IFREG | 0o755, body) for number, (name, body) in enumerate(files.items(), 100)
    ]
    return b"".join([*entries, _entry(0, "TRAILER!!!", 0, b"")])


def _entry(number: int, name: str, mode: int, body: bytes, device: tuple[int, int] = (0, 0)) -> bytes:
    path = name.encode() + b"\0"
    fields = (number, mode, 0, 0, 1, 0, len(body), 0, 0, *device, len(path), 0)
    head = _MAGIC + b"".join(b"%08x" % field for field in fields) + path
    return _padded(head) + _padded(body)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
