"""Secrets, keys, computers, administration and health over HTTP."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from api_server import Server, running_server

from ingot.records.account import Scope
from ingot.records.computer import ComputerStatus
from ingot.records.event import Result


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


async def test_a_secret_goes_in_and_never_comes_out(server: Server) -> None:
    put = await server.http.put("/api/secrets/token", json={"value": "correct horse battery"})
    assert (put.status_code, put.json()) == (200, {"name": "token", "warnings": []})
    listed = await server.http.get("/api/secrets")
    assert [set(entry) for entry in listed.json()["secrets"]] == [{"name", "created_at", "updated_at"}]
    assert "horse" not in listed.text
    assert (await server.services.vault.reveal_all("default")) == {"token": "correct horse battery"}
    deleted = await server.http.delete("/api/secrets/token")
    assert (deleted.status_code, deleted.content) == (204, b"")
    gone = await server.http.delete("/api/secrets/token")
    assert (gone.status_code, gone.json()["code"]) == (404, "secret_not_found")


async def test_a_secret_that_would_blank_logs_is_kept_with_a_warning(server: Server) -> None:
    put = await server.http.put("/api/secrets/user", json={"value": "root"})
    assert "common word" in put.json()["warnings"][0]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("Token", {"value": "x" * 8}, 422),
        ("token", {"value": ""}, 400),
        ("token", {"value": 7}, 400),
        ("token", {}, 400),
        ("token", {"value": "a\0b"}, 422),
        ("token", {"value": "x" * 65_537}, 422),
    ],
)
async def test_a_secret_that_cannot_be_kept_is_refused_without_showing_it(
    server: Server, name: str, body: dict[str, object], status: int
) -> None:
    answer = await server.http.put(f"/api/secrets/{name}", json=body)
    assert answer.status_code == status
    assert "xxxx" not in answer.text


async def test_a_key_is_shown_once_works_and_can_be_revoked(server: Server) -> None:
    made = await server.http.post("/api/keys", json={"name": "ci", "scopes": ["build", "read"]})
    assert (made.status_code, made.json()["scopes"]) == (201, ["read", "build"])
    headers = {"Authorization": f"Bearer {made.json()['key']}"}
    assert (await server.http.get("/api/builds", headers=headers)).status_code == 200
    listed = (await server.http.get("/api/keys")).json()["keys"]
    assert [entry["name"] for entry in listed] == ["first key", "ci"]
    assert all("key" not in entry for entry in listed)
    revoked = await server.http.delete(f"/api/keys/{made.json()['id']}")
    assert revoked.json() == {"deleted": True}
    refused = await server.http.get("/api/builds", headers=headers)
    assert refused.status_code == 401
    assert refused.json()["error"].startswith("Invalid API key")


async def test_another_accounts_key_cannot_be_revoked(server: Server) -> None:
    mine = (await server.http.get("/api/keys")).json()["keys"][0]
    other = await server.key(Scope.ADMIN, account="other")
    assert (await server.http.delete(f"/api/keys/{mine['id']}", headers=other)).status_code == 404


async def test_a_test_run_answers_as_documented_and_ends(server: Server) -> None:
    ref = await server.ready_template()
    started = await server.http.post("/api/templates/run", json={"ref": ref})
    shown = started.json()
    assert started.status_code == 200
    assert set(shown) == {"id", "desktop_id", "status", "vnc_password", "public_host", "resolution"}
    assert (shown["status"], shown["resolution"]) == ("running", "1280x800x24")
    ended = await server.http.delete("/api/templates/run", params={"id": shown["desktop_id"]})
    assert (ended.status_code, ended.json()) == (200, {"deleted": True})
    again = await server.http.delete("/api/templates/run", params={"id": shown["desktop_id"]})
    assert again.status_code == 404
    assert (await server.http.delete("/api/templates/run")).status_code == 400


async def test_a_computer_is_made_looked_at_used_and_deleted(server: Server) -> None:
    ref = await server.ready_template()
    body = {"template_ref": ref, "name": "box", "project_id": "p1", "cpu": 2, "ram": 8}
    made = await server.http.post("/api/computers", json=body)
    shown = made.json()
    assert (made.status_code, shown["name"], shown["workspace_id"], shown["ram"]) == (201, "box", "p1", 8)
    assert (shown["template_ref"], shown["template_ports"]) == (ref, [{"internal": 8000}])
    assert shown["created_at"] == "2026-05-28T20:26:40Z"
    path = f"/api/computers/{shown['id']}"
    assert (await server.http.get(path)).json() == shown
    assert (await server.http.get("/api/computers")).json() == {"computers": [shown]}
    said = await server.http.post(f"{path}/bash", json={"command": "hello"})
    assert said.json() == {"success": True, "output": "hello\n", "exit_code": 0}
    failed = await server.http.post(f"{path}/bash", json={"command": "exit 3", "timeout": 5})
    assert failed.json() == {"success": False, "output": "", "exit_code": 3}
    ran = await server.http.post(f"{path}/exec", json={"code": "print(1)"})
    assert ran.json()["output"] == "print(1)\n"
    assert (await server.http.post(f"{path}/stop")).json()["status"] == "stopped"
    stopped = await server.http.post(f"{path}/bash", json={"command": "hello"})
    assert (stopped.status_code, stopped.json()["error"]) == (409, "the computer is stopped")
    assert (await server.http.delete(path)).json() == {"deleted": True}
    assert (await server.http.get(path)).status_code == 404


async def test_a_computer_is_switched_off_and_on_and_cloned(server: Server) -> None:
    ref = await server.ready_template()
    made = (await server.http.post("/api/computers", json={"template_ref": ref, "name": "box"})).json()
    path = f"/api/computers/{made['id']}"
    for action, status in (("stop", "stopped"), ("start", "running"), ("restart", "running")):
        answer = await server.http.post(f"{path}/{action}")
        assert (answer.status_code, answer.json()["status"]) == (200, status)
    plain = await server.http.post(f"{path}/clone")
    named = await server.http.post(f"{path}/clone", json={"name": "twin", "project_id": "p2"})
    assert (plain.status_code, plain.json()["name"], plain.json()["workspace_id"]) == (201, "box-clone", None)
    assert (named.status_code, named.json()["name"], named.json()["workspace_id"]) == (201, "twin", "p2")
    assert len({made["id"], plain.json()["id"], named.json()["id"]}) == 3
    server.computers.all[made["id"]] = replace(server.computers.all[made["id"]], status=ComputerStatus.STARTING)
    refused = await server.http.post(f"{path}/stop")
    assert (refused.status_code, refused.json()["code"]) == (409, "in_transition")
    missing = await server.http.post(f"/api/computers/{uuid.UUID(int=5)}/start")
    assert (missing.status_code, missing.json()["error"]) == (404, "there is no such computer")


@pytest.mark.parametrize("kind", ["workspaces", "projects"])
async def test_workspaces_are_made_listed_looked_at_and_deleted(server: Server, kind: str) -> None:
    made = (await server.http.post(f"/api/{kind}", json={"name": "shop"})).json()
    assert set(made) == {"id", "name", "created_at"}
    listed = (await server.http.get(f"/api/{kind}")).json()
    assert listed == {"workspaces": [made], "projects": [made]}
    ref = await server.ready_template()
    body = {"template_ref": ref, "workspace_id": made["id"]}
    computer = (await server.http.post("/api/computers", json=body)).json()
    assert (await server.http.get(f"/api/{kind}/{made['id']}")).json() == {**made, "computers": [computer]}
    other = await server.key(Scope.ADMIN, account="other")
    assert (await server.http.get(f"/api/{kind}", headers=other)).json() == {"workspaces": [], "projects": []}
    hidden = await server.http.delete(f"/api/{kind}/{made['id']}", headers=other)
    assert (hidden.status_code, hidden.json()["code"]) == (404, "not_found")
    assert (await server.http.delete(f"/api/{kind}/{made['id']}")).json() == {"deleted": True}
    gone = await server.http.get(f"/api/{kind}/{made['id']}")
    assert (gone.status_code, gone.json()["error"]) == (
        404,
        f"there is no workspace {made['id']}; GET /api/workspaces lists yours",
    )
    assert (await server.http.post(f"/api/{kind}", json={"name": ""})).status_code == 400


async def test_another_accounts_computer_is_not_there(server: Server) -> None:
    ref = await server.ready_template()
    made = (await server.http.post("/api/computers", json={"template_ref": ref})).json()
    other = await server.key(Scope.ADMIN, account="other")
    path = f"/api/computers/{made['id']}"
    assert (await server.http.get(path, headers=other)).status_code == 404
    assert (await server.http.post(f"{path}/bash", json={"command": "id"}, headers=other)).status_code == 404
    assert (await server.http.delete(path, headers=other)).status_code == 404
    run = (await server.http.post("/api/templates/run", json={"ref": ref})).json()
    ended = await server.http.delete("/api/templates/run", params={"id": run["desktop_id"]}, headers=other)
    assert ended.status_code == 404


async def test_a_launch_without_a_golden_or_a_secret_is_409_and_says_so(server: Server) -> None:
    await server.publish()
    for path, body in (("/api/templates/run", "ref"), ("/api/computers", "template_ref")):
        answer = await server.http.post(path, json={body: "default/hello@1.0.0"})
        assert (answer.status_code, answer.json()["code"]) == (409, "TEMPLATE_NOT_READY")
        assert answer.json()["error"].startswith("default/hello@1.0.0 is not ready: its status is not_built; build it")
    ref = await server.ready_template()
    server.computers.missing_secret = "token"
    missing = await server.http.post("/api/templates/run", json={"ref": ref})
    assert (missing.status_code, missing.json()["error"]) == (409, "the required secret token is not set")


async def test_while_a_forced_build_runs_the_older_golden_is_launched(server: Server) -> None:
    ref = await server.ready_template()
    await server.http.post(f"/api/templates/{ref.replace('@', '/')}/build?force=1")
    assert (await server.http.post("/api/templates/run", json={"ref": ref})).status_code == 200
    assert server.computers.wishes[0][0] == "0" * 64


async def test_garbage_collection_host_and_settings(server: Server) -> None:
    looked = await server.http.post("/api/admin/gc?dry_run=true")
    assert looked.json()["dry_run"] is True
    assert looked.json()["removed"] == [{"what": "layer abc", "why": "nothing needs it", "size_bytes": 10}]
    await server.http.post("/api/admin/gc")
    assert server.builds.collected == [True, False]
    findings = (await server.http.get("/api/admin/host")).json()["findings"]
    assert (findings[0]["name"], findings[0]["remedy"]) == ("runc", "apt-get install runc")
    settings = (await server.http.get("/api/admin/settings")).json()["settings"]
    assert settings["bootstrap_key"] == {"value": "***", "source": "default"}


async def test_health_readiness_and_figures_need_no_key(server: Server) -> None:
    server.services.metrics.count_build(Result.READY, 12.3)
    await server.publish()
    await server.http.post("/api/templates/default/hello/1.0.0/build")
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as anyone:
        assert (await anyone.get("/healthz")).json() == {"status": "ok"}
        assert (await anyone.get("/readyz")).json() == {"status": "ready"}
        page = await anyone.get("/metrics")
        assert page.headers["Content-Type"].startswith("text/plain; version=0.0.4")
        for line in (
            'ingot_builds_total{result="ready"} 1.0',
            'ingot_builds_total{result="failed"} 0.0',
            "ingot_queue_length 1.0",
            "ingot_builds_running 0.0",
            "ingot_open_streams 0.0",
        ):
            assert line in page.text.splitlines()
        server.is_ready = False
        going = await anyone.get("/readyz")
        assert (going.status_code, going.json()["code"], going.headers["Retry-After"]) == (503, "unavailable", "1")
        assert (await anyone.get("/healthz")).status_code == 200
