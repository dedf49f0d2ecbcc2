"""Ports that stay a test's own, also while nobody listens on them."""

from __future__ import annotations

import socket


def held_port() -> socket.socket:
    """As long as the socket is open nobody else is given its port, and a server that is told it can listen there: both
    allow the address to be used again, and this one never listens. Until then connections are refused."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    return held
