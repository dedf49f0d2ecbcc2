"""Ingot bakes declarative templates into golden machine snapshots and streams every line of the bake."""

__version__ = "0.1.0"
