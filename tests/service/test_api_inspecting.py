"""Services and their logs, and the screen of what builds, through the API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.api_server import PICTURE, Server, document, path_of, running_server

from ingot.errors import ConflictError
from ingot.records.account import Scope


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


async def launch(server: Server) -> str:
    made = await server.http.post("/api/computers", json={"template_ref": await server.ready_template()})
    return f"/api/computers/{made.json()['id']}"


async def test_services_are_listed_with_what_each_does(server: Server) -> None:
    answer = await server.http.get(f"{await launch(server)}/services", headers=await server.key(Scope.READ))
    assert answer.json() == {
        "services": [
            {"name": "web", "app": "site", "state": "running", "detail": "uptime 0:00:07", "pid": 12},
            {"name": "ingot-health", "app": None, "state": "fatal", "detail": "", "pid": None},
        ]
    }


async def test_a_log_is_text_and_its_tail_can_be_chosen(server: Server) -> None:
    place = f"{await launch(server)}/logs"
    answer = await server.http.get(f"{place}/web", headers=await server.key(Scope.READ))
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.content.decode() == "line 0 ö\nline 1 ö\nline 2 ö\n"
    assert (await server.http.get(f"{place}/web?tail=1")).content.decode() == "line 2 ö\n"
    for tail in ("0", "100001", "all"):
        refused = await server.http.get(f"{place}/web?tail={tail}")
        assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
    assert (await server.http.get(f"{place}/mail")).status_code == 404


async def test_one_that_is_off_or_anothers_says_so(server: Server) -> None:
    place = await launch(server)
    other = await server.key(Scope.READ, account="other")
    for path in ("services", "logs/web"):
        assert (await server.http.get(f"{place}/{path}", headers=other)).status_code == 404
    await server.http.post(f"{place}/stop")
    for path in ("services", "logs/web"):
        answer = await server.http.get(f"{place}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (409, "not_running")


async def test_the_screen_of_what_builds_is_a_png(server: Server) -> None:
    ref = (await server.publish(document("hello")))["ref"]
    place = f"{path_of(ref)}/build/screenshot"

    async def ask(headers: dict[str, str] | None = None) -> tuple[int, str]:
        answer = await server.http.get(place, headers=headers)
        return answer.status_code, answer.json()["code"]

    assert await ask() == (404, "nothing_builds")
    assert await ask(await server.key(Scope.BUILD)) == (403, "forbidden")
    await server.http.post(f"{path_of(ref)}/build")
    assert await ask() == (404, "nothing_builds")
    [build] = await server.services.queue.active("default")
    server.building.all[build.id] = ("default", None)
    answer = await server.http.get(place, headers=await server.key(Scope.READ))
    assert (answer.status_code, answer.content) == (200, PICTURE)
    assert answer.headers["Content-Type"] == "image/png"
    server.building.all[build.id] = ("default", ConflictError("no screen", code="no_screen"))
    assert await ask() == (409, "no_screen")
    server.building.all[build.id] = ("default", None)
    await server.finish_next()
    assert await ask() == (404, "nothing_builds")


async def test_who_joined_a_build_sees_it_only_where_it_is_the_accounts_own(server: Server) -> None:
    first = (await server.publish(document("hello")))["ref"]
    second = (await server.publish(document("hello").replace(b"1.0.0", b"1.0.0")))["ref"]
    assert first == second
    await server.http.post(f"{path_of(first)}/build")
    other = await server.key(*Scope, account="other")
    published = await server.publish(document("hello"), headers=other)
    await server.http.post(f"{path_of(published['ref'])}/build", headers=other)
    [leader] = await server.services.queue.active("default")
    [joiner] = await server.services.queue.active("other")
    assert joiner.joined_to == leader.id
    server.building.all[leader.id] = ("default", None)
    answer = await server.http.get(f"{path_of(published['ref'])}/build/screenshot", headers=other)
    assert (answer.status_code, answer.json()["code"]) == (404, "nothing_builds")
