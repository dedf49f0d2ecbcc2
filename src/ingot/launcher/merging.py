"""Keeps the stack of what a computer wrote low: at a start, many layers become one.

The new layer is there, complete, before the row names it, and the old ones go only after. A crash in between leaves
what no row names, which the next server's start removes. Layers that a clone stands on stay for the clone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from ingot.errors import DeadlineError, IngotError
from ingot.launcher.own_layers import NewLayer, OwnLayers
from ingot.launcher.tracked import Tracked
from ingot.machine.contract import Backend
from ingot.machine.threads import in_thread, uninterrupted

log = logging.getLogger(__name__)

MOST_LAYERS = 16
_LEFT_ALONE = MOST_LAYERS // 2
_DEADLINE = 1800.0


class Merging:
    """`needed` tells the names of the layers that computers stand on."""

    def __init__(self, backend: Backend, own: OwnLayers, needed: Callable[[], Collection[str]]) -> None:
        self._backend = backend
        self._own = own
        self._needed = needed

    async def stack(self, tracked: Tracked, golden: tuple[Path, ...]) -> tuple[Path, ...]:
        """What the computer's machine is to be opened on: its golden's layers and its own, merged where there were too
        many. Where they cannot be merged they are used as they are: it is no reason not to start."""
        if len(tracked.computer.layers) > MOST_LAYERS:
            try:
                await self._merge(tracked, golden)
            except (IngotError, OSError) as error:
                log.warning("a computer's layers stay apart: %s", error, extra={"computer": tracked.computer.id})
        return (*golden, *self._paths(tracked.computer.layers))

    async def _merge(self, tracked: Tracked, golden: tuple[Path, ...]) -> None:
        before = tracked.computer.layers
        weights = await in_thread(lambda: [self._backend.weigh(layer) for layer in self._paths(before)])
        first = first_to_merge(weights)
        async with self._own.making(tracked.computer.id) as new:
            try:
                async with asyncio.timeout(_DEADLINE):
                    below = (*golden, *self._paths(before[:first]))
                    await self._backend.merge(self._paths(before[first:]), below, new.place)
            except TimeoutError:
                raise DeadlineError(f"it took longer than {_DEADLINE:g} s", seconds=_DEADLINE) from None
            await uninterrupted(self._adopt(tracked, before[:first], new))

    async def _adopt(self, tracked: Tracked, below: tuple[str, ...], new: NewLayer) -> None:
        before, layers = tracked.computer.layers, (*below, await self._own.keep(new))
        tracked.set(layers=layers)
        try:
            await tracked.save()
        except BaseException:
            tracked.set(layers=before)
            await self._own.remove(layers, self._needed())
            raise
        await self._own.remove(before, self._needed())

    def _paths(self, names: Sequence[str]) -> tuple[Path, ...]:
        return tuple(self._own.path(name) for name in names)


def first_to_merge(weights: Sequence[int]) -> int:
    """Where the layers to merge begin, given what each weighs, oldest first: a layer that outweighs all above it is
    left alone, so that what was merged once is merged again only when as much has come since."""
    first = 0
    while first < _LEFT_ALONE and weights[first] > sum(weights[first + 1 :]):
        first += 1
    return first
