"""What every start of a computer makes anew: a copy of a running machine leaves it out.

It names processes that the copy does not have, and holds secrets, which no layer may.
"""

from __future__ import annotations

_BELOW = "run/"
_FILES = frozenset({"root/.env"})


def is_volatile(path: str) -> bool:
    """Whether a file (no directory) of a machine is of that kind; `path` is relative to its root."""
    return path.startswith(_BELOW) or path in _FILES
