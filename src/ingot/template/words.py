"""The patterns, closed value sets and limits that models, sugar and rules share.

Patterns are written for the three engines that read them (pydantic's, Python's, JSON Schema's): ASCII
classes only, anchored, no look-around.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from ingot.records.ref import is_version
from ingot.template.tree import show

SECRET_NAME = r"^[a-z0-9][a-z0-9_-]{0,62}[a-z0-9]$|^[a-z0-9]$"  # noqa: S105 # a pattern of names
ENV_NAME = r"^[A-Z_][A-Z0-9_]*$"
DURATION = r"^[0-9]+(ns|us|µs|ms|s|m|h)$"
RATE = r"^[0-9]+/[0-9]*(ns|us|µs|ms|s|m|h)$"
MODE = r"^[0-7]{3,4}$"
USER = r"^[a-z_][a-z0-9_-]{0,31}$"
RESOLUTION = r"^[1-9][0-9]{1,4}x[1-9][0-9]{1,4}x(8|16|24|32)$"
SEMVER = (
    r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)"
    r"(-((0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$"
)
CPU = (0.5, 1, 2, 4, 8, 16)
RAM_GB = (1, 2, 4, 8, 16, 32, 64)
LONGEST_DURATION = 366 * 24 * 3600.0

OURS: dict[str, Any] = {"x-ingot-extension": True}
"""Marks a field in the JSON Schema that `orgo.ai/v1` itself does not have."""

_DURATION = re.compile(r"([0-9]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}

PATTERN_WORDS: dict[str, str] = {
    SECRET_NAME: "lower-case letters, digits, inner dashes and underscores, 1 to 64 characters",
    ENV_NAME: "capital letters, digits and underscores, such as LOG_LEVEL",
    DURATION: "a whole number and a unit, such as 500ms, 30s, 5m or 1h",
    RATE: "a count and a duration, such as 10/1m",
    MODE: 'three or four octal digits, such as "0644"',
    USER: "a user or group name in lower case",
    RESOLUTION: "width, height and depth, such as 1280x800x24",
}
"""What a value of each pattern looks like, in words for a message."""


def parse_duration(text: str) -> float | None:
    """Seconds of `30s`, `5m`, `500ms` …; None where the text is no duration or longer than 366 days."""
    found = _DURATION.fullmatch(text) if len(text) <= 20 else None
    if found is None:
        return None
    seconds = int(found.group(1)) * _UNITS[found.group(2)]
    return seconds if seconds <= LONGEST_DURATION else None


def is_duration(text: str) -> bool:
    """True where the text is written as a duration, whatever its length."""
    return len(text) <= 20 and _DURATION.fullmatch(text) is not None


def _one_of(values: Sequence[float]) -> Callable[[float], float]:
    expected = ", ".join(str(value) for value in values)

    def check(value: float) -> float:
        if value not in values:
            raise PydanticCustomError("invalid_enum", "not one of {expected}", {"expected": expected})
        return value

    return check


def _check_version(text: str) -> str:
    if not is_version(text):
        raise PydanticCustomError(
            "invalid_format",
            "{shown} is not a semantic version",
            {"shown": show(text), "hint": "write three numbers, such as 1.0.0"},
        )
    return text


Version = Annotated[
    str, AfterValidator(_check_version), WithJsonSchema({"type": "string", "pattern": SEMVER, "maxLength": 128})
]
CpuCount = Annotated[float, AfterValidator(_one_of(CPU)), WithJsonSchema({"type": "number", "enum": list(CPU)})]
RamSize = Annotated[
    int,
    AfterValidator(_one_of(RAM_GB)),
    WithJsonSchema({"type": "integer", "enum": list(RAM_GB), "x-ingot-extension-values": [1, 2]}),
]
