"""A server that compresses its logs soon: the same stream before and after, also over a restart."""

from __future__ import annotations

import time

from tests.acceptance.conftest import NewServer
from tests.acceptance.documents import template
from tests.acceptance.server import path_of


def test_a_log_is_the_same_when_it_is_compressed(new_server: NewServer) -> None:
    server = new_server(log_compact_after="1")
    ref, frames = server.make(template("seq 1 5000"))
    logs = server.data / "logs"
    deadline = time.monotonic() + 60
    while not list(logs.glob("*/events.zst")) or list(logs.glob("*/events.sse")):
        assert time.monotonic() < deadline, "the log was not compressed"
        time.sleep(0.1)
    address = f"/api{path_of(ref)}/build/events"
    stored = b":\nretry: 2000\n" + b"".join(frame.raw for frame in frames)
    assert server.client.get(address).content == stored
    server.end_quietly()
    server.start()
    assert server.client.get(address).content == stored
    assert server.client.get(address, headers={"Last-Event-ID": frames[-1].id}).status_code == 204
