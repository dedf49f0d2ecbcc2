"""Templates for the tests: as small as a machine can be, with a name of their own each."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

_numbers = itertools.count(1)


def template(
    *run: str, name: str = "", version: str = "1.0.0", secrets: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """A document whose `build.run` steps are given; `build` in `more` adds to its build section."""
    build = {"run": list(run), **more.pop("build", {})}
    document: dict[str, Any] = {
        "api_version": "orgo.ai/v1",
        "template": {"name": name or fresh_name(), "version": version},
        "hardware": {"cpu": 1, "ram_gb": 1, "disk_gb": 1},
        "build": {key: value for key, value in build.items() if value},
    }
    if secrets:
        document["secrets"] = [{"name": secret} for secret in secrets]
    return document | more


def fresh_name() -> str:
    """A template's name that no other test uses, so that no two have the same content."""
    return f"made-{next(_numbers)}"


def pages(first: str, count: int) -> list[str]:
    """`count` run steps that write a file each and take no time."""
    return [f"echo {first} {number} > /srv/{first}-{number}" for number in range(1, count + 1)]
