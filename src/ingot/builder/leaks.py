"""Looks for secrets in what a step left behind: names, link targets and content of every file of its layer.

A step that was given a secret and wrote it down fails, so that no layer ever holds one. It finds a value as it is and
in base64; it cannot find one that the step encrypted or compressed. Blocks: call it in a thread.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path

from ingot.store.tree import open_directory, open_file, walk

_CHUNK = 4 * 2**20
_SHORTEST = 4


def find_leak(root: Path, secrets: Mapping[str, str]) -> tuple[str, str] | None:
    """(secret's name, path) of the first secret found below `root`, or None. Values shorter than four characters
    are not looked for: they are everywhere. Raises OSError for a tree nested too deeply to be looked through."""
    forms = {form: name for name, value in secrets.items() for form in _forms(value)}
    if not forms:
        return None
    pattern = re.compile(b"|".join(re.escape(form) for form in sorted(forms, key=len, reverse=True)))
    longest = max(len(form) for form in forms)
    for entry in walk(root):
        hit = pattern.search(os.fsencode(entry.path))
        if hit is None and entry.is_file:
            hit = _search_file(root, entry.path, pattern, longest)
        elif hit is None and stat.S_ISLNK(entry.mode):
            hit = pattern.search(_link_target(root, entry.path))
        if hit is not None:
            return forms[hit[0]], "/" + entry.path.partition("/")[2]
    return None


def _forms(value: str) -> set[bytes]:
    """The value's bytes, and its base64 in the three alignments, without the characters its neighbours share."""
    raw = value.encode()
    if len(raw) < _SHORTEST:
        return set()
    forms = {raw, raw.strip()} - {b""}
    if len(raw) >= 8:
        for shift in range(3):
            encoded = base64.b64encode(b"\0" * shift + raw)
            forms.add(encoded[(0, 2, 3)[shift] : len(encoded) - (0, 4, 3)[(shift + len(raw)) % 3]])
    return {form for form in forms if len(form) >= _SHORTEST}


def _search_file(root: Path, path: str, pattern: re.Pattern[bytes], longest: int) -> re.Match[bytes] | None:
    kept = b""
    with open_file(root, path) as descriptor:
        while chunk := os.read(descriptor, _CHUNK):
            window = kept + chunk
            if (hit := pattern.search(window)) is not None:
                return hit
            kept = window[-(longest - 1) :]
    return None


def _link_target(root: Path, path: str) -> bytes:
    parent, _, name = path.rpartition("/")
    with open_directory(root, parent) as directory:
        return os.fsencode(os.readlink(name, dir_fd=directory))
