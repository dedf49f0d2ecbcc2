"""What computers wrote themselves: layers above those of their goldens, in `<directory>/<computer id>/<n>`.

A layer is complete and durable, or it is not there. It is never changed, so a clone refers to the layers of the
computer that it was made from; one is removed when no computer refers to it any more. They may hold whatever a
computer's user keeps in it: the directory is root's alone.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from ingot.machine.threads import in_thread
from ingot.storage.durable import make_directories, sync_directory
from ingot.store.tree import remove_tree

_UNFINISHED = ".new"


@dataclass(frozen=True, slots=True)
class NewLayer:
    """A layer in the making. `place` is the empty directory to fill; `name` what it will be known as."""

    place: Path
    name: str


class OwnLayers:
    """One task at a time makes layers of one computer."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._beginning = asyncio.Lock()

    def path(self, name: str) -> Path:
        """The directory that `Backend.open` takes as one element of a stack."""
        return self._directory / name

    @contextlib.asynccontextmanager
    async def making(self, computer_id: str) -> AsyncIterator[NewLayer]:
        """A place for the computer's next layer; removed on the way out unless `keep` was called. What a killed server
        left at that place is removed first."""
        try:
            async with self._beginning:
                new = await in_thread(lambda: self._next(computer_id))
                await remove_tree(new.place)
                new.place.mkdir()
        except BaseException:
            await asyncio.shield(self._leave(self._directory / computer_id))
            raise
        try:
            yield new
        finally:
            await asyncio.shield(self._discard(new))

    async def keep(self, new: NewLayer) -> str:
        """Gives a filled, durable layer its name, which is returned."""
        await in_thread(lambda: self._rename(new))
        return new.name

    def find_later(self, computer_id: str, names: Collection[str]) -> list[str]:
        """The computer's finished layers that came after those of `names`, oldest first: what was kept when the server
        was killed before it could write that down."""
        known = max((int(name.rpartition("/")[2]) for name in names if name.startswith(f"{computer_id}/")), default=0)
        places = (self._directory / computer_id).glob("*")
        later = sorted(int(place.name) for place in places if place.name.isdecimal() and int(place.name) > known)
        return [f"{computer_id}/{number}" for number in later]

    async def remove(self, names: Iterable[str], needed: Collection[str]) -> None:
        """Removes those of `names` that are not among the `needed`."""
        for name in names:
            if name not in needed:
                await remove_tree(self.path(name))
                await self._leave(self.path(name).parent)

    async def remove_those_of(self, computer_id: str, needed: Collection[str]) -> None:
        """Removes all that were made for a computer, finished or not, but the `needed`."""
        home = self._directory / computer_id
        await self.remove([f"{computer_id}/{place.name}" for place in home.glob("*")], needed)
        await self._leave(home)

    async def sweep(self, needed: Collection[str]) -> None:
        """Removes everything but the `needed`: what a server that was killed was making or removing."""
        for home in [home for home in self._directory.glob("*") if home.is_dir()]:
            await self.remove_those_of(home.name, needed)

    def _next(self, computer_id: str) -> NewLayer:
        home = self._directory / computer_id
        if not home.is_dir():
            make_directories(home, self._directory)
            self._directory.chmod(0o700)
        numbers = [int(place.name) for place in home.iterdir() if place.name.isdecimal()]
        name = str(max(numbers, default=0) + 1)
        return NewLayer(home / (name + _UNFINISHED), f"{computer_id}/{name}")

    def _rename(self, new: NewLayer) -> None:
        sync_directory(new.place)
        new.place.rename(self.path(new.name))
        sync_directory(new.place.parent)

    async def _discard(self, new: NewLayer) -> None:
        await remove_tree(new.place)
        await self._leave(new.place.parent)

    async def _leave(self, home: Path) -> None:
        """Removes a computer's directory when it is empty, but not while a layer begins in it."""
        async with self._beginning:
            with contextlib.suppress(OSError):
                home.rmdir()
