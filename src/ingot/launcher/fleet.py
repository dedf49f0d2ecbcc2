"""The computers that this process knows of, whatever they do: found for their account, counted, held to their most."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from ingot.computer_records import ComputerRecords
from ingot.errors import CapacityError, NotFoundError
from ingot.launcher.tracked import Tracked
from ingot.records.computer import Computer, ComputerStatus

MOST_COMPUTERS = 64
_REMEMBERED = 3600.0


class Fleet:
    """A test run that ended can be looked at for an hour."""

    def __init__(self, records: ComputerRecords) -> None:
        self._records = records
        self._entries: dict[str, Tracked] = {}

    def __iter__(self) -> Iterator[Tracked]:
        """As they are now: some may come and go while one waits."""
        return iter(tuple(self._entries.values()))

    def take(self, computer: Computer) -> Tracked:
        tracked = self._entries[computer.id] = Tracked(computer, self._records)
        return tracked

    def drop(self, computer: Computer) -> None:
        self._entries.pop(computer.id, None)

    def find(self, account: str, computer_id: str) -> Tracked:
        """By id or by instance id. Raises NotFoundError; another account's is not there."""
        for tracked in self._entries.values():
            computer = tracked.computer
            if computer.account == account and computer_id in (computer.id, computer.instance_id):
                return tracked
        raise NotFoundError(f"there is no computer {computer_id}", hint="a test run ends after idle minutes")

    def of(self, account: str) -> Sequence[Computer]:
        """Oldest first, test runs as well."""
        self._forget_old()
        mine = [tracked.computer for tracked in self._entries.values() if tracked.computer.account == account]
        return sorted(mine, key=lambda computer: computer.created_ms)

    def counts(self) -> Mapping[ComputerStatus, int]:
        """Of all accounts, test runs as well."""
        self._forget_old()
        return Counter(tracked.computer.status for tracked in self._entries.values())

    def golden_keys(self) -> frozenset[str]:
        """The goldens that computers stand on, also those that are stopped."""
        kept = [tracked for tracked in self._entries.values() if tracked.is_on or not tracked.computer.test_run]
        return frozenset(tracked.computer.golden_key for tracked in kept)

    def layers(self) -> frozenset[str]:
        """The names of the layers of their own that computers stand on."""
        return frozenset(name for tracked in self._entries.values() for name in tracked.computer.layers)

    def check_room(self) -> None:
        """Raises CapacityError when as many run as may."""
        self._forget_old()
        if sum(tracked.is_on for tracked in self._entries.values()) >= MOST_COMPUTERS:
            raise CapacityError(f"this host runs {MOST_COMPUTERS} computers already", retry_after=60)

    def _forget_old(self) -> None:
        now = time.monotonic()
        for key, tracked in list(self._entries.items()):
            if tracked.over_since is not None and now - tracked.over_since > _REMEMBERED:
                del self._entries[key]
