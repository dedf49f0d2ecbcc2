"""A server whose disk is full: what only looks goes on, and what has to be written is refused in words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from tests.service.api_server import HELLO, Server, document, path_of, running_server
from tests.small_disk import SmallDisk, small_disk

from ingot import access, sessions
from ingot.client.http import error_from

YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Server, SmallDisk]]:
    """A server that notes at every request when a key and a session were used."""
    monkeypatch.setattr(access, "_LAST_USED_STEP_MS", 0)
    monkeypatch.setattr(sessions, "_USED_STEP_MS", 0)
    with small_disk(tmp_path) as disk:
        async with running_server(tmp_path) as server:
            yield server, disk


async def test_what_looks_goes_on_and_what_changes_is_refused(full: tuple[Server, SmallDisk]) -> None:
    server, disk = full
    ref = await server.ready_template()
    session = await server.http.post("/api/session", json={"key": server.api_key}, headers={"Origin": server.url})
    cookie = {"Cookie": session.headers["set-cookie"].partition(";")[0], "Authorization": ""}
    disk.take_all()
    try:
        for who in ({}, cookie):
            for path in ("/api/templates", f"{path_of(ref)}/build", f"{path_of(ref)}/build/events?follow=0"):
                answer = await server.http.get(path, headers=who)
                assert answer.status_code == 200, (who, path, answer.text)
        plan = await server.http.post("/api/templates/plan", content=HELLO, headers=YAML)
        assert plan.status_code == 200
        refused = await server.http.post("/api/templates", content=document("more"), headers=YAML)
        assert (refused.status_code, refused.json()["code"]) == (507, "out_of_disk")
        assert refused.json()["error"].startswith("the server's disk is full; free space on the disk of its data")
    finally:
        disk.release()
    await server.publish(document("more"))


def test_the_client_passes_the_words_on_and_sends_nobody_to_a_log() -> None:
    body = b'{"error": "the server\'s disk is full; free space", "code": "out_of_disk", "request_id": "x"}'
    error = error_from(507, httpx2.Headers(), body, "http://127.0.0.1:1/api/templates")
    assert (str(error), error.code) == ("the server's disk is full; free space", "out_of_disk")
