"""boot: a machine on the deepest layer that is known; none at all when nothing is left to run."""

from __future__ import annotations

from ingot.builder.bake import Bake
from ingot.records.event import Phase

PHASE = Phase.BOOT


async def run(bake: Bake) -> None:
    if bake.decided.all_known:
        await bake.say("every layer is known: no build VM is needed")
        return
    await bake.say("booting build VM", source=None)
    await bake.seat.at(bake.decided.deepest_known)
