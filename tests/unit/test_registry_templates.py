"""The registry: publish, force, list, versions, delete, whose is what, and the curated templates."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update
from tests.unit.queue_stage import Time

from ingot.errors import ConflictError, ForbiddenError, NotFoundError, UnprocessableError
from ingot.queue.builds import BuildQueue, QueueLimits
from ingot.records.build import Build
from ingot.records.item import Item
from ingot.records.ref import Ref
from ingot.registry import Registry, load_curated
from ingot.storage.database import Database
from ingot.storage.tables import templates
from ingot.template import Publication, parse_publication

A = Ref("default", "a", "1.0.0")


@pytest.fixture
async def db(tmp_path: Path) -> AsyncIterator[Database]:
    async with Database(tmp_path / "ingot.db") as db:
        yield db


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def registry(db: Database, time: Time) -> Registry:
    registry = Registry(db, time)
    await registry.start()
    return registry


@pytest.fixture
def queue(db: Database) -> BuildQueue:
    return BuildQueue(db, QueueLimits())


def document(name: str = "a", version: str = "1.0.0", description: str = "") -> Publication:
    template = {"name": name, "version": version, **({"description": description} if description else {})}
    return parse_publication(json.dumps({"api_version": "orgo.ai/v1", "template": template}).encode(), None)


async def build(queue: BuildQueue, item: Item, account: str = "acme") -> Build:
    return await queue.enqueue(account, item.ref, item.digest)


async def test_a_published_template_can_be_had_back(registry: Registry) -> None:
    publication = document(description="für alle — 日本")
    item = await registry.publish("acme", "default", publication)
    assert (item.ref, item.digest, item.created) == (A, publication.template.digest, True)
    got = await registry.get("acme", A)
    assert got.document == publication.canonical
    assert (got.digest, got.published_ms, got.created) == (item.digest, 1_000_000, False)


async def test_the_same_content_again_keeps_its_time(registry: Registry, time: Time) -> None:
    await registry.publish("acme", "default", document())
    time.now += 5000
    again = await registry.publish("acme", "default", document())
    assert (again.published_ms, again.created) == (1_000_000, False)


async def test_other_content_at_a_ref_is_refused(registry: Registry) -> None:
    first = await registry.publish("acme", "default", document())
    words = "default/a@1.0.0 is published already, with other content; raise its version, or replace it with force"
    with pytest.raises(ConflictError, match=words) as caught:
        await registry.publish("acme", "default", document(description="new"))
    assert caught.value.code == "version_exists"
    assert (await registry.get("acme", A)).digest == first.digest


async def test_force_replaces_content_and_supersedes_its_builds(
    registry: Registry, queue: BuildQueue, time: Time
) -> None:
    old = await registry.publish("acme", "default", document())
    running = await build(queue, old)
    await build(queue, old, account="other")
    time.now += 1
    new = await registry.publish("acme", "default", document(description="new"), force=True)
    assert (new.created, new.published_ms, new.superseded) == (True, 1_000_001, (running.id,))
    assert [build.id for build in await queue.cancels()] == [running.id]
    assert (await registry.get("acme", A)).digest == new.digest


async def test_force_leaves_a_build_alone_whose_end_is_decided(registry: Registry, queue: BuildQueue) -> None:
    await build(queue, await registry.publish("acme", "default", document()))
    running = await queue.claim()
    assert running is not None
    await queue.seal(running.id, running.epoch)
    new = await registry.publish("acme", "default", document(description="new"), force=True)
    assert new.superseded == ()


async def test_force_with_the_same_content_publishes_anew_and_lets_its_build_be(
    registry: Registry, queue: BuildQueue, time: Time
) -> None:
    await build(queue, await registry.publish("acme", "default", document()))
    time.now += 1
    again = await registry.publish("acme", "default", document(), force=True)
    assert (again.created, again.published_ms, again.superseded) == (True, 1_000_001, ())
    assert await queue.cancels() == ()


@pytest.mark.parametrize("namespace", ["system", "global", "run", "validate"])
async def test_a_reserved_namespace_takes_nothing_from_accounts(registry: Registry, namespace: str) -> None:
    with pytest.raises(ForbiddenError, match=f"the namespace '{namespace}' is reserved; publish to one of your own"):
        await registry.publish("acme", namespace, document(), force=True)
    with pytest.raises(ForbiddenError, match="is reserved"):
        await registry.delete("acme", Ref(namespace, "blank", "1.0.0"))


async def test_a_namespace_that_is_no_name_is_explained(registry: Registry) -> None:
    with pytest.raises(UnprocessableError, match="'My Space' is not a namespace; use lower-case letters"):
        await registry.publish("acme", "My Space", document())


async def test_two_accounts_own_different_templates_of_one_ref(registry: Registry) -> None:
    ours = await registry.publish("acme", "default", document(description="ours"))
    theirs = await registry.publish("other", "default", document(description="theirs"))
    assert (await registry.get("acme", A)).digest == ours.digest
    assert (await registry.get("other", A)).digest == theirs.digest
    await registry.delete("acme", A)
    assert (await registry.get("other", A)).digest == theirs.digest


async def test_what_another_account_has_is_not_there(registry: Registry) -> None:
    await registry.publish("other", "default", document())
    with pytest.raises(NotFoundError, match=r"there is no template default/a@1\.0\.0"):
        await registry.get("acme", A)
    with pytest.raises(NotFoundError, match="there is no template default/a"):
        await registry.versions("acme", "default", "a")
    with pytest.raises(NotFoundError, match=r"there is no template default/a@1\.0\.0"):
        await registry.delete("acme", A)


async def test_versions_are_sorted_as_semantic_versions_newest_first(registry: Registry) -> None:
    newest_first = ["10.0.0", "2.0.0", "2.0.0-rc.11", "2.0.0-rc.2", "2.0.0-alpha", "1.10.0", "1.9.0+b2", "1.9.0+b1"]
    for version in sorted(newest_first):
        await registry.publish("acme", "default", document(version=version))
    items = await registry.versions("acme", "default", "a")
    assert [item.ref.version for item in items] == newest_first


async def test_the_list_is_sorted_by_ref_and_holds_the_curated_ones(registry: Registry) -> None:
    for namespace, name in (("zoo", "a"), ("default", "b"), ("default", "a")):
        await registry.publish("acme", namespace, document(name))
    await registry.publish("other", "default", document("hidden"))
    refs = [str(item.ref) for item in await registry.list("acme")]
    assert refs == [
        "default/a@1.0.0",
        "default/b@1.0.0",
        "system/blank@1.0.0",
        "system/python@1.0.0",
        "zoo/a@1.0.0",
    ]


async def test_the_list_can_be_of_one_namespace(registry: Registry) -> None:
    await registry.publish("acme", "default", document())
    await registry.publish("acme", "zoo", document())
    assert [str(item.ref) for item in await registry.list("acme", "zoo")] == ["zoo/a@1.0.0"]
    assert [item.ref.name for item in await registry.list("acme", "system")] == ["blank", "python"]
    assert await registry.list("acme", "none") == ()


async def test_a_deleted_template_is_gone_and_can_be_published_again(registry: Registry) -> None:
    await registry.publish("acme", "default", document())
    await registry.delete("acme", A)
    with pytest.raises(NotFoundError):
        await registry.get("acme", A)
    assert (await registry.publish("acme", "default", document(description="new"))).created


async def test_nothing_is_deleted_while_it_builds(registry: Registry, queue: BuildQueue) -> None:
    running = await build(queue, await registry.publish("acme", "default", document()))
    words = "default/a@1.0.0 is being built; cancel the build and wait for its end first"
    with pytest.raises(ConflictError, match=words) as caught:
        await registry.delete("acme", A)
    assert caught.value.code == "building"
    assert (await registry.get("acme", A)).digest == running.digest


async def test_attempts_outlive_a_deleted_template(registry: Registry, queue: BuildQueue, db: Database) -> None:
    first = await build(queue, await registry.publish("other", "default", document()), "acme")
    await registry.publish("acme", "default", document(description="elsewhere"))
    assert (await queue.current("acme", A)) == first


async def test_everybody_can_read_the_curated_templates(registry: Registry) -> None:
    for account in ("acme", "other"):
        item = await registry.get(account, Ref("system", "blank", "1.0.0"))
        assert item.document["template"]["name"] == "blank"
    assert [item.ref.version for item in await registry.versions("acme", "system", "python")] == ["1.0.0"]


async def test_a_restart_leaves_the_curated_templates_as_they_were(
    db: Database, registry: Registry, time: Time
) -> None:
    time.now += 5000
    await registry.start()
    items = await registry.list("acme", "system")
    assert {item.published_ms for item in items} == {1_000_000}


async def test_a_restart_brings_the_curated_templates_up_to_date(db: Database, registry: Registry, time: Time) -> None:
    old = {"account": "system", "namespace": "system", "name": "old", "version": "1.0.0"}
    row = {**old, "digest": "d" * 64, "document_json": "{}", "published_ms": 1}
    await db.run(lambda connection: connection.execute(insert(templates).values(row)).rowcount)
    stale = update(templates).where(templates.c.name == "blank").values(digest="e" * 64)
    await db.run(lambda connection: connection.execute(stale).rowcount)
    time.now += 1
    await registry.start()
    items = await registry.list("acme", "system")
    assert [(item.ref.name, item.published_ms) for item in items] == [("blank", 1_000_001), ("python", 1_000_000)]


def test_the_curated_templates_build_without_warnings() -> None:
    assert {publication.template.name: publication.warnings for publication in load_curated()} == {
        "blank": (),
        "python": (),
    }
