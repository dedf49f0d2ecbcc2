"""Names by content: the keys of layers and goldens, and nothing else. Pure.

A layer's key is a hash of the key below it, the step's kind and canonical content (commands, environment, user,
digests of files, secrets' fingerprints with their account), backend, architecture and the layer format's version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ingot.records.layer import LAYER_FORMAT
from ingot.records.machine import GuestFile, MachineSpec


def layer_key(parent: str, kind: str, content: Mapping[str, Any], *, backend: str, arch: str, salt: str = "") -> str:
    """`salt` is empty except for a build that ignores what is known: its layers are then nobody else's."""
    named = {
        "format": LAYER_FORMAT,
        "parent": parent,
        "kind": kind,
        "content": content,
        "backend": backend,
        "arch": arch,
    }
    return _hash({**named, "salt": salt} if salt else named)


def golden_key(digest: str, top: str, spec: MachineSpec) -> str:
    return _hash({"digest": digest, "top": top, "spec": asdict(spec)})


def file_content(file: GuestFile) -> dict[str, str]:
    """A file as part of a step's content."""
    return {
        "to": file.path,
        "sha256": hashlib.sha256(file.content).hexdigest(),
        "mode": f"{file.mode:04o}",
        "owner": file.owner,
        "group": file.group,
    }


def _hash(value: Mapping[str, Any]) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
