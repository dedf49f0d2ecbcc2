"""Suggests the name that an author probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_LONGEST_GUESSED = 64
_MOST_LISTED = 12


def suggest(name: object, known: Iterable[str], listed: str | None = "known are") -> str | None:
    """`did you mean "services"?`, else what is known, behind the words of `listed`, where that is short, else None."""
    names = sorted(set(known))
    if isinstance(name, str) and len(name) <= _LONGEST_GUESSED and len(names) <= 1024:
        close = get_close_matches(name.lower(), names, n=1, cutoff=0.6)
        if close:
            return f'did you mean "{close[0]}"?'
    return f"{listed} {', '.join(names)}" if listed is not None and 0 < len(names) <= _MOST_LISTED else None
