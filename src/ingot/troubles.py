"""Work that goes on although a part of it fails: the server's log says so once, and again only after it went well."""

from __future__ import annotations

import logging
from types import TracebackType

from ingot.errors import IngotError


class Troubles:
    """What fails now in one part of the server. `count` grows with every failure."""

    def __init__(self, log: logging.Logger) -> None:
        self.count = 0
        self._log = log
        self._failing: set[str] = set()

    def outlived(self, what: str, *but: type[BaseException]) -> Outlived:
        """A context that swallows and tells any failure, except those of `but`. `what` is to be tried again."""
        return Outlived(self, what, but)

    def went_well(self, what: str) -> None:
        self._failing.discard(what)

    def failed(self, what: str, error: Exception) -> None:
        self.count += 1
        if what not in self._failing:
            self._failing.add(what)
            trace = None if isinstance(error, (IngotError, OSError)) else error
            told = "%s failed and is tried again: %s"
            self._log.error(told, what, error, exc_info=trace, extra={"action": "trouble"})


class Outlived:
    """See `Troubles.outlived`."""

    __slots__ = ("_but", "_troubles", "_what")

    def __init__(self, troubles: Troubles, what: str, but: tuple[type[BaseException], ...]) -> None:
        self._troubles = troubles
        self._what = what
        self._but = but

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if error is None:
            self._troubles.went_well(self._what)
            return False
        if not isinstance(error, Exception) or isinstance(error, self._but):
            return False
        self._troubles.failed(self._what, error)
        return True
