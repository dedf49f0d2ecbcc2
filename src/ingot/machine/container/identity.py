"""A computer's own name and machine id, written into its root before anything runs there.

They are files of the machine, as on any computer: its user may look at them, and they are in its layers. What says the
right thing already is left alone, so that only a computer's first start, and a clone's, writes anything. The machine
id follows from the name: it stays the same over restarts without being kept anywhere.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

from ingot.errors import MachineError
from ingot.machine.container.guest_files import read_accounts, read_text, write_file
from ingot.records.machine import GuestFile

log = logging.getLogger(__name__)

_HOSTNAME, _HOSTS, _MACHINE_ID = "/etc/hostname", "/etc/hosts", "/etc/machine-id"
_BUS_ID = "/var/lib/dbus/machine-id"


def give_identity(root: Path, hostname: str) -> None:
    """Makes the machine below `root` the one called `hostname`. Where its user put something else in the place of one
    of these files, that stays: it is no reason for the machine not to start."""
    accounts = read_accounts(root)
    for file in _identity_files(root, hostname):
        try:
            write_file(root, file, accounts)
        except MachineError as error:
            log.warning("a machine keeps what it has in place of its identity: %s", error)


def machine_id(hostname: str) -> str:
    """32 hex digits, as /etc/machine-id wants them."""
    return hashlib.sha256(f"ingot machine id {hostname}".encode()).hexdigest()[:32]


def renamed_hosts(text: str, old: str, new: str) -> str:
    """/etc/hosts with the machine's own name changed where it stood, or added where it did not."""
    lines = [_renamed_line(line, old, new) for line in text.splitlines()]
    if not any(new in _names(line) for line in lines):
        lines.append(f"127.0.1.1\t{new}")
    return "\n".join(lines) + "\n"


def _renamed_line(line: str, old: str, new: str) -> str:
    if old in ("", "localhost") or old not in _names(line):
        return line
    address, *names = line.split()
    return f"{address}\t{' '.join(new if name == old else name for name in names)}"


def _names(line: str) -> list[str]:
    return line.partition("#")[0].split()[1:]


def _identity_files(root: Path, hostname: str) -> Iterator[GuestFile]:
    """What does not say yet who the machine is."""
    old = read_text(root, _HOSTNAME).strip()
    hosts = read_text(root, _HOSTS)
    identity = f"{machine_id(hostname)}\n"
    if old != hostname:
        yield GuestFile(_HOSTNAME, f"{hostname}\n".encode())
    if (renamed := renamed_hosts(hosts, old, hostname)) != hosts:
        yield GuestFile(_HOSTS, renamed.encode())
    if read_text(root, _MACHINE_ID) != identity:
        yield GuestFile(_MACHINE_ID, identity.encode(), 0o444)
    if read_text(root, _BUS_ID) not in ("", identity):
        yield GuestFile(_BUS_ID, identity.encode())
