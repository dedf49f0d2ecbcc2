"""Ports, addresses, health checks and the egress policy."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

from ingot.records.problem import ProblemCode
from ingot.template.rules.names import find_repeated
from ingot.template.rules.walk import Mapped, get_integer, get_map, get_text, list_maps, list_texts
from ingot.template.tree import Finding, Loc, show

RESERVED_PORTS = (5900, 5999, 6080, 8080)
HEALTH_FIELDS = {"http": "url", "tcp": "port", "command": "command", "process": "process"}

_ANY_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]+")
_HTTP_URL = re.compile(r"https?://[^\s/?#]+[^\s]*")
_RTMP_URL = re.compile(r"rtmps?://[^\s/?#]+[^\s]*")
_DOMAIN = re.compile(
    r"(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", re.I
)
_LONGEST_DOMAIN = 253


def check_ports(document: Mapped) -> Iterator[Finding]:
    """Reserved ports, and ports given twice; TCP, HTTP and WebSocket ports share one range."""
    taken: dict[str, list[tuple[Loc, object]]] = {"internal": [], "external": []}
    for loc, app in list_maps(document, "apps"):
        for place, port in list_maps(app, "ports", loc):
            internal = get_integer(port, "internal")
            if internal in RESERVED_PORTS:
                message = f"the port {internal} is reserved for the machine's display and agent"
                hint = f"reserved are {', '.join(str(one) for one in RESERVED_PORTS)}: let the service listen elsewhere"
                yield Finding((*place, "internal"), ProblemCode.RESERVED, message, hint)
            family = "udp" if port.get("protocol") == "udp" else "tcp"
            for side in ("internal", "external"):
                number = get_integer(port, side)
                if number:
                    taken[side].append(((*place, side), f"{number}/{family}"))
    for side, ports in taken.items():
        yield from find_repeated(ports, f"the {side} port")


def check_health(document: Mapped) -> Iterator[Finding]:
    """Each type of check has the field it works on."""
    for loc, app in list_maps(document, "apps"):
        health = get_map(app, "health")
        field = HEALTH_FIELDS.get(get_text(health, "type"))
        if field is not None and health.get(field) in (None, ""):
            message = f'a check of type {health["type"]} requires the field "{field}"'
            yield Finding((*loc, "health", field), ProblemCode.REQUIRED, message)


def check_addresses(document: Mapped) -> Iterator[Finding]:
    """Every field that holds a URL."""
    for loc, text, pattern, words in _addresses(document):
        if text and pattern.fullmatch(text) is None:
            yield Finding(loc, ProblemCode.INVALID_FORMAT, f"{show(text)} is not {words}")


def check_egress(document: Mapped) -> Iterator[Finding]:
    """Rules are domains, `*.domain`, addresses or networks."""
    for loc, rule in list_texts(get_map(document, "egress_policy"), "rules", ("egress_policy",)):
        if not _is_egress_rule(rule):
            message = f"{show(rule)} is no domain, *.domain, IP address or network such as 10.0.0.0/8"
            hint = "write the host alone, without scheme and path" if "://" in rule else None
            yield Finding(loc, ProblemCode.INVALID_FORMAT, message, hint)


def _is_egress_rule(rule: str) -> bool:
    try:
        ipaddress.ip_network(rule, strict=False)
    except ValueError:
        domain = rule.rpartition(".")[2]
        return len(rule) <= _LONGEST_DOMAIN and _DOMAIN.fullmatch(rule) is not None and not domain.isdigit()
    return True


_Address = tuple[Loc, str, re.Pattern[str], str]


def _addresses(document: Mapped) -> Iterator[_Address]:
    template = get_map(document, "template")
    for field in ("homepage", "source"):
        yield ("template", field), get_text(template, field), _ANY_URL, "a URL"
    for loc, secret in list_maps(document, "secrets"):
        yield (*loc, "docs_url"), get_text(secret, "docs_url"), _ANY_URL, "a URL"
    for loc, stream in list_maps(document, "streaming"):
        yield (*loc, "url"), get_text(stream, "url"), _RTMP_URL, "a URL that begins with rtmp:// or rtmps://"
    for loc, text in _web_addresses(document):
        yield loc, text, _HTTP_URL, "a URL that begins with http:// or https://"


def _web_addresses(document: Mapped) -> Iterator[tuple[Loc, str]]:
    yield ("wallpaper",), get_text(document, "wallpaper")
    yield ("telemetry", "otel_endpoint"), get_text(get_map(document, "telemetry"), "otel_endpoint")
    for loc, app in list_maps(document, "apps"):
        yield (*loc, "health", "url"), get_text(get_map(app, "health"), "url")
    for loc, trigger in list_maps(document, "triggers"):
        yield (*loc, "source", "url"), get_text(get_map(trigger, "source"), "url")
        for place, action in list_maps(trigger, "actions", loc):
            yield (*place, "url"), get_text(action, "url")
