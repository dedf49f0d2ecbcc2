"""compile: everything that must be known before a plan can be made, then the plan.

Secrets and sources that this version cannot have end the build here, before any machine starts.
"""

from __future__ import annotations

import platform
from dataclasses import replace

from ingot.builder import sources
from ingot.builder.bake import Bake
from ingot.builder.failures import failed
from ingot.builder.plan import Plan, make_plan, name_steps
from ingot.builder.reasons import Earlier
from ingot.builder.request import BuildRequest, clamped_spec, wanted_spec
from ingot.builder.steps import Given
from ingot.guest.services import build_services
from ingot.machine.contract import Backend
from ingot.records.build import FailureCode, StepState
from ingot.records.event import Phase
from ingot.records.layer import Layer
from ingot.records.template import Template
from ingot.store.layers import LayerStore

PHASE = Phase.COMPILE


async def run(bake: Bake) -> None:
    request, template = bake.request, bake.request.template
    refuse_impossible(request)
    for line in (*clamped_spec(wanted_spec(template, request.limits), request.limits)[1], *_warnings(template)):
        await bake.warn(line)
    base = await _base(bake)
    bake.hold(base.key)
    bake.stack.append(base)
    bake.given = given_for(request, base, bake.tools.backend)
    digests = await sources.fetch_all(bake)
    bake.given = replace(bake.given, sources=digests)
    bake.plan = await decide(request, base, bake.given, bake.tools.layers)
    for key in {step.key for step in bake.plan.steps if step.reuse}:
        bake.hold(key)
    reused = sum(step.reuse for step in bake.plan.steps)
    await bake.say(f"{len(bake.plan.steps)} steps: {reused} cached, {len(bake.plan.steps) - reused} to run")


def refuse_impossible(request: BuildRequest) -> None:
    """Raises BuildError for what no machine could mend: a missing secret, a source of a kind that is not there yet."""
    optional = {secret.name for secret in request.template.secrets if secret.optional}
    for name in request.template.build.secrets:
        if name not in request.secrets and name not in optional:
            message = f"the secret {name} is not in the vault; `ingot secrets set {name}` puts it there"
            raise failed(FailureCode.STEP_FAILED, message, "compile")
    for file in request.template.files:
        if file.when == "runtime":
            message = (
                f"files: {file.to}: `when: runtime` is not supported yet; put the file in place in hooks.on_first_boot"
            )
            raise failed(FailureCode.STEP_FAILED, message, "compile")
        if file.source is not None and not sources.is_web(file.source):
            scheme = file.source.partition(":")[0]
            message = (
                f"files: {file.to}: sources of the kind {scheme}: are not supported yet; use inline, http or https"
            )
            raise failed(FailureCode.STEP_FAILED, message, "compile")
    for manager in ("apt", "pip", "npm"):
        for package in getattr(request.template.build, manager):
            if package.startswith("-"):
                raise failed(
                    FailureCode.STEP_FAILED, f"build.{manager}: {package!r} is an option, not a package", "compile"
                )


def given_for(request: BuildRequest, base: Layer, backend: Backend) -> Given:
    """What the steps depend on besides the document, except fetched sources."""
    spec, _ = clamped_spec(wanted_spec(request.template, request.limits), request.limits)
    running = {"cpu": spec.cpu, "memory_mb": spec.memory_mb, "disk_mb": spec.disk_mb}
    names = [name for name in request.template.build.secrets if name in request.secrets]
    return Given(
        account=request.account,
        backend=backend.name,
        arch=platform.machine(),
        salt=request.build_id if request.flags.no_cache else "",
        fingerprints={name: request.fingerprints[name] for name in names},
        executables=frozenset(base.info.get("executables", ())),
        running=running if backend.keeps_running else {},
    )


async def decide(request: BuildRequest, base: Layer, given: Given, layers: LayerStore) -> Plan:
    """The plan; layers that are only in the object store count as known."""
    named = name_steps(request.template, base.key, given)
    known: dict[str, Layer] = {}
    for key in dict.fromkeys(one.key for one in named):
        layer = await layers.look_up(key)
        if layer is None:
            break
        known[key] = layer
    return make_plan(named, base, known, given, earlier_steps(request, layers))


def earlier_steps(request: BuildRequest, layers: LayerStore) -> tuple[Earlier, ...]:
    """The previous attempt's steps as far as their layers are still known."""
    found = []
    for step in request.previous:
        layer = layers.get(step.layer) if step.layer else None
        if step.state is StepState.FAILED:
            found.append(Earlier("", step.title, "", {}, ""))
        elif layer is not None:
            content, base = layer.info.get("content", {}), str(layer.info.get("base", ""))
            found.append(Earlier(layer.kind, layer.title, layer.key, content, base))
    return tuple(found)


async def _base(bake: Bake) -> Layer:
    async with bake.report.output("builder") as output:
        return await bake.tools.base_images.ensure(refresh=bake.request.flags.refresh, say=bake.say, sink=output.write)


def _warnings(template: Template) -> list[str]:
    warnings = []
    if carried := sorted(template.carried):
        warnings.append(f"kept in the golden, but not acted on by this version yet: {', '.join(carried)}")
    if template.hardware.gpu != "none":
        warnings.append(f"the template asks for a GPU ({template.hardware.gpu}); this host gives machines none")
    if template.wallpaper:
        warnings.append("kept in the golden, but not acted on by this version yet: wallpaper")
    for app in template.apps:
        for service in app.services:
            if service.needs_secret:
                warnings.append(f"service {service.name} needs a secret: it is not started during the build")
        if app.health and app.services and not build_services(app):
            warnings.append(f"app {app.name}: its health is not checked during the build, since no service of it runs")
    return warnings
