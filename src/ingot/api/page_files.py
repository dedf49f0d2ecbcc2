"""The files of the console that were built, by their paths: looked up among the names of the directory, never put
together with it.
"""

from __future__ import annotations

import os
from pathlib import Path

from ingot.errors import NotFoundError

HASHED = "assets/"
"""Files below it have their content's hash in their name."""

_INDEX = "index.html"
_ENCODINGS = (("br", ".br"), ("gzip", ".gz"))


class PageFiles:
    """The files below `directory`, looked through again when its page has changed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stamp: tuple[int, int] | None = None
        self._names: frozenset[str] = frozenset()

    def find(self, path: str, accepted: frozenset[str]) -> tuple[Path, str | None] | None:
        """The file for `path` and how it is compressed, in one of the ways `accepted`; the page's for what is no file;
        None where nothing is built. Raises NotFoundError for a file that is gone."""
        self._look()
        if _INDEX not in self._names:
            return None
        if path not in self._names:
            if path.startswith(HASHED):
                raise NotFoundError(
                    "there is no such file of the console", hint="reload the page: it is another version"
                )
            path = _INDEX
        for encoding, suffix in _ENCODINGS:
            if encoding in accepted and path + suffix in self._names:
                return self._directory / (path + suffix), encoding
        return self._directory / path, None

    def _look(self) -> None:
        try:
            found = (self._directory / _INDEX).stat()
        except OSError:
            self._stamp, self._names = None, frozenset()
            return
        stamp = (found.st_ino, found.st_mtime_ns)
        if stamp != self._stamp:
            self._names = frozenset(_names_below(self._directory))
            self._stamp = stamp


def _names_below(directory: Path) -> list[str]:
    """Every plain file, as its path below the directory; links and hidden files are none."""
    return [
        (Path(place) / name).relative_to(directory).as_posix()
        for place, _, names in os.walk(directory)
        for name in names
        if not name.startswith(".") and not (Path(place) / name).is_symlink()
    ]
