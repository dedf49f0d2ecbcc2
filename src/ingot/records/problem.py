"""One thing wrong with a document, told so that its author can mend it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class ProblemCode(StrEnum):
    REQUIRED = "required"
    INVALID_TYPE = "invalid_type"
    INVALID_ENUM = "invalid_enum"
    INVALID_FORMAT = "invalid_format"
    OUT_OF_RANGE = "out_of_range"
    UNKNOWN_FIELD = "unknown_field"
    UNKNOWN_REF = "unknown_ref"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    RESERVED = "reserved"
    TOO_MANY = "too_many"


@dataclass(frozen=True, slots=True)
class Problem:
    """`field` as `apps[0].services[1].run` ("" is the whole document); `line` and `column` count from 1."""

    field: str
    code: ProblemCode
    message: str
    hint: str | None = None
    line: int | None = None
    column: int | None = None
