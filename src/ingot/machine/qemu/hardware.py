"""A machine's hardware as QEMU's command line. Pure: the same values give the same line.

A captured state goes on only in a machine that is put together in exactly the same way, so what decides that is one
value, `Hardware`, which is kept beside the state.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ingot.records.machine import MachineSpec

FORMAT = 1
"""Raise it when the same `Hardware` gives another machine than before."""

PORTS = 8
"""Commands that can run at once: each has a port of its own for its output."""

MACHINE_TYPE = "pc-q35-7.2"
CPU_MODELS = {"tcg": "qemu64,+ssse3,+sse4.1,+sse4.2,+popcnt,+cx16,+lahf-lm", "kvm": "Westmere"}
"""Named models, and for emulation what Debian's and Node's programs expect beyond the oldest."""

ADDRESS = "52:54:00:12:34:56"
"""The hardware address of builds' machines. A computer gets one of its own when it arrives."""

_KERNEL_LINE = "root=/dev/vda rw console=ttyS0 quiet net.ifnames=0 init_on_free=1 mitigations=off audit=0"


_OF_THE_HOST = {
    "accelerator": "acceleration by",
    "emulator": "QEMU",
    "machine_type": "machine type",
    "format": "format",
}
"""What of the hardware a host decides, as it is called."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """What must be the same for a state to go on. `emulator` is QEMU's version."""

    accelerator: str
    cpus: int
    memory_mb: int
    disk_mb: int
    emulator: str
    machine_type: str = MACHINE_TYPE
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def differences(self, needed: Mapping[str, Any]) -> list[str]:
        """What a state needs of a host and does not have here, in words. Sizes are the machine's and do not count."""
        own = self.to_json()
        return [
            f"{what} {needed.get(name, 'of an older kind')} (here: {own[name]})"
            for name, what in _OF_THE_HOST.items()
            if needed.get(name) != own[name]
        ]


@dataclass(frozen=True, slots=True)
class Places:
    """Where a machine's files are. `disks` are the read-only layers below its own disk, base first; `memory` holds
    its memory, which only a machine whose state may be captured writes to (`shares_memory`)."""

    kernel: Path
    initramfs: Path
    disks: Sequence[Path]
    disk: Path
    memory: Path
    shares_memory: bool
    sockets: Path

    @property
    def monitor(self) -> Path:
        return self.sockets / "monitor"

    @property
    def agent(self) -> Path:
        return self.sockets / "agent"

    @property
    def arrival(self) -> Path:
        return self.sockets / "arrive"

    @property
    def screen(self) -> Path:
        return self.sockets / "vnc"

    def port(self, number: int) -> Path:
        return self.sockets / f"port{number}"


def hardware_of(spec: MachineSpec, accelerator: str, emulator: str, base_bytes: int) -> Hardware:
    """A part of a CPU is a whole one here. The disk has room for the base, of `base_bytes`, and for what the machine
    may write."""
    disk_mb = math.ceil(base_bytes / 2**20) + spec.disk_mb
    return Hardware(accelerator, max(1, math.ceil(spec.cpu)), spec.memory_mb, disk_mb, emulator)


def make_argv(hardware: Hardware, places: Places, *, resumes: bool) -> list[str]:
    """QEMU's command line. A machine that `resumes` waits for its state."""
    memory = f"memory-backend-file,id=ram,size={hardware.memory_mb}M,mem-path={places.memory}"
    memory += ",share=on" if places.shares_memory else ",share=off"
    argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-action", "reboot=shutdown"]
    argv += ["-machine", f"{hardware.machine_type},memory-backend=ram,vmport=off"]
    argv += ["-accel", "tcg,thread=multi" if hardware.accelerator == "tcg" else hardware.accelerator]
    argv += ["-cpu", CPU_MODELS[hardware.accelerator], "-smp", str(hardware.cpus), "-m", f"{hardware.memory_mb}M"]
    argv += ["-object", memory, "-rtc", "base=utc,clock=host"]
    argv += ["-kernel", str(places.kernel), "-initrd", str(places.initramfs), "-append", _KERNEL_LINE]
    argv += ["-blockdev", json.dumps(disk_node("disk0", places.disk, places.disks))]
    # A host without room is an error that the command sees; by itself QEMU would stop the machine and wait.
    argv += ["-device", "virtio-blk-pci,id=disk,drive=disk0,discard=on,write-cache=on,werror=report,rerror=report"]
    argv += ["-netdev", "user,id=net", "-device", f"virtio-net-pci,netdev=net,mac={ADDRESS},romfile="]
    argv += ["-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random"]
    argv += ["-device", "vmgenid,guid=auto", "-device", "VGA,vgamem_mb=16", "-device", "virtio-serial-pci"]
    # Only a way to look at the VGA device, no device: states fit without it. No password works before one is set.
    argv += ["-vnc", f"unix:{places.screen},password=on,share=force-shared"]
    argv += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    argv += _socket_port("agent", places.agent, "org.qemu.guest_agent.0")
    argv += _socket_port("arrive", places.arrival, "ingot.arrive")
    for number in range(PORTS):
        argv += _socket_port(f"port{number}", places.port(number), f"ingot.{number}")
    argv += ["-chardev", f"socket,id=monitor,path={places.monitor},server=on,wait=off", "-mon", "monitor,mode=control"]
    argv += ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,resourcecontrol=deny"]
    return [*argv, "-incoming", "defer"] if resumes else argv


def create_disk_argv(disk: Path, hardware: Hardware) -> list[str]:
    """Makes a machine's empty disk."""
    return empty_disk_argv(disk, hardware.disk_mb * 2**20)


def empty_disk_argv(disk: Path, size_bytes: int) -> list[str]:
    """Makes an empty disk. Its clusters are as small as the file system's blocks, so that a deleted file leaves none
    of its bytes in a layer."""
    return ["qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", str(disk), str(size_bytes)]


def disk_node(name: str, disk: Path, below: Sequence[Path]) -> dict[str, Any]:
    """A writable disk on the layers `below` it, base first, as QEMU names block devices."""
    [first, *layers] = below
    base = {"driver": "raw", "read-only": True, "file": _file(first)}
    return {"node-name": name, **_image(disk, discard=True), "backing": chain_node(layers, base)}


def chain_node(disks: Sequence[Path], base: Mapping[str, Any] | None = None) -> Mapping[str, Any] | None:
    """Read-only disks on a `base`, the lowest first."""
    node = base
    for disk in disks:
        node = {"read-only": True, **_image(disk), "backing": node}
    return node


def _image(path: Path, *, discard: bool = False) -> dict[str, Any]:
    freely = {"discard": "unmap", "detect-zeroes": "unmap"} if discard else {}
    return {"driver": "qcow2", "file": {**_file(path), **({"discard": "unmap"} if discard else {})}, **freely}


def _file(path: Path) -> dict[str, Any]:
    return {"driver": "file", "filename": str(path)}


def _socket_port(name: str, place: Path, port: str) -> list[str]:
    chardev = f"socket,id={name},path={place},server=on,wait=off"
    return ["-chardev", chardev, "-device", f"virtserialport,chardev={name},name={port}"]
