"""The wall clock as everything stored uses it: whole milliseconds since the epoch, UTC."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Milliseconds since the epoch; tests hand in their own."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000
