"""The console's pages as the package build made them from `console/` at the repository's root. It only finds them."""

from __future__ import annotations

from pathlib import Path

PAGES = Path(__file__).with_name("dist")
"""Where they are, once they are built."""
