"""Templates over HTTP: publish, validate, plan, look up, delete, and the public schema."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from api_server import HELLO, Server, document, path_of, running_server

from ingot.errors import CapacityError
from ingot.records.account import Scope

JSON_HELLO = {
    "api_version": "orgo.ai/v1",
    "template": {"name": "hello", "version": "1.0.0"},
    "build": {"run": ["echo hello"]},
}
YAML = {"Content-Type": "application/yaml"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


async def test_three_body_shapes_publish_the_same_content(server: Server) -> None:
    bodies = [
        JSON_HELLO,
        {"template": JSON_HELLO},
        {"namespace": "team", "name": "hello", "version": "1.0.0", "template": JSON_HELLO},
    ]
    answers = [await server.http.post("/api/templates", json=body) for body in bodies]
    assert [answer.status_code for answer in answers] == [201, 201, 201]
    first, second, third = (answer.json() for answer in answers)
    assert set(first) == {"ref", "digest", "published"}
    assert (first["ref"], third["ref"]) == ("default/hello@1.0.0", "team/hello@1.0.0")
    assert first == second
    assert first["digest"] == third["digest"]
    assert re.fullmatch("[0-9a-f]{64}", first["digest"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", first["published"])


@pytest.mark.parametrize("kind", ["application/yaml", "text/yaml", "application/x-yaml", "text/yaml; charset=utf-8"])
async def test_yaml_is_taken_under_each_of_its_names(server: Server, kind: str) -> None:
    answer = await server.http.post("/api/templates/validate", content=HELLO, headers={"Content-Type": kind})
    assert (answer.status_code, answer.json()["ok"]) == (200, True)


async def test_other_content_at_a_ref_is_409_and_force_replaces_it(server: Server) -> None:
    await server.publish()
    changed = document(run="echo changed")
    refused = await server.http.post("/api/templates", content=changed, headers=YAML)
    assert refused.status_code == 409
    assert refused.json()["error"].startswith("default/hello@1.0.0 is published already, with other content")
    forced = await server.http.post("/api/templates?force=true", content=changed, headers=YAML)
    assert forced.status_code == 201
    item = (await server.http.get("/api/templates/default/hello/1.0.0")).json()
    assert item["digest"] == forced.json()["digest"]
    assert item["template"]["build"]["run"] == ["echo changed"]


async def test_a_forced_publish_cancels_the_build_of_the_old_content(server: Server) -> None:
    await server.publish()
    await server.http.post("/api/templates/default/hello/1.0.0/build")
    await server.http.post("/api/templates?force=1", content=document(run="echo new"), headers=YAML)
    assert [build.cancel_requested for build in await server.services.queue.cancels()] == [True]


async def test_auto_build_starts_a_build_and_says_so(server: Server) -> None:
    answer = await server.http.post("/api/templates?auto_build=true", content=HELLO, headers=YAML)
    assert (answer.status_code, answer.json()["auto_build"]) == (201, "building")


async def test_auto_build_needs_the_scope_build_as_well(server: Server) -> None:
    headers = await server.key(Scope.PUBLISH)
    answer = await server.http.post("/api/templates?auto_build=1", content=HELLO, headers={**YAML, **headers})
    assert answer.status_code == 403
    assert answer.json()["error"].startswith("this API key lacks the scope 'build'")


async def test_a_document_for_a_later_version_is_published_with_warnings(server: Server) -> None:
    body = HELLO + b"files: [{to: /opt/x, from: 'git://example.com/x'}]\n"
    answer = await server.publish(body)
    assert answer["warnings"]


async def test_an_invalid_document_is_422_with_every_problem(server: Server) -> None:
    body = b"api_version: orgo.ai/v1\ntemplate: {name: Hello, version: '1'}\nbiuld: {}\n"
    answer = await server.http.post("/api/templates", content=body, headers=YAML)
    shown = answer.json()
    assert (answer.status_code, shown["code"]) == (422, "invalid_template")
    assert shown["request_id"] == answer.headers["X-Request-Id"]
    fields = {problem["field"]: problem for problem in shown["errors"]}
    assert set(fields) == {"template.name", "template.version", "biuld"}
    assert (fields["biuld"]["code"], fields["biuld"]["line"], fields["biuld"]["column"]) == ("unknown_field", 3, 1)
    assert "build" in fields["biuld"]["hint"]
    validated = await server.http.post("/api/templates/validate", content=body, headers=YAML)
    assert validated.status_code == 422
    assert validated.json() == {"ok": False, "errors": shown["errors"]}


async def test_validate_answers_the_canonical_document_and_publishes_nothing(server: Server) -> None:
    answer = await server.http.post(
        "/api/templates/validate", content=b"api_version: orgo.ai/v1\nname: a@1.0.0\ncpu: 2\n"
    )
    canonical = answer.json()["template"]
    assert (canonical["template"], canonical["hardware"]) == ({"name": "a", "version": "1.0.0"}, {"cpu": 2})
    assert (await server.http.get("/api/templates/default/a/1.0.0")).status_code == 404


async def test_plan_tells_the_steps_and_why(server: Server) -> None:
    answer = await server.http.post("/api/templates/plan", content=HELLO, headers=YAML)
    shown = answer.json()
    assert (answer.status_code, shown["ref"]) == (200, "default/hello@1.0.0")
    assert [(step["title"], step["action"], step["reason"]) for step in shown["steps"]] == [
        ("run echo hello", "run", "never built")
    ]


async def test_versions_are_listed_newest_first(server: Server) -> None:
    for version in ("1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1"):
        await server.publish(document(version=version))
    listed = (await server.http.get("/api/templates/default/hello")).json()["versions"]
    assert [item["ref"].partition("@")[2] for item in listed] == ["2.0.0-rc.1", "1.10.0", "1.9.0", "1.0.0"]


async def test_a_plus_in_a_version_is_no_space_encoded_or_not(server: Server) -> None:
    await server.publish(document(version="1.0.0+build.7"))
    for segment in ("1.0.0+build.7", "1.0.0%2Bbuild.7"):
        answer = await server.http.get(f"/api/templates/default/hello/{segment}")
        assert (answer.status_code, answer.json()["ref"]) == (200, "default/hello@1.0.0+build.7")
        assert (await server.http.post(f"/api/templates/default/hello/{segment}/build")).status_code == 202
    assert (await server.http.get("/api/templates/default/hello/1.0.0%20build.7")).status_code == 404


async def test_lists_show_the_account_and_the_curated_templates(server: Server) -> None:
    await server.publish()
    every = [item["ref"] for item in (await server.http.get("/api/templates")).json()["templates"]]
    assert "default/hello@1.0.0" in every
    assert every == sorted(every)
    own = (await server.http.get("/api/templates?namespace=default")).json()["templates"]
    assert [item["ref"] for item in own] == ["default/hello@1.0.0"]
    curated = (await server.http.get("/api/templates/global")).json()["templates"]
    assert curated
    assert {item["ref"].split("/")[0] for item in curated} == {"system"}
    name = curated[0]["ref"].partition("@")[0]
    versions = await server.http.get(f"/api/templates/global/{name}")
    assert versions.json()["versions"][0] in curated
    assert (await server.http.get("/api/templates/global/system/no-such")).status_code == 404


async def test_curated_templates_cannot_be_deleted_by_an_account(server: Server) -> None:
    curated = (await server.http.get("/api/templates/global")).json()["templates"][0]
    answer = await server.http.delete(path_of(curated["ref"]))
    assert (answer.status_code, answer.json()["code"]) == (403, "reserved_namespace")


async def test_a_template_is_deleted_but_not_while_it_builds(server: Server) -> None:
    await server.publish()
    await server.http.post("/api/templates/default/hello/1.0.0/build")
    building = await server.http.delete("/api/templates/default/hello/1.0.0")
    assert building.status_code == 409
    assert building.json()["error"].startswith("default/hello@1.0.0 is being built")
    await server.finish_next()
    deleted = await server.http.delete("/api/templates/default/hello/1.0.0")
    assert (deleted.status_code, deleted.json()) == (200, {"deleted": True})
    assert (await server.http.get("/api/templates/default/hello/1.0.0")).status_code == 404


async def test_another_accounts_template_is_not_there(server: Server) -> None:
    await server.publish()
    headers = await server.key(Scope.ADMIN, account="other")
    for method, path in (
        ("GET", ""),
        ("DELETE", ""),
        ("POST", "/build"),
        ("GET", "/build"),
        ("DELETE", "/build"),
        ("GET", "/builds"),
        ("GET", "/builds/1"),
        ("GET", "/build/events"),
    ):
        answer = await server.http.request(method, f"/api/templates/default/hello/1.0.0{path}", headers=headers)
        assert answer.status_code == 404, (method, path)
    assert (await server.publish(document(run="echo other"), headers))["ref"] == "default/hello@1.0.0"


async def test_the_schema_is_public_cacheable_and_for_any_page(server: Server) -> None:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as anyone:
        answer = await anyone.get("/api/template-schema", headers={"Origin": "https://editor.example"})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/schema+json")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert answer.headers["Cache-Control"].startswith("public")
        assert json.loads(answer.text)["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        again = await anyone.get("/api/template-schema", headers={"If-None-Match": f'W/"x", {answer.headers["ETag"]}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["Access-Control-Allow-Origin"] == "*"


async def test_the_event_stream_is_part_of_the_server(server: Server) -> None:
    ref = await server.ready_template()
    answer = await server.http.get(f"{path_of(ref)}/build/events?follow=0")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert (await server.http.post(f"{path_of(ref)}/build/events")).headers["Allow"] == "GET, HEAD, OPTIONS"


async def test_a_full_host_is_told_with_retry_after(server: Server) -> None:
    server.builds.fault = CapacityError("the host is full", retry_after=7)
    answer = await server.http.post("/api/templates/plan", content=HELLO, headers=YAML)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert answer.json()["error"] == "the host is full; try again in 7 s"


async def test_an_unforeseen_fault_shows_nothing_of_the_server(server: Server) -> None:
    server.builds.fault = RuntimeError("secret path /srv/x")
    answer = await server.http.post("/api/templates/plan", content=HELLO, headers=YAML)
    shown = answer.json()
    assert (answer.status_code, shown["code"]) == (500, "internal")
    assert "/srv/x" not in answer.text
    assert shown["request_id"] == answer.headers["X-Request-Id"]
