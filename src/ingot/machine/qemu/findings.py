"""What this host offers to virtual machines, for `ingot doctor`; and whether its KVM works: tried, not assumed.

A host was seen where /dev/kvm opens and makes a machine that then hangs for ever. So a guest of five bytes is run, with
a deadline: it writes to the port of `isa-debug-exit`, which ends QEMU with a status of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingot.errors import DeadlineError, HostError
from ingot.machine.contract import Finding
from ingot.machine.own_root import REMEDY, can_be_own_root, is_root
from ingot.machine.qemu.home import default_run_dir
from ingot.machine.threads import in_thread
from ingot.process import run

_TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "qemu-storage-daemon": "qemu-system-common",
    "mmdebstrap": "mmdebstrap",
    "mkfs.ext4": "e2fsprogs",
    "zstd": "zstd",
}
_GUEST = bytes.fromhex("b010e6f4f4") + bytes(505) + b"\x55\xaa"
"""A boot sector: mov al, 16; out 0xf4, al; hlt."""
_ENDED_WELL = 16 << 1 | 1
_DEADLINE = 5.0
_BELIEVED = 3600.0
_DEVICE = Path("/dev/kvm")


@dataclass(frozen=True, slots=True)
class KvmTrial:
    """What came of trying KVM, in words."""

    works: bool
    detail: str


async def find(accelerator: str) -> Sequence[Finding]:
    """Every finding, the needed ones first."""
    tools = [_tool(program, package) for program, package in _TOOLS.items()]
    slow = "software emulation, about ten times slower than KVM"
    return [
        *tools,
        *([] if is_root() else [await _own_root()]),
        Finding("acceleration", accelerator == "kvm", "KVM" if accelerator == "kvm" else slow, needed=False),
    ]


async def try_kvm() -> KvmTrial:
    """Whether a guest runs with KVM. That it does is remembered for as long as this host is up, and that it does not
    for an hour: the host may only have been busy."""
    remembered = default_run_dir() / "kvm.json"
    key = f"{_boot_id()} {shutil.which('qemu-system-x86_64')} {_DEVICE.exists()}"
    if (known := await in_thread(partial(_recall, remembered, key))) is not None:
        return known
    trial = await _try()
    await in_thread(partial(_remember, remembered, key, trial))
    return trial


async def _try() -> KvmTrial:
    if not _DEVICE.exists():
        return KvmTrial(False, f"{_DEVICE} is not there")
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return KvmTrial(False, f"{_DEVICE} cannot be opened by this user")
    with tempfile.TemporaryDirectory(prefix="ingot-kvm-") as directory:
        guest = Path(directory) / "guest"
        guest.write_bytes(_GUEST)
        argv = [
            "qemu-system-x86_64",
            "-nodefaults",
            "-display",
            "none",
            "-machine",
            "q35",
            "-accel",
            "kvm",
            "-m",
            "16M",
        ]
        argv += ["-drive", f"file={guest},format=raw,if=ide,snapshot=on", "-device", "isa-debug-exit,iobase=0xf4"]
        try:
            status, said = await run(argv, timeout=_DEADLINE, check=False)
        except DeadlineError:
            return KvmTrial(False, f"a guest with KVM did nothing for {_DEADLINE:g} s")
        except HostError:
            return KvmTrial(False, "QEMU is not installed")
    if status == _ENDED_WELL:
        return KvmTrial(True, "a guest ran with KVM")
    words = said.decode(errors="replace").strip().splitlines()[-1:] or [f"status {status}"]
    return KvmTrial(False, f"a guest with KVM did not run: {words[0][:200]}")


async def _own_root() -> Finding:
    able = await can_be_own_root()
    detail = "this user has ids set aside" if able else "this user is not root, and has no ids set aside"
    return Finding("subordinate ids", able, f"{detail}: the base is made with them", None if able else REMEDY)


def _tool(program: str, package: str) -> Finding:
    place = shutil.which(program)
    remedy = None if place else f"apt-get install {package}"
    return Finding(program, place is not None, place or "not installed", remedy)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _recall(place: Path, key: str) -> KvmTrial | None:
    try:
        known = json.loads(place.read_text())
        trial, age = KvmTrial(bool(known["works"]), str(known["detail"])), time.time() - place.stat().st_mtime
        return trial if known["key"] == key and (trial.works or 0 <= age < _BELIEVED) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(place: Path, key: str, trial: KvmTrial) -> None:
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    beside = place.with_suffix(".new")
    beside.write_text(json.dumps({"key": key, "works": trial.works, "detail": trial.detail}))
    beside.replace(place)
