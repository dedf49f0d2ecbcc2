"""Decide, then do: from a template and what is known, the frozen list of steps, each to be reused or run, with the
reason in words. Pure; `run` makes no decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ingot.builder.keys import golden_key, layer_key
from ingot.builder.reasons import Earlier, explain_reuse, explain_run
from ingot.builder.steps import Close, Draft, Given, Ready, Script, Work, draft_steps, scrub_draft
from ingot.machine.contract import Keep
from ingot.records.build import StepState
from ingot.records.event import Phase
from ingot.records.layer import Layer
from ingot.records.machine import MachineSpec
from ingot.records.step_line import step_title
from ingot.records.template import Template


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step. `index` counts from 1. `key` names the layer it makes on top of `parent`; a step that makes none
    (`makes_layer` is False) has the key of the step it prepares. `reuse` says whether its result is known."""

    index: int
    kind: str
    title: str
    phase: Phase
    source: str
    key: str
    parent: str
    reuse: bool
    reason: str
    content: Mapping[str, Any]
    work: Work

    @property
    def makes_layer(self) -> bool:
        return not isinstance(self.work, Ready)

    @property
    def keeps(self) -> Keep:
        """What of the machine's running state its layer holds, where machines have one that can be kept: all of it
        for the golden, to resume; nothing once a secret was in the machine's memory; else as a quick start for later
        builds, since booting from files takes many times as long as a step's state takes to write."""
        if isinstance(self.work, Close):
            return Keep.STATE if self.work.running else Keep.FILES
        return Keep.FILES if isinstance(self.work, Script) and self.work.secrets else Keep.CACHE

    @property
    def state(self) -> StepState:
        return StepState.REUSED if self.reuse else StepState.RUNNING


@dataclass(frozen=True, slots=True)
class Plan:
    """`top` is the key of the uppermost layer when every step is done and nothing is left to scrub."""

    base: Layer
    steps: tuple[PlanStep, ...]
    top: str

    @property
    def all_known(self) -> bool:
        return all(step.reuse for step in self.steps)

    @property
    def deepest_known(self) -> tuple[str, ...]:
        """Keys of the layers that the build stands on before it runs anything, base first."""
        keys = [self.base.key]
        for step in self.steps:
            if not step.reuse:
                break
            if step.makes_layer:
                keys.append(step.key)
        return tuple(keys)


@dataclass(frozen=True, slots=True)
class Named:
    """A draft with the keys of its layer and of the layer below."""

    draft: Draft
    key: str
    parent: str


def name_steps(template: Template, base: str, given: Given) -> tuple[Named, ...]:
    """The steps with their keys: what to look up before a plan can be made."""
    named, parent = [], base
    for draft in draft_steps(template, given):
        key = _key(draft, parent, given)
        named.append(Named(draft, key, parent))
        if not isinstance(draft.work, Ready):
            parent = key
    return tuple(_with_ready_keys(named))


def make_plan(
    named: Sequence[Named], base: Layer, known: Mapping[str, Layer], given: Given, earlier: Sequence[Earlier] = ()
) -> Plan:
    """Reuses the longest run of known layers from the base upwards. `earlier` are the steps of the ref's previous
    attempt: the reasons say what changed since."""
    steps: list[PlanStep] = []
    above_known = True
    changed: str | None = None
    for index, one in enumerate(named, start=1):
        reuse = above_known and one.key in known
        if reuse:
            reason = explain_reuse(one.draft, one.key, earlier)
        else:
            reason = explain_run(one.draft, one.key, base.key, changed, earlier, ignored=bool(given.salt))
            changed = changed or one.draft.title
            above_known = False
        steps.append(_step(index, one, reuse, reason))
    return Plan(base, tuple(steps), steps[-1].key if steps else base.key)


def plan_scrub(
    plan: Plan, layers: Sequence[Layer], known: Mapping[str, Layer], given: Given
) -> tuple[PlanStep, str] | None:
    """The closing step that a plan without one needs after all, because one of the finished `layers` left
    something to scrub; with what was left, in words. None when the stack is clean."""
    left = [path for layer in layers if layer.kind != "base" for path in layer.info.get("residue", ())]
    if not left or any(step.kind == "closing" for step in plan.steps):
        return None
    key = scrub_key(layers[-1].key, given)
    words = f"left behind: {', '.join(left[:3])}" + (f" and {len(left) - 3} more" if len(left) > 3 else "")
    named = Named(scrub_draft(), key, layers[-1].key)
    return _step(len(plan.steps) + 1, named, key in known, words), words


def scrub_key(parent: str, given: Given) -> str:
    return _key(scrub_draft(), parent, given)


def golden_of(template: Template, top: str, spec: MachineSpec) -> str:
    return golden_key(template.digest, top, spec)


def _step(index: int, named: Named, reuse: bool, reason: str) -> PlanStep:
    draft = named.draft
    return PlanStep(
        index=index,
        kind=draft.kind,
        title=step_title(draft.title),
        phase=draft.phase,
        source=draft.source,
        key=named.key,
        parent=named.parent,
        reuse=reuse,
        reason=reason,
        content=draft.content,
        work=draft.work,
    )


def _key(draft: Draft, parent: str, given: Given) -> str:
    """Toolchains are shared foundations, like the base image: a build that ignores known layers keeps them."""
    salt = "" if draft.kind == "toolchain" else given.salt
    return layer_key(parent, draft.kind, draft.content, backend=given.backend, arch=given.arch, salt=salt)


def _with_ready_keys(named: Sequence[Named]) -> list[Named]:
    """Services need not be checked again when the layer that closes above them is known."""
    result = list(named)
    for place, one in enumerate(result):
        if isinstance(one.draft.work, Ready):
            result[place] = Named(one.draft, result[place + 1].key, one.parent)
    return result
