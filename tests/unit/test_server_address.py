"""The address that a server listens on, also right behind a server that was killed."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace

from tests.ports import held_port

from ingot.service import _listening
from ingot.settings import Settings


def test_a_port_that_a_killed_server_passes_on_is_waited_for() -> None:
    with held_port() as held:
        port = held.getsockname()[1]
        before = socket.create_server(("127.0.0.1", port))
        threading.Timer(0.3, before.close).start()
        with _listening(replace(Settings(), listen=f"127.0.0.1:{port}")) as sock:
            assert sock.getsockname()[1] == port
            assert before.fileno() == -1
