"""What spans the parts of a server: starting builds, planning them, collecting garbage, looking at the host.

Given to the API and the worker as plain calls. It keeps nothing of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from typing import Any

from ingot.access import Access
from ingot.api.event_stream import NotBuiltError, StreamTarget
from ingot.api.services import is_live
from ingot.api.stream_request import StreamRequest
from ingot.builder.request import BuildRequest, BuildTools, Limits
from ingot.builder.run import preview
from ingot.dispatch import Dispatch
from ingot.errors import ConflictError, ForbiddenError, NotFoundError
from ingot.held import HeldMachines
from ingot.launcher.computers import Computers
from ingot.machine.contract import Finding
from ingot.queue.builds import BuildQueue
from ingot.records.account import Principal, Scope
from ingot.records.build import Build, BuildFlags
from ingot.records.ref import Ref, is_name, is_version
from ingot.records.template import Template
from ingot.registry import Registry
from ingot.sessions import Sessions
from ingot.store.garbage import Garbage, GarbageCollector, Roots
from ingot.template import Publication, load_canonical
from ingot.tickets import Tickets
from ingot.vault import Vault


@dataclass(frozen=True, slots=True)
class Control:
    """Implements `api.services.BuildControl`, and prepares claimed builds for the worker."""

    registry: Registry
    queue: BuildQueue
    access: Access
    sessions: Sessions
    tickets: Tickets
    vault: Vault
    dispatch: Dispatch
    tools: BuildTools
    limits: Limits
    collector: GarbageCollector
    computers: Computers
    held: HeldMachines
    own_findings: tuple[Finding, ...] = ()

    async def start(self, account: str, ref: Ref, flags: BuildFlags) -> Build:
        """A new attempt ends the machine that is held of an earlier one, and does not wait for that."""
        build = await self.dispatch.start(account, ref, flags)
        self.held.release(account, ref, but=build.id)
        return build

    async def cancel(self, account: str, ref: Ref) -> bool:
        cancelled = await self.dispatch.cancel(account, ref)
        ended = await self.held.end(account, ref)
        return cancelled or ended

    async def prepare(self, build: Build) -> BuildRequest:
        """What the builder needs for a claimed build. Raises ConflictError when its content is not published
        any more."""
        item = await self.registry.get(build.account, build.ref)
        if item.digest != build.digest:
            raise ConflictError(f"{build.ref} was published anew with other content while this build waited")
        history = await self.queue.history(build.account, build.ref, limit=5)
        previous = next((past.steps for past in history if past.attempt < build.attempt and past.steps), ())
        template = load_canonical(item.document, item.digest)
        request = BuildRequest(template, build.account, build.id, build.flags, limits=self.limits, previous=previous)
        return await self._with_secrets(request, template)

    async def plan(self, account: str, publication: Publication) -> Sequence[Mapping[str, Any]]:
        request = BuildRequest(publication.template, account, "plan", limits=self.limits)
        plan = await preview(await self._with_secrets(request, publication.template), self.tools)
        return [
            {
                "index": step.index,
                "title": step.title,
                "phase": step.phase,
                "action": "reuse" if step.reuse else "run",
                "reason": step.reason,
            }
            for step in plan.steps
        ]

    async def _with_secrets(self, request: BuildRequest, template: Template) -> BuildRequest:
        names = template.build.secrets
        values = await self.vault.reveal(request.account, names) if names else {}
        prints = {name: await self.vault.fingerprint(request.account, name) for name in values}
        return replace(request, secrets=values, fingerprints=prints)

    async def collect_garbage(self, dry_run: bool) -> Mapping[str, Any]:
        needed = await self.queue.refs_to_goldens()
        live = self.computers.golden_keys()
        roots = Roots(frozenset(needed) | live)
        removed = await self.collector.collect(roots, dry_run=True)
        if not dry_run:
            removed = await self._remove(roots, {item.key for item in removed if item.kind == "golden"})
        return {
            "removed": [
                {"what": f"{item.kind} {item.key}", "why": item.reason, "size_bytes": item.size_bytes}
                for item in removed
            ],
            "kept": [
                *({"what": f"golden {key}", "why": ", ".join(reasons)} for key, reasons in sorted(needed.items())),
                *({"what": f"golden {key}", "why": "a computer stands on it"} for key in sorted(live - set(needed))),
            ],
            "freed_bytes": sum(item.size_bytes for item in removed),
        }

    async def _remove(self, roots: Roots, goldens: Set[str]) -> tuple[Garbage, ...]:
        """Goldens are forgotten before they are deleted, so that no build takes one over meanwhile; those that came to
        be needed stay. To forget is to write: what no golden holds goes first, and makes room for it on a full disk."""
        loose = await self.collector.collect(Roots(roots.goldens | goldens), dry_run=False)
        found = await self.collector.collect(roots, dry_run=True)  # as it is now
        goldens = {item.key for item in found if item.kind == "golden"}
        released = await self.queue.release_goldens(goldens)
        held = await self.collector.collect(Roots(roots.goldens | (goldens - released)), dry_run=False)
        return (*loose, *held)

    async def findings(self) -> Sequence[Mapping[str, Any]]:
        return [asdict(finding) for finding in (*await self.tools.backend.findings(), *self.own_findings)]

    async def resolve_stream(self, request: StreamRequest) -> StreamTarget:
        """Whose events a request may read. Raises UnauthenticatedError, ForbiddenError, and NotBuiltError for a
        version that was never built."""
        ref, caller = await self._reader_of(request)
        whose = (caller.account, caller.key_id, caller.session)
        item = await self.registry.get(caller.account, ref)
        if request.attempt is not None:
            build = await self.queue.attempt(caller.account, ref, request.attempt)
            if build is None:
                raise NotFoundError(f"{ref} has no attempt {request.attempt}", hint=f"see `ingot status {ref}`")
        else:
            _, build = await self.queue.status(caller.account, ref, item.digest)
        if build is None:
            hint = f"start a build with POST /api/templates/{ref.namespace}/{ref.name}/{ref.version}/build"
            raise NotBuiltError(f"{ref} was never built", whose, hint=hint)
        return StreamTarget(build.id, build.attempt, *whose, caller.until_ms)

    async def is_live(self, key_id: str, session: str) -> bool:
        """Whether a stream's reader may read on."""
        return await is_live(self.access, self.sessions, key_id, session)

    async def _reader_of(self, request: StreamRequest) -> tuple[Ref, Principal]:
        """What is asked for and by whom; a key in the header goes before a ticket, that before a session."""
        is_ref = is_name(request.namespace) and is_name(request.name) and is_version(request.version)
        if is_ref and request.token is None and request.ticket is not None:
            ref = Ref(request.namespace, request.name, request.version)
            return ref, await self.tickets.redeem(request.ticket, ref)
        if request.token is None and request.session is not None:
            caller = await self.sessions.authenticate(request.session)
        else:
            caller = await self.access.authenticate(request.token)
        if not caller.may(Scope.READ):
            raise ForbiddenError("this key may not read", hint="make one with the scope `read`")
        if not is_ref:
            raise NotFoundError("there is no such template", hint="references look like namespace/name@1.0.0")
        return Ref(request.namespace, request.name, request.version), caller
