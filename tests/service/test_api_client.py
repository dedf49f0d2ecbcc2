"""The client and the API mean the same: every call of the client against the real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from api_server import HELLO, STEP_FAILED, Server, document, running_server

from ingot.client import Client
from ingot.errors import ConflictError, ForbiddenError, NotFoundError, TemplateError, UnauthenticatedError
from ingot.records.account import Scope
from ingot.records.build import BuildFlags, BuildState, BuildStatus, FailureCode
from ingot.records.ref import Ref

REF = Ref("default", "hello", "1.0.0+build.1")
BODY = document(version="1.0.0+build.1")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with Client(server.url, server.http.headers["Authorization"].partition(" ")[2]) as client:
        yield client


async def test_templates(client: Client) -> None:
    published = await client.publish(BODY)
    assert (published.ref, published.auto_build, published.warnings) == (str(REF), None, ())
    assert (await client.publish(BODY, auto_build=True)).auto_build == "building"
    assert (await client.validate(HELLO))["template"] == {"name": "hello", "version": "1.0.0"}
    plan = await client.plan(HELLO)
    assert [(step.index, step.action, step.reason) for step in plan.steps] == [(1, "run", "never built")]
    assert str(REF) in [item.ref for item in await client.templates()]
    assert [item.ref for item in await client.templates("default")] == [str(REF)]
    assert all(item.ref.startswith("system/") for item in await client.curated())
    assert [item.ref for item in await client.versions("default", "hello")] == [str(REF)]
    assert (await client.template(REF)).digest == published.digest
    with pytest.raises(ConflictError, match="is being built"):
        await client.delete_template(REF)
    with pytest.raises(ConflictError, match="is published already, with other content"):
        await client.publish(document(version="1.0.0+build.1", run="echo other"))
    with pytest.raises(TemplateError, match=r"template\.version") as caught:
        await client.publish(document(version="one"))
    assert caught.value.problems[0].line == 2


async def test_builds(client: Client, server: Server) -> None:
    await client.publish(BODY)
    assert (await client.status(REF)).status is BuildStatus.NOT_BUILT
    started = await client.build(REF)
    assert (started.status, started.attempt, started.queue_position) == (BuildStatus.BUILDING, 1, 1)
    assert [build["attempt"] for build in await client.builds()] == [1]
    assert await client.cancel(REF) == {"status": "cancelling"}
    build = await server.services.queue.reclaim((await server.services.queue.cancels())[0].id)
    await server.services.queue.finish(build.id, build.epoch, BuildState.FAILED, failure=STEP_FAILED)
    failed = await client.status(REF)
    assert failed.failure is not None
    assert (failed.status, failed.failure.code, failed.failure.last_lines) == (
        BuildStatus.FAILED,
        FailureCode.STEP_FAILED,
        ("make: error",),
    )
    with pytest.raises(NotFoundError, match="nothing builds"):
        await client.cancel(REF)
    await client.build(REF, BuildFlags(force=True, no_cache=True, refresh=True))
    ready = await server.finish_next()
    assert (await client.status(REF)).golden == ready.golden_key
    assert [entry["result"] for entry in await client.history(REF)] == ["ready", "failed"]
    assert (await client.attempt(REF, 2))["flags"]["no_cache"] is True


async def test_computers(client: Client, server: Server) -> None:
    await server.ready_template()
    run = await client.run(Ref("default", "hello", "1.0.0"))
    assert run.status == "running"
    assert (await client.computer(run.id)).desktop_id == run.id
    assert (await client.bash(run.id, "exit 3")).exit_code == 3
    assert (await client.python(run.id, "1")).output == "1\n"
    await client.end_run(run.desktop_id)
    with pytest.raises(NotFoundError):
        await client.computer(run.id)


async def test_computers_that_last_and_workspaces(client: Client, server: Server) -> None:
    ref = Ref.parse(await server.ready_template())
    workspace = await client.create_workspace("shop")
    assert [one.name for one in await client.workspaces()] == ["shop"]
    made = await client.launch(ref, name="box", workspace=workspace.id, auto_stop_minutes=5)
    assert (made.name, made.ref, made.status) == ("box", str(ref), "running")
    assert (await client.stop_computer(made.id)).status == "stopped"
    assert (await client.start_computer(made.id)).status == "running"
    assert (await client.restart_computer(made.id)).status == "running"
    clone = await client.clone_computer(made.id, name="twin")
    assert [one.name for one in await client.computers()] == ["box", "twin"]
    assert len((await client.workspace(workspace.id)).raw["computers"]) == 2
    await client.delete_computer(clone.id)
    assert [one.instance_id for one in await client.computers()] == [made.instance_id]
    await client.delete_workspace(workspace.id)
    with pytest.raises(NotFoundError, match="there is no workspace"):
        await client.workspace(workspace.id)


async def test_vault_keys_and_server(client: Client, server: Server) -> None:
    assert "common word" in (await client.put_secret("user", "root"))[0]
    assert [entry.name for entry in await client.secrets()] == ["user"]
    await client.delete_secret("user")
    made = await client.create_key("ci", [Scope.READ])
    assert made.key is not None
    async with Client(server.url, made.key) as limited:
        with pytest.raises(ForbiddenError, match="lacks the scope 'publish'"):
            await limited.publish(HELLO)
        await client.revoke_key(made.id)
        with pytest.raises(UnauthenticatedError, match="Invalid API key; it was revoked"):
            await limited.templates()
    assert [key.revoked_at is not None for key in await client.keys()] == [False, True]
    assert (await client.gc(dry_run=True))["dry_run"] is True
    assert [finding.remedy for finding in await client.host()] == ["apt-get install runc"]
    assert "listen" in (await client.server_settings())["settings"]
