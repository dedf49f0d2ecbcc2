"""What a browser's page of another origin needs: tickets in the URL, and CORS for those that the operator names."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.api_server import Server, path_of, running_server

CONSOLE = "http://console.test"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


async def test_a_ticket_opens_the_stream_of_its_version_without_a_key(server: Server) -> None:
    ref = await server.ready_template()
    made = await server.http.post(f"{path_of(ref)}/build/events/ticket")
    assert made.status_code == 201
    assert made.json()["expires_at"].endswith("Z")
    url = f"{server.url}{path_of(ref)}/build/events?follow=0&ticket="
    answer = await server.http.get(url + made.json()["ticket"], headers={"Authorization": ""})
    assert answer.status_code == 200
    refused = await server.http.get(url + "tkt_wrong", headers={"Authorization": ""})
    assert refused.status_code == 401
    assert "POST …/build/events/ticket" in refused.json()["error"]


async def test_a_ticket_needs_a_key_and_a_version_that_is_there(server: Server) -> None:
    ref = await server.ready_template()
    without = await server.http.post(f"{path_of(ref)}/build/events/ticket", headers={"Authorization": ""})
    assert without.status_code == 401
    assert (await server.http.post("/api/templates/default/nobody/1.0.0/build/events/ticket")).status_code == 404


@pytest.mark.parametrize("address", ["/build/events?follow=0", "/build"])
async def test_a_named_origin_may_read_and_others_may_not(server: Server, address: str) -> None:
    path = path_of(await server.ready_template()) + address
    allowed = await server.http.get(path, headers={"Origin": CONSOLE})
    assert allowed.headers["Access-Control-Allow-Origin"] == CONSOLE
    assert "X-Build-Attempt" in allowed.headers["Access-Control-Expose-Headers"]
    assert allowed.headers["Vary"] == "Origin"
    foreign = await server.http.get(path, headers={"Origin": "http://evil.test"})
    assert "Access-Control-Allow-Origin" not in foreign.headers


async def test_a_preflight_is_answered_for_a_named_origin(server: Server) -> None:
    path = path_of(await server.ready_template()) + "/build/events"
    asked = {"Origin": CONSOLE, "Access-Control-Request-Method": "GET"}
    answer = await server.http.options(path, headers=asked)
    assert answer.status_code == 204
    assert "Last-Event-ID" in answer.headers["Access-Control-Allow-Headers"]
    foreign = await server.http.options(path, headers={**asked, "Origin": "http://evil.test"})
    assert "Access-Control-Allow-Methods" not in foreign.headers


async def test_a_named_origin_may_change_and_others_may_not(server: Server) -> None:
    path = path_of(await server.ready_template()) + "/build/events/ticket"
    assert (await server.http.post(path, headers={"Origin": CONSOLE})).status_code == 201
    assert (await server.http.post(path, headers={"Origin": "http://evil.test"})).status_code == 403
