"""Machines as containers: runc on overlayfs, with their own user, network and disk."""

from ingot.machine.container.backend import ContainerBackend, ContainerSettings

__all__ = ["ContainerBackend", "ContainerSettings"]
