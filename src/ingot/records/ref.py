"""The name of a published template: `namespace/name@version`."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME_PATTERN = r"^[a-z0-9][a-z0-9-]{0,62}[a-z0-9]$|^[a-z0-9]$"
RESERVED_NAMESPACES = frozenset({"system", "global", "run", "validate"})

_NAME = re.compile(NAME_PATTERN)
_VERSION = re.compile(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)"
    r"(-((0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*))?"
    r"(\+([0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*))?$"
)


def is_name(text: str) -> bool:
    """True for a namespace or template name: lower-case letters, digits and inner dashes, 1 to 64."""
    return _NAME.fullmatch(text) is not None


def is_version(text: str) -> bool:
    """True for a semantic version (2.0.0), pre-release and build parts included, up to 128 characters."""
    return len(text) <= 128 and _VERSION.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    namespace: str
    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Reads `namespace/name@version`; ValueError says which part is wrong."""
        path, at, version = text.partition("@")
        namespace, slash, name = path.partition("/")
        if not at or not slash:
            raise ValueError(f"{text!r} is not a template reference; write namespace/name@version")
        for part, label in ((namespace, "namespace"), (name, "name")):
            if not is_name(part):
                raise ValueError(f"{part!r} is not a {label}; use lower-case letters, digits and inner dashes")
        if not is_version(version):
            raise ValueError(f"{version!r} is not a semantic version such as 1.0.0")
        return cls(namespace, name, version)
