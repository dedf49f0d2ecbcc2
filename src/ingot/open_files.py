"""How many files and connections this process may have open, and how many event streams that is."""

from __future__ import annotations

import resource

_A_STREAM = 2
_OTHERS = 1000
"""Descriptors for all that is no stream; a quarter where there are few."""


def raise_limit(streams: int) -> int:
    """Raises this process's limit as far as so many streams need, and as it may; how many it is enough for."""
    soft, hard = (_finite(limit) for limit in resource.getrlimit(resource.RLIMIT_NOFILE))
    wanted = min(hard, needed_for(streams))
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    return min(streams, enough_for(max(soft, wanted)))


def hard_limit() -> int:
    """What this process may raise its limit to."""
    return _finite(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def needed_for(streams: int) -> int:
    """The limit of descriptors that so many streams need."""
    return streams * _A_STREAM + _OTHERS


def enough_for(limit: int) -> int:
    """The streams that fit a limit of descriptors."""
    return max(1, (limit - min(_OTHERS, limit // 4)) // _A_STREAM)


def _finite(limit: int) -> int:
    return 1 << 30 if limit == resource.RLIM_INFINITY else limit
