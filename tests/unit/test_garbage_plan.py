"""What garbage collection would remove and why: a pure plan, compared whole."""

from __future__ import annotations

from ingot.records.layer import Layer
from ingot.store.garbage import Ages, Garbage, Inventory, Roots, Stored, plan_garbage

DAY = 24 * 3600 * 1000
NOW = 100 * DAY
AGES = Ages()
GOLDEN_REASON = "no ref, computer or build needs it, and it is older than 24 hours"
LAYER_REASON = "no golden, computer or build needs it, and it was not used for 7 days"
OBJECT_REASON = "no golden and no layer of this host needs it"


def layer(key: str, parent: str | None) -> Layer:
    return Layer(key, parent, "run" if parent else "base", key, "container", 0, 10, 1)


STACK = {"base": layer("base", None), "apt": layer("apt", "base"), "run": layer("run", "apt")}
OLD = dict.fromkeys(STACK, NOW - 30 * DAY)


def inventory(**changes: object) -> Inventory:
    fields = {"now_ms": NOW, "layers": STACK, "used_ms": OLD, **changes}
    return Inventory(**fields)  # type: ignore[arg-type]


def test_unused_layers_go_from_the_top_down() -> None:
    assert plan_garbage(inventory(), Roots(), AGES) == tuple(
        Garbage("layer", key, 10, LAYER_REASON) for key in ("run", "apt", "base")
    )


def test_everything_below_a_layer_in_use_stays() -> None:
    assert plan_garbage(inventory(), Roots(layers=frozenset({"apt"})), AGES) == (
        Garbage("layer", "run", 10, LAYER_REASON),
    )


def test_a_layer_used_lately_stays_with_all_below_it() -> None:
    assert plan_garbage(inventory(used_ms={**OLD, "run": NOW - DAY}), Roots(), AGES) == ()


def test_a_state_kept_for_speed_goes_before_its_layer_does() -> None:
    stored = inventory(used_ms={**OLD, "apt": NOW - DAY - 1, "run": NOW - DAY + 1}, states={"apt": 300, "run": 200})
    reason = "a quick start that was not used for 24 hours"
    assert plan_garbage(stored, Roots(), AGES) == (Garbage("state", "apt", 300, reason),)


def test_a_state_goes_with_a_layer_that_goes() -> None:
    found = plan_garbage(inventory(states={"run": 200}), Roots(), AGES)
    assert {item.kind for item in found} == {"layer"}


def test_the_current_base_image_stays() -> None:
    found = plan_garbage(inventory(pinned=frozenset({"base"})), Roots(), AGES)
    assert [item.key for item in found] == ["run", "apt"]


def test_a_golden_that_a_ref_needs_stays_with_its_layers_and_objects() -> None:
    golden = Stored("g", 5, NOW - 30 * DAY, ("base", "apt", "run"))
    objects = (Stored("base", 7, 0), Stored("lost", 9, 0))
    stored = inventory(goldens=(golden,), objects=objects)
    assert plan_garbage(stored, Roots(goldens=frozenset({"g"})), AGES) == (Garbage("object", "lost", 9, OBJECT_REASON),)


def test_an_old_golden_goes_first_then_its_objects_then_its_layers() -> None:
    golden = Stored("g", 5, NOW - 30 * DAY, ("base", "apt"))
    found = plan_garbage(inventory(goldens=(golden,), objects=(Stored("apt", 7, 0),)), Roots(), AGES)
    assert found == (
        Garbage("golden", "g", 5, GOLDEN_REASON),
        Garbage("object", "apt", 7, OBJECT_REASON),
        *(Garbage("layer", key, 10, LAYER_REASON) for key in ("run", "apt", "base")),
    )


def test_a_young_golden_stays_although_nothing_names_it_yet() -> None:
    golden = Stored("g", 5, NOW - 3600 * 1000, ("base", "apt", "run"))
    assert plan_garbage(inventory(goldens=(golden,)), Roots(), AGES) == ()


def test_half_made_leftovers_go_when_they_are_old() -> None:
    staging = (Stored("layer-old", 1, NOW - 2 * DAY), Stored("layer-new", 1, NOW - 60_000))
    assert plan_garbage(inventory(layers={}, used_ms={}, staging=staging), Roots(), AGES) == (
        Garbage("staging", "layer-old", 1, "half-made by a build that is long over"),
    )
