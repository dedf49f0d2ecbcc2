"""Machines as virtual machines: QEMU, resumed from captured states, with no privileges on the host."""

from ingot.machine.qemu.backend import QemuBackend, QemuSettings

__all__ = ["QemuBackend", "QemuSettings"]
