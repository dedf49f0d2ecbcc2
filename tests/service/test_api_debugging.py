"""The held machine of a failed build over HTTP, and the client's calls for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server import Server, running_server

from ingot.client import Client
from ingot.errors import NotFoundError
from ingot.records.account import Scope
from ingot.records.ref import Ref

REF = Ref("default", "hello", "1.0.0")
PATH = "/api/templates/default/hello/1.0.0/build/machine"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        await server.publish()
        yield server


async def test_what_is_held_is_shown_used_and_ended(server: Server) -> None:
    server.held.hold(REF)
    assert (await server.http.get(PATH)).json() == {
        "ref": "default/hello@1.0.0",
        "attempt": 2,
        "phase": "install",
        "step": "run make",
        "held_at": "2026-05-28T20:26:40Z",
        "expires_at": "2026-05-28T20:56:40Z",
    }
    ran = await server.http.post(f"{PATH}/bash", json={"command": "exit 3", "timeout": 5})
    assert (ran.status_code, ran.json()) == (200, {"success": False, "output": "", "exit_code": 3})
    ended = await server.http.delete(PATH)
    assert (ended.status_code, ended.json()) == (200, {"deleted": True})
    assert server.held.all == {}


async def test_nothing_held_is_404(server: Server) -> None:
    answers = [
        await server.http.get(PATH),
        await server.http.post(f"{PATH}/bash", json={"command": "ls"}),
        await server.http.delete(PATH),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "nothing_held")] * 3
    assert answers[2].json()["error"] == "no machine of default/hello@1.0.0 is held; it may have expired"


async def test_another_accounts_machine_is_not_there(server: Server) -> None:
    server.held.hold(REF)
    other = await server.key(Scope.ADMIN, account="other")
    assert (await server.http.get(PATH, headers=other)).status_code == 404
    assert (await server.http.post(f"{PATH}/bash", json={"command": "ls"}, headers=other)).status_code == 404
    assert (await server.http.delete(PATH, headers=other)).status_code == 404
    assert server.held.get("default", REF)


async def test_it_takes_the_scope_build(server: Server) -> None:
    server.held.hold(REF)
    reader = await server.key(Scope.READ, Scope.PUBLISH, Scope.LAUNCH)
    refused = await server.http.post(f"{PATH}/bash", json={"command": "env"}, headers=reader)
    assert refused.status_code == 403
    assert "lacks the scope 'build'" in refused.json()["error"]
    builder = await server.key(Scope.BUILD)
    assert (await server.http.post(f"{PATH}/bash", json={"command": "env"}, headers=builder)).status_code == 200


async def test_deleting_the_template_ends_it(server: Server) -> None:
    server.held.hold(REF)
    assert (await server.http.delete(PATH.removesuffix("/build/machine"))).status_code == 200
    assert server.held.all == {}


async def test_the_client_says_the_same(server: Server) -> None:
    server.held.hold(REF)
    async with Client(server.url, server.http.headers["Authorization"].partition(" ")[2]) as client:
        held = await client.held_machine(REF)
        assert (held.step, held.attempt, held.expires_at) == ("run make", 2, "2026-05-28T20:56:40Z")
        assert (await client.debug(REF, "pwd")).output == "pwd\n"
        await client.end_held_machine(REF)
        with pytest.raises(NotFoundError, match=r"no machine of default/hello@1.0.0 is held") as caught:
            await client.held_machine(REF)
        assert caught.value.code == "nothing_held"
