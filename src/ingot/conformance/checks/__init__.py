"""The checks, in the order of the contract. Importing this registers them."""

from ingot.conformance.checks import access, ends, output, readers, resuming, selecting, wire

__all__ = ["access", "ends", "output", "readers", "resuming", "selecting", "wire"]
