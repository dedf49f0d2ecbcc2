"""Services during a build: started, watched, healthy or not, stopped and scrubbed; and what a launch starts."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.builder_stage import Stage, document_bytes, stage

from ingot.guest import layout
from ingot.guest.boot import plan_boot, plan_shutdown
from ingot.machine.scripted import Scripted
from ingot.records.build import FailureCode, StepState
from ingot.records.event import Phase
from ingot.template import load_canonical, parse_template

SITE = {
    "apps": [
        {
            "name": "site",
            "services": [{"name": "web", "run": "serve --port 80", "user": "root", "env": {"MODE": "it's 100% live"}}],
            "health": {"type": "tcp", "port": 80, "every": "1s", "timeout": "1s"},
            "autostart": [{"run": "open-page", "delay": 3}],
        }
    ],
    "hooks": {"on_pre_snapshot": "flush", "on_resume": "hello"},
}


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


async def test_services_are_started_checked_stopped_and_scrubbed(host: Stage) -> None:
    host.backend.script["check --deadline"] = Scripted((b"app site is ready\n",))
    golden = await host.bake(**SITE)
    assert [(step.title, step.phase) for step in host.log.steps.values()] == [
        ("runtime", Phase.INSTALL),
        ("services and health checks", Phase.INSTALL),
        ("on_pre_snapshot and scrub", Phase.SNAPSHOT),
    ]
    assert "app site is ready" in host.log.said("builder")
    assert "flush" in host.log.said("on_pre_snapshot")
    scrub = next(command.argv[-1] for command in host.backend.commands if "machine-id" in command.argv[-1])
    assert layout.SUPERVISOR_PID in scrub
    assert [layer["kind"] for layer in golden.manifest["layers"]] == ["base", "runtime", "closing"]


async def test_checked_services_are_not_checked_again(host: Stage) -> None:
    await host.bake(**SITE)
    opened = len(host.backend.opened)
    await host.bake(**SITE)
    assert host.log.states() == [StepState.REUSED] * 3
    assert len(host.backend.opened) == opened


async def test_an_app_that_is_not_healthy_fails_with_its_last_lines(host: Stage) -> None:
    said = b"cannot bind port 80\n"
    host.backend.script["perl - /run/ingot/followed-"] = Scripted((struct.pack(">II", 0, len(said)) + said,))
    host.backend.script["check --deadline"] = Scripted(
        (b"waiting for app site: port 80: Connection refused\n", b"app site is not ready after 30 s: port 80\n"),
        exit_code=1,
    )
    failure = await host.fails(**SITE)
    assert failure.code is FailureCode.READY_CHECK_FAILED
    assert failure.message == "app site is not ready after 30 s: port 80"
    assert failure.last_lines == ("cannot bind port 80",)
    assert (Phase.INSTALL, "site", "cannot bind port 80") in host.log.lines
    assert host.log.states() == [StepState.DONE, StepState.FAILED]


async def test_a_pre_snapshot_hook_that_fails_fails_the_build_in_snapshot(host: Stage) -> None:
    host.backend.script["on_pre_snapshot"] = Scripted((b"disk busy\n",), exit_code=3)
    failure = await host.fails(**SITE)
    assert (failure.code, failure.exit_code, failure.last_lines) == (FailureCode.STEP_FAILED, 3, ("disk busy",))
    assert host.log.phase is Phase.SNAPSHOT


async def test_the_runtime_files_say_how_services_run(host: Stage) -> None:
    await host.bake(**SITE)
    [runtime] = [layer for layer in host.tools.layers.all() if layer.kind == "runtime"]
    tree = host.tools.layers.parts(runtime.key) / "diff"
    script = (tree / layout.service_script("web").lstrip("/")).read_text()
    assert "export MODE='it'\"'\"'s 100% live'\n" in script
    assert script.endswith("exec /bin/bash -c 'serve --port 80'\n")
    build = (tree / layout.SUPERVISOR_BUILD_CONFIG.lstrip("/")).read_text()
    launch = (tree / layout.SUPERVISOR_CONFIG.lstrip("/")).read_text()
    assert "[program:web]" in build
    assert "user=root" in build
    assert "[program:autostart-site-1]" not in build
    assert "[program:ingot-health]" not in build
    assert "[program:autostart-site-1]" in launch
    assert "[program:ingot-health]" in launch
    health = json.loads((tree / layout.HEALTH_CONFIG.lstrip("/")).read_text())
    assert health["apps"][0]["check"]["port"] == 80
    assert (tree / layout.hook("on_resume").lstrip("/")).read_text() == "hello"


def test_a_launch_runs_its_hooks_and_services_in_order_with_secrets_in_files_only() -> None:
    document = {
        **SITE,
        "secrets": [{"name": "token"}],
        "env": {"TOKEN": {"secret": "token"}, "PLAIN": "1"},
        "hooks": {
            "on_resume": "r",
            "on_every_boot": "e",
            "on_first_boot": "f",
            "on_shutdown": "s",
        },
    }
    template = load_canonical(parse_template(document_bytes(document)).canonical)
    boot = plan_boot(template, {"token": "sesame"})
    assert [command.name for command in boot.commands] == [
        "hook on_first_boot",
        "hook on_every_boot",
        "services",
        "hook on_resume",
        "health checks",
    ]
    assert all("sesame" not in " ".join(command.command.argv) for command in boot.commands)
    assert boot.commands[0].command.env["TOKEN"] == "sesame"
    [file] = boot.files
    assert (file.path, file.content, file.mode, file.owner) == (
        layout.service_secrets("web"),
        b"export TOKEN=sesame\n",
        0o400,
        "root",
    )
    assert [command.name for command in plan_shutdown(template, {})] == ["hook on_shutdown"]
    assert plan_boot(template, {}).files == ()
