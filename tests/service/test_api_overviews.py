"""What a page asks for in one answer: lists with builds, what ended, how the host fares."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.api_server import STEP_FAILED, Server, document, path_of, running_server

from ingot import __version__
from ingot.records.account import Scope


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


async def test_templates_with_builds_are_templates_with_each_its_build_object(server: Server) -> None:
    await server.ready_template("ready")
    await server.publish(document("failed"))
    await server.http.post("/api/templates/default/failed/1.0.0/build")
    await server.finish_next(STEP_FAILED)
    for name in ("waits", "waits-too"):
        await server.publish(document(name))
        await server.http.post(f"/api/templates/default/{name}/1.0.0/build")
    await server.publish(document("never"))
    plain = (await server.http.get("/api/templates")).json()["templates"]
    assert all(item.keys() == {"ref", "digest", "published", "template"} for item in plain)
    listed = (await server.http.get("/api/templates?builds=true")).json()["templates"]
    assert [{**item, "build": None} for item in plain] == [{**item, "build": None} for item in listed]
    for item in listed:
        assert item["build"] == (await server.http.get(f"{path_of(item['ref'])}/build")).json()
    told = {item["ref"]: (item["build"]["status"], item["build"]["queue_position"]) for item in listed}
    assert told["default/ready@1.0.0"] == ("ready", None)
    assert told["default/failed@1.0.0"] == ("failed", None)
    assert told["default/waits-too@1.0.0"] == ("building", 2)
    assert told["default/never@1.0.0"] == told["system/blank@1.0.0"] == ("not_built", None)
    named = (await server.http.get("/api/templates?namespace=system&builds=1")).json()["templates"]
    assert all(item["ref"].startswith("system/") and "build" in item for item in named)


async def test_builds_that_ended_come_behind_those_under_way(server: Server) -> None:
    for name in ("a", "b", "c"):
        await server.ready_template(name)
    await server.publish(document("waits"))
    await server.http.post("/api/templates/default/waits/1.0.0/build")
    refs = [f"default/{name}@1.0.0" for name in ("waits", "c", "b", "a")]
    for query, count in (("", 1), ("?ended=0", 1), ("?ended=2", 3), ("?ended=100", 4)):
        builds = (await server.http.get(f"/api/builds{query}")).json()["builds"]
        assert [build["ref"] for build in builds] == refs[:count]
    assert (builds[0]["queue_position"], builds[1]["queue_position"]) == (1, None)
    for query in ("?ended=101", "?ended=-1", "?ended=x"):
        assert (await server.http.get(f"/api/builds{query}")).status_code == 400
    other = await server.http.get("/api/builds?ended=100", headers=await server.key(Scope.READ, account="other"))
    assert other.json() == {"builds": []}


async def test_the_overview_tells_of_the_server_and_its_host(server: Server) -> None:
    ref = await server.ready_template()
    await server.http.post("/api/computers", json={"template_ref": ref})
    await server.http.post(f"{path_of(ref)}/build?force=1")
    for _ in range(3):
        await server.services.vitals.sample()
    answer = await server.http.get("/api/admin/overview")
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["version"], shown["backend"], shown["slots"]) == (__version__, "scripted", 2)
    assert (shown["building"], shown["queued"], shown["open_streams"]) == (0, 1, 0)
    assert shown["computers"] == {"running": 1, "stopped": 0, "error": 0}
    assert shown["cpu"]["count"] >= 1
    assert 0 <= shown["cpu"]["busy"] <= 1
    assert 0 < shown["memory"]["available_bytes"] < shown["memory"]["total_bytes"]
    assert 0 < shown["disk"]["free_bytes"] < shown["disk"]["total_bytes"]
    assert shown["history"]["every_s"] == 10
    samples = shown["history"]["samples"]
    assert len(samples) == 3
    assert samples == sorted(samples, key=lambda sample: sample["at"])
    assert samples[-1]["queued"] == 1
    assert 0 < samples[-1]["disk_used_bytes"] <= shown["disk"]["total_bytes"]


async def test_what_the_data_takes_is_counted_beside_the_answers(server: Server, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * (3 << 20))
    async with asyncio.timeout(30):
        while (size := (await server.http.get("/api/admin/overview")).json()["disk"]["data_bytes"]) is None:
            await asyncio.sleep(0.01)
    assert size > 3 << 20


async def test_the_overview_is_the_operator_s_alone(server: Server) -> None:
    lesser = await server.key(*(scope for scope in Scope if scope is not Scope.ADMIN))
    assert (await server.http.get("/api/admin/overview", headers=lesser)).status_code == 403


async def test_history_keeps_an_hour(server: Server) -> None:
    for _ in range(365):
        await server.services.vitals.sample()
    samples = (await server.http.get("/api/admin/overview")).json()["history"]["samples"]
    assert len(samples) == 360
