"""Users and groups of a machine, read from its own files. Written by the guest: every line may be nonsense."""

from __future__ import annotations

from dataclasses import dataclass

from ingot.errors import MachineError
from ingot.machine.container.bundle import GuestUser
from ingot.machine.container.ids import ID_COUNT


@dataclass(frozen=True, slots=True)
class Accounts:
    """The texts of /etc/passwd and /etc/group."""

    passwd: str
    group: str

    def user(self, name: str) -> GuestUser:
        """Who `name` (or a decimal uid) is, with all groups. Raises MachineError for someone unknown."""
        if name in ("root", "0"):
            return GuestUser("root", 0, 0, (), "/root")
        for fields in _rows(self.passwd, 7):
            uid, gid = _id(fields[2]), _id(fields[3])
            if name in (fields[0], fields[2]) and uid is not None and gid is not None:
                return GuestUser(fields[0], uid, gid, self._groups_of(fields[0], gid), fields[5] or "/")
        if name.isdecimal() and int(name) < ID_COUNT:
            return GuestUser(name, int(name), int(name), (), "/")
        raise MachineError(f"there is no user {name!r} in the machine", hint="name one that /etc/passwd has, or a uid")

    def uid(self, name: str) -> int:
        return self.user(name).uid

    def gid(self, name: str) -> int:
        """Raises MachineError for an unknown group."""
        if name in ("root", "0"):
            return 0
        for fields in _rows(self.group, 4):
            if name in (fields[0], fields[2]) and (gid := _id(fields[2])) is not None:
                return gid
        if name.isdecimal() and int(name) < ID_COUNT:
            return int(name)
        raise MachineError(f"there is no group {name!r} in the machine", hint="name one that /etc/group has, or a gid")

    def _groups_of(self, name: str, gid: int) -> tuple[int, ...]:
        found = []
        for fields in _rows(self.group, 4):
            if name in fields[3].split(",") and (other := _id(fields[2])) is not None and other != gid:
                found.append(other)
        return tuple(found)


def _rows(text: str, width: int) -> list[list[str]]:
    return [fields for line in text.splitlines() if len(fields := line.split(":")) == width]


def _id(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and int(text) < ID_COUNT else None
