"""Reads and writes single files of a machine's root from the host.

Every path is resolved by the kernel as if the machine's root were the host's (openat2): no symbolic link
inside leads out. A file is written beside its place and renamed, so a link at its place is replaced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from ingot.errors import MachineDiskError, MachineError
from ingot.machine.container import syscalls
from ingot.machine.container.accounts import Accounts
from ingot.machine.container.ids import FIRST_ID, to_host
from ingot.records.machine import GuestFile

_LARGEST_ACCOUNTS_FILE = 1024 * 1024
_NOT_OURS = frozenset({"proc", "sys", "dev"})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def read_accounts(root: Path) -> Accounts:
    """The machine's users and groups now; a missing file counts as an empty one."""
    with _opened(root) as top:
        return Accounts(_read_text(top, "/etc/passwd"), _read_text(top, "/etc/group"))


def read_text(root: Path, path: str) -> str:
    """The text of a small regular file of the machine; empty when there is none."""
    with _opened(root) as top:
        return _read_text(top, path)


def write_file(root: Path, file: GuestFile, accounts: Accounts) -> None:
    """Writes one file. Raises MachineDiskError when the disk is full, MachineError naming the file when
    it cannot be written."""
    path = PurePosixPath(file.path)
    if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise MachineError(f"{file.path!r} cannot be written in the machine: it is not an absolute path of a file")
    if path.parts[1] in _NOT_OURS:
        raise MachineError(f"{file.path!r} cannot be written in the machine: /{path.parts[1]} belongs to the kernel")
    owner, group = to_host(accounts.uid(file.owner)), to_host(accounts.gid(file.group))
    try:
        with _opened(root) as top, _parent(top, path.parts[1:-1]) as parent:
            _write(parent, path.name, file, owner, group)
    except OSError as error:
        if error.errno in _FULL:
            raise MachineDiskError(f"{file.path!r} cannot be written: the machine's disk is full") from error
        raise MachineError(f"{file.path!r} cannot be written in the machine: {error.strerror}") from error


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read_text(root: int, path: str) -> str:
    try:
        descriptor = syscalls.open_inside(root, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, _LARGEST_ACCOUNTS_FILE).decode(errors="replace")
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _parent(root: int, parts: Sequence[str]) -> Iterator[int]:
    """The directory `parts`, made where it is missing (root, 0755)."""
    current = "/"
    for part in parts:
        inside = current
        current = f"{current.rstrip('/')}/{part}"
        try:
            os.close(syscalls.open_inside(root, current, os.O_PATH | os.O_DIRECTORY))
        except FileNotFoundError:
            _make_directory(root, inside, part)
    descriptor = syscalls.open_inside(root, current, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_directory(root: int, inside: str, name: str) -> None:
    above = syscalls.open_inside(root, inside, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.mkdir(name, 0o755, dir_fd=above)  # a dangling link of that name: EEXIST, told as it is
        os.chown(name, FIRST_ID, FIRST_ID, dir_fd=above, follow_symlinks=False)
    finally:
        os.close(above)


def _write(parent: int, name: str, file: GuestFile, owner: int, group: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            raise IsADirectoryError(errno.EISDIR, "a directory of that name is in the way")
    beside = f".ingot-{secrets.token_hex(8)}"
    descriptor = os.open(
        beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent
    )
    try:
        try:
            view = memoryview(file.content)
            while view:
                view = view[os.write(descriptor, view) :]
            os.fchown(descriptor, owner, group)
            os.fchmod(descriptor, file.mode & 0o7777)
        finally:
            os.close(descriptor)
        os.rename(beside, name, src_dir_fd=parent, dst_dir_fd=parent)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside, dir_fd=parent)
        raise
