"""Secrets and sources in a build: who gets them, what a key depends on, and what is refused before a machine starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.builder_stage import Stage, stage

from ingot.machine.scripted import Scripted
from ingot.records.build import FailureCode, StepState

CANARY = "canary-7f3a9c-value"
DOCUMENT = {"secrets": [{"name": "npm-token"}], "build": {"apt": ["curl"], "run": ["deploy"], "secrets": ["npm-token"]}}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_a_missing_secret_is_named_before_any_machine_starts(host: Stage) -> None:
    failure = await host.fails(**DOCUMENT)
    assert failure.message == ("the secret npm-token is not in the vault; `ingot secrets set npm-token` puts it there")
    assert (failure.code, failure.step) == (FailureCode.STEP_FAILED, "compile")
    assert host.backend.opened == []
    assert host.backend.bases_made == 0


async def test_an_optional_secret_may_be_missing(host: Stage) -> None:
    document = {**DOCUMENT, "secrets": [{"name": "npm-token", "optional": True}]}
    await host.bake(**document)
    assert not any("NPM_TOKEN" in command.env for command in host.backend.commands)


async def test_only_run_steps_get_a_secret_and_only_through_their_environment(host: Stage) -> None:
    await host.bake(**DOCUMENT, vault={"npm-token": CANARY, "other": "not asked for"})
    given = {command.argv[-1]: command.env.get("NPM_TOKEN") for command in host.backend.commands}
    assert given == {"curl": None, "deploy": CANARY}
    assert all(CANARY not in " ".join(command.argv) for command in host.backend.commands)
    assert not any("not asked for" in command.env.values() for command in host.backend.commands)


async def test_a_secret_is_in_no_file_of_the_store_and_no_line(host: Stage) -> None:
    await host.bake(**DOCUMENT, vault={"npm-token": CANARY})
    for place in host.directory.rglob("*"):
        assert CANARY not in place.name
        assert not place.is_file() or CANARY.encode() not in place.read_bytes()
    assert all(CANARY not in line for line in host.log.said())


async def test_another_value_or_another_account_runs_the_step_again(host: Stage) -> None:
    await host.bake(**DOCUMENT, vault={"npm-token": CANARY})
    await host.bake(**DOCUMENT, vault={"npm-token": CANARY})
    assert host.log.states() == [StepState.REUSED] * 2
    await host.bake(**DOCUMENT, vault={"npm-token": "another-value"})
    assert "step 2/2 run deploy: run (secret changed: npm-token)" in host.log.said()
    await host.bake(**DOCUMENT, vault={"npm-token": CANARY}, account="other")
    assert host.log.states() == [StepState.REUSED, StepState.DONE]


async def test_a_step_that_leaves_a_secret_fails_and_leaves_no_layer(host: Stage) -> None:
    host.backend.script["deploy"] = Scripted(writes={"/root/.npmrc": f"//token={CANARY}".encode()})
    failure = await host.fails(**DOCUMENT, vault={"npm-token": CANARY})
    assert failure.code is FailureCode.STEP_FAILED
    assert "left the value of the secret npm-token in /root/.npmrc; remove it within the same step" in failure.message
    assert CANARY not in failure.message
    for place in host.directory.rglob("*"):
        assert not place.is_file() or CANARY.encode() not in place.read_bytes()


async def test_a_service_that_needs_a_secret_is_not_started_and_the_log_says_so(host: Stage) -> None:
    service = {"name": "bot", "run": "bot", "env": {"TOKEN": {"secret": "npm-token"}}}
    await host.bake(secrets=[{"name": "npm-token"}], apps=[{"name": "bot-app", "services": [service]}])
    assert host.log.warnings == ["service bot needs a secret: it is not started during the build"]
    assert not any("supervisord" in " ".join(command.argv) for command in host.backend.commands)


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ({"to": "/a", "from": "git://example.com/x"}, "sources of the kind git: are not supported yet"),
        ({"to": "/a", "from": "s3://bucket/x"}, "sources of the kind s3: are not supported yet"),
        ({"to": "/a", "inline": "x", "when": "runtime"}, "`when: runtime` is not supported yet"),
    ],
)
async def test_sources_that_come_later_end_the_build_in_compile(host: Stage, file: dict[str, str], words: str) -> None:
    failure = await host.fails(files=[file])
    assert words in failure.message
    assert failure.step == "compile"
    assert host.backend.opened == []


async def test_a_source_is_fetched_inside_a_machine_and_its_content_decides_the_key(host: Stage) -> None:
    file = {"to": "/opt/tool", "from": "https://example.com/tool"}
    host.backend.script["cat /run/ingot/source"] = Scripted((b"version", b" one"))
    first = await host.bake(files=[file], build={"run": ["use tool"]})
    fetch = next(command for command in host.backend.commands if command.argv[0] == "curl")
    assert fetch.argv[-2:] == ("--", "https://example.com/tool")
    assert "=http,https" in fetch.argv
    assert list(first.manifest["sources"]) == ["https://example.com/tool"]
    assert first.manifest["files"][0]["sha256"] == first.manifest["sources"]["https://example.com/tool"]
    await host.bake(files=[file], build={"run": ["use tool"]})
    assert host.log.states() == [StepState.REUSED] * 2
    host.backend.script["cat /run/ingot/source"] = Scripted((b"version two",))
    await host.bake(files=[file], build={"run": ["use tool"]})
    assert "step 1/2 files /opt/tool: run (files changed: /opt/tool)" in host.log.said()


async def test_a_source_that_cannot_be_fetched_is_a_network_failure(host: Stage) -> None:
    host.backend.script["curl"] = Scripted((b"curl: (6) Could not resolve host: example.com\n",), exit_code=6)
    failure = await host.fails(files=[{"to": "/opt/tool", "from": "https://example.com/tool"}])
    assert failure.code is FailureCode.NETWORK
    assert failure.message == (
        "https://example.com/tool cannot be fetched: curl: (6) Could not resolve host: example.com"
    )
