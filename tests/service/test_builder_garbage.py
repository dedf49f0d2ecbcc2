"""Collecting garbage on a real store: what is in use stays, what is not goes, and a dry run changes nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.builder_stage import Stage, stage

from ingot.records.build import StepState
from ingot.storage.objects import DirectoryObjects
from ingot.store.garbage import Ages, GarbageCollector, Roots

NOW = Ages(golden=0, layer=0, staging=0)


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


def collector(host: Stage) -> GarbageCollector:
    tools = host.tools
    objects = DirectoryObjects(host.directory / "objects")
    return GarbageCollector(tools.layers, tools.goldens, tools.base_images, objects, tools.staging)


def files(host: Stage) -> list[str]:
    return sorted(str(path) for path in host.directory.rglob("*"))


async def test_a_dry_run_names_what_would_go_and_removes_nothing(host: Stage) -> None:
    golden = await host.bake(build={"run": ["one"]})
    before = files(host)
    found = await collector(host).collect(Roots(), NOW, dry_run=True)
    assert files(host) == before
    assert [item.kind for item in found] == ["golden", "object", "layer"]
    assert found[0].key == golden.key


async def test_what_a_golden_needs_stays_and_the_rest_goes(host: Stage) -> None:
    old = await host.bake(build={"run": ["one", "two"]})
    kept = await host.bake(build={"run": ["one", "three"]})
    removed = await collector(host).collect(Roots(goldens=frozenset({kept.key})), NOW, dry_run=False)
    assert [(item.kind, item.key) for item in removed] == [
        ("golden", old.key),
        ("object", old.layers[-1].key),
        ("layer", old.layers[-1].key),
    ]
    assert await host.tools.goldens.get(old.key) is None
    assert await host.tools.goldens.get(kept.key) == kept
    await host.bake(build={"run": ["one", "two"]})
    assert host.log.states() == [StepState.REUSED, StepState.DONE]


async def test_what_a_running_build_holds_stays(host: Stage) -> None:
    golden = await host.bake(build={"run": ["one"]})
    with host.tools.layers.hold() as hold:
        hold(golden.layers[-1].key)
        removed = await collector(host).collect(Roots(), NOW, dry_run=False)
        assert [item.kind for item in removed] == ["golden"]
    removed = await collector(host).collect(Roots(), NOW, dry_run=False)
    assert [item.kind for item in removed] == ["object", "layer"]
    assert not (host.directory / "layers" / golden.layers[-1].key).exists()
