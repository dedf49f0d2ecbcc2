"""A machine's running state as files: memory, the devices' state, and the hardware that they fit. Blocking.

    memory.bin     the machine's memory, sparse: pages of zeros are holes
    device.bin     what QEMU's migration writes of everything else
    state.json     the hardware, whether the state is a part of the layer, and when it was captured

`state.json` is written last: without it there is no state.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingot.machine.qemu.hardware import Hardware

MEMORY, DEVICES, RECORD = "memory.bin", "device.bin", "state.json"
_CHUNK = 1024 * 1024
_PAGE = 4096
_FICLONE = 0x40049409
_ZERO_CHUNK, _ZERO_PAGE = bytes(_CHUNK), bytes(_PAGE)


@dataclass(frozen=True, slots=True)
class State:
    """Where a captured state is, and what it needs."""

    memory: Path
    devices: Path
    hardware: Hardware


def find_state(layer: Path, hardware: Hardware) -> State | None:
    """The state in a layer's directory, when there is one that goes on in this hardware."""
    try:
        record = json.loads((layer / RECORD).read_bytes())
        fits = Hardware(**record["hardware"]) == hardware
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return State(layer / MEMORY, layer / DEVICES, hardware) if fits else None


def write_record(layer: Path, hardware: Hardware, *, belongs: bool) -> None:
    """`belongs`: the state is a part of the layer, and is archived with it."""
    place = layer / RECORD
    place.write_text(json.dumps({"hardware": hardware.to_json(), "belongs": belongs}))
    for path in (layer / MEMORY, layer / DEVICES, place, layer):
        sync(path)


def belongs(layer: Path) -> bool:
    """Whether a layer's state is archived with it."""
    try:
        return bool(json.loads((layer / RECORD).read_bytes())["belongs"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_hardware(layer: Path) -> dict[str, Any]:
    """The hardware that a layer's state fits, empty for a layer without one."""
    try:
        return dict(json.loads((layer / RECORD).read_bytes())["hardware"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def measure(layer: Path) -> int:
    """Bytes on disk of a layer's state, 0 for one without."""
    if not (layer / RECORD).exists():
        return 0
    return sum((layer / name).stat().st_blocks * 512 for name in (MEMORY, DEVICES, RECORD))


def remove(layer: Path) -> None:
    """Removes a layer's state, its record first: without that it is none."""
    for name in (RECORD, DEVICES, MEMORY):
        (layer / name).unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Returns when a file's bytes, or a directory's entries, are on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(top: Path) -> None:
    """The same for all that is in a directory. A file without bytes is on disk with its directory's entry."""
    for directory, _, names in os.walk(top, topdown=False):
        for path in (Path(directory) / name for name in names):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size:
                sync(path)
        sync(Path(directory))


def copy_sparsely(source: Path, target: Path) -> int:
    """Copies a file and leaves out what is zero; bytes written. Only what the source has allocated is read; where the
    file system shares blocks between files, nothing is."""
    written = 0
    with source.open("rb", buffering=0) as old, target.open("xb", buffering=0) as new:
        if _share_blocks(old.fileno(), new.fileno()):
            return 0
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        offset = 0
        while (begin := _seek(old.fileno(), offset, os.SEEK_DATA)) is not None:
            end = _seek(old.fileno(), begin, os.SEEK_HOLE) or size
            written += _copy_range(old.fileno(), new.fileno(), begin, end)
            offset = end
    return written


def update_copy(source: Path, target: Path) -> int:
    """Writes into a copy what has changed in its source since; bytes written. Reading costs far less than writing, so
    a machine that is copied while it runs stands still for this alone."""
    written = 0
    with source.open("rb", buffering=0) as old, target.open("r+b", buffering=0) as new:
        offset = 0
        while (begin := _seek(old.fileno(), offset, os.SEEK_DATA)) is not None:
            offset = _seek(old.fileno(), begin, os.SEEK_HOLE) or os.fstat(old.fileno()).st_size
            for place in range(begin, offset, _CHUNK):
                size = min(_CHUNK, offset - place)
                chunk, copied = os.pread(old.fileno(), size, place), os.pread(new.fileno(), size, place)
                if chunk != copied:
                    written += _write_changes(new.fileno(), place, chunk, copied)
    return written


def _write_changes(target: int, place: int, chunk: bytes, copied: bytes) -> int:
    written = 0
    for start in range(0, len(chunk), _PAGE):
        page = chunk[start : start + _PAGE]
        if page != copied[start : start + _PAGE]:
            written += os.pwrite(target, page, place + start)
    return written


def _share_blocks(source: int, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def _seek(descriptor: int, offset: int, whence: int) -> int | None:
    try:
        return os.lseek(descriptor, offset, whence)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole follows
            return None
        raise


def _copy_range(source: int, target: int, begin: int, end: int) -> int:
    written = 0
    for offset in range(begin, end, _CHUNK):
        chunk = os.pread(source, min(_CHUNK, end - offset), offset)
        if chunk == _ZERO_CHUNK[: len(chunk)]:
            continue
        if _ZERO_PAGE not in chunk:
            written += os.pwrite(target, chunk, offset)
            continue
        for start, stop in _filled(chunk):
            written += os.pwrite(target, chunk[start:stop], offset + start)
    return written


def _filled(chunk: bytes) -> list[tuple[int, int]]:
    """The ranges of whole pages that are not zero."""
    ranges: list[tuple[int, int]] = []
    for start in range(0, len(chunk), _PAGE):
        if chunk[start : start + _PAGE] == _ZERO_PAGE[: len(chunk) - start]:
            continue
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], start + _PAGE)
        else:
            ranges.append((start, start + _PAGE))
    return ranges
