"""The names under which a server may be called: a page that has its own name lead here (DNS rebinding) is refused."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ingot.errors import ForbiddenError


def check_host(host: str | None, hosts: frozenset[str] | None) -> None:
    """Looks at a Host header, which every browser sends. `hosts` are taken besides the names of loopback; None: any."""
    if host is None or hosts is None:
        return
    name = _name_in(host)
    if name not in hosts and not is_loopback(name):
        hint = "call it by its own address, or have its operator name this one in `hosts` (INGOT_HOSTS)"
        raise ForbiddenError(f"this server is not known as {host[:100]!r}", hint=hint, code="bad_host")


def is_loopback(name: str) -> bool:
    """Whether a host's name or address is of this very host."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def _name_in(host: str) -> str:
    """The name in a Host header; empty for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
