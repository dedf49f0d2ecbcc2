"""One build from a request to a golden: a loop over the phases. Decides nothing; the plan does.

However it ends, its machine is gone, its scratch files are gone, and the layers that were finished are kept. The one
exception is a machine that was asked for in case a step fails in it: it goes to whoever takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from ingot.builder import phases
from ingot.builder.bake import Bake
from ingot.builder.failures import as_build_error, failed, leaves_no_machine
from ingot.builder.left import Take, leave_machine
from ingot.builder.phases.compile import decide, given_for
from ingot.builder.plan import Plan
from ingot.builder.report import Reporter
from ingot.builder.request import BuildRequest, BuildTools, clamped_spec, wanted_spec
from ingot.builder.seat import Seat
from ingot.errors import BuildError, IngotError
from ingot.records.build import FailureCode
from ingot.records.layer import Golden, Layer
from ingot.store.tree import remove_tree

_log = logging.getLogger(__name__)


Watch = Callable[[BuildRequest, Seat], AbstractContextManager[None]]
"""Around a build: may look at the machine that the seat has, and does nothing to it."""


async def build(
    request: BuildRequest,
    tools: BuildTools,
    report: Reporter,
    take: Take | None = None,
    watch: Watch = lambda request, seat: contextlib.nullcontext(),
) -> Golden:
    """Builds the template and returns its golden, published. Raises BuildError with the failure that the terminal
    frame shows, and CancelledError when it is cancelled, after everything of its machine is gone. `take` is called
    before BuildError is raised, when the flags ask to keep the machine of a step that fails."""
    limit = build_deadline(request)
    scratch = tools.staging / f"build-{uuid.uuid4().hex}"
    scratch.mkdir(parents=True)
    try:
        return await _bake(request, tools, report, scratch, limit, take, watch)
    finally:
        await asyncio.shield(remove_tree(scratch))


async def preview(request: BuildRequest, tools: BuildTools) -> Plan:
    """What a build would reuse and why, without making anything: a base image that is not there yet and sources that
    are not fetched count as unknown."""
    base = tools.base_images.current() or Layer("not made yet", None, "base", "base image", tools.backend.name, 0, 0, 0)
    return await decide(request, base, given_for(request, base, tools.backend), tools.layers)


def build_deadline(request: BuildRequest) -> float:
    """Seconds for the whole build: the template can only shorten what the settings allow."""
    return min(request.limits.build_timeout, request.template.build.timeout or request.limits.build_timeout)


async def _bake(
    request: BuildRequest,
    tools: BuildTools,
    report: Reporter,
    scratch: Path,
    limit: float,
    take: Take | None,
    watch: Watch,
) -> Golden:
    spec, _ = clamped_spec(wanted_spec(request.template, request.limits), request.limits)
    label = f"build {request.build_id} of {request.template.name}@{request.template.version}"
    async with contextlib.AsyncExitStack() as resources:
        hold = resources.enter_context(tools.layers.hold())
        seat = await resources.enter_async_context(Seat(tools, request.account, spec, label))
        bake = Bake(request, tools, report, seat, spec, scratch, hold)
        try:
            with watch(request, seat):
                await _run_in_time(bake, limit)
        except BuildError as error:
            keeps = take is not None and not leaves_no_machine(error)
            left = leave_machine(bake, error.failure, resources) if keeps else None
            if left is not None and take is not None:
                take(left)
            raise
        await seat.vacate()
    assert bake.golden is not None, "archive ends with a golden"
    return bake.golden


async def _run_in_time(bake: Bake, limit: float) -> None:
    try:
        async with asyncio.timeout(limit) as clock:
            await _run_phases(bake)
    except TimeoutError:
        if not clock.expired():
            raise
        lines = bake.output.last_lines() if bake.output is not None else ()
        message = f"the build did not end within {limit:g} s"
        raise failed(FailureCode.TIMED_OUT, message, bake.step or bake.phase.value, None, lines) from None


async def _run_phases(bake: Bake) -> None:
    try:
        for phase in phases.ALL:
            bake.phase = phase.PHASE
            await bake.report.enter(phase.PHASE)
            begun = time.monotonic()
            await phase.run(bake)
            bake.timings_ms[phase.PHASE.value] = round((time.monotonic() - begun) * 1000)
    except BuildError:
        raise
    except IngotError as error:
        raise as_build_error(error, bake.step or bake.phase.value) from error
    except OSError as error:
        _log.exception("build %s failed in %s", bake.request.build_id, bake.phase, extra={"action": "build"})
        raise as_build_error(error, bake.step or bake.phase.value) from error
