"""What the API shows of an item, decided from its attempts: pure."""

from __future__ import annotations

from collections.abc import Iterable

from ingot.records.build import Build, BuildState, BuildStatus


def status_of(digest: str, builds: Iterable[Build]) -> BuildStatus:
    """The status of the content `digest` of a ref, given the ref's attempts in any order.

    Attempts of other content do not count. While one is under way it is `building`; else a golden that is still
    there makes it `ready`, whatever the newest attempt came to; else it is `failed`, or `not_built` when it was
    never built or its golden was collected.
    """
    own = sorted((build for build in builds if build.digest == digest), key=lambda build: build.attempt)
    if not own:
        return BuildStatus.NOT_BUILT
    if any(not build.state.is_over for build in own):
        return BuildStatus.BUILDING
    if any(build.state is BuildState.READY and build.golden_key for build in own):
        return BuildStatus.READY
    return BuildStatus.FAILED if own[-1].state is BuildState.FAILED else BuildStatus.NOT_BUILT
