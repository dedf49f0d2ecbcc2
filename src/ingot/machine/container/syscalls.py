"""The few system calls that Python has no function for: mounts, loop devices, confined opening.

Thin and blocking: each function is one call (or the short sequence the kernel wants) and raises OSError
with the path. Nothing here decides anything, and nothing here starts a process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOATIME, MS_BIND = 1, 2, 4, 1024, 4096
MNT_DETACH = 2

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 1, 4
_FSCONFIG_SET_FLAG, _FSCONFIG_SET_STRING, _FSCONFIG_CMD_CREATE = 0, 1, 6
_MOUNT_ATTR_NODEV, _MOUNT_ATTR_NOATIME, _MOUNT_ATTR_IDMAP = 4, 0x10, 0x100000
_NR_OPEN_TREE, _NR_MOVE_MOUNT, _NR_FSOPEN, _NR_FSCONFIG, _NR_FSMOUNT = 428, 429, 430, 431, 432
_NR_OPENAT2, _NR_MOUNT_SETATTR = 437, 442
_RESOLVE_NO_XDEV, _RESOLVE_NO_MAGICLINKS, _RESOLVE_NO_SYMLINKS, _RESOLVE_IN_ROOT = 1, 2, 4, 16
_LOOP_CTL_GET_FREE, _LOOP_CONFIGURE, _LO_FLAGS_AUTOCLEAR = 0x4C82, 0x4C0A, 4
_LOOP_MAJOR, _EXT4_IOC_SHUTDOWN, _EXT4_DROP_EVERYTHING = 7, 0x8004587D, 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    _check(
        _libc.mount(source.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()),
        target,
    )


def bind(source: str | Path, target: Path) -> None:
    mount(str(source), target, "", MS_BIND)


def unmount(target: Path, *, detach: bool = False) -> None:
    """Raises OSError EBUSY while in use, unless `detach`: then the mount goes when its last user does."""
    _check(_libc.umount2(os.fsencode(target), MNT_DETACH if detach else 0), target)


def mount_overlay(lower: Sequence[Path], upper: Path, work: Path, target: Path, flags: Mapping[str, str]) -> None:
    """Mounts an overlay of up to 500 lower directories, the topmost first. `volatile`: syncing inside costs
    nothing, and only an ordered end of the machine keeps what was written.

    Directories are named by descriptors: the options show inside the machine, where paths of the host say
    too much.
    """
    with _named(*lower, upper, work) as names:
        context = _syscall(_NR_FSOPEN, b"overlay", 1, path=target)
        try:
            for name in names[:-2]:
                _configure(context, "lowerdir+", name)
            for option, value in {"upperdir": names[-2], "workdir": names[-1], **flags}.items():
                _configure(context, option, value)
            _syscall(_NR_FSCONFIG, context, _FSCONFIG_SET_FLAG, b"volatile", None, 0, path=target)
            _syscall(_NR_FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0, path=target)
            made = _syscall(_NR_FSMOUNT, context, 1, _MOUNT_ATTR_NODEV | _MOUNT_ATTR_NOATIME, path=target)
        finally:
            os.close(context)
    try:
        _move(made, target)
    finally:
        os.close(made)


def mount_overlay_classic(
    lower: Sequence[Path], upper: Path, work: Path, target: Path, flags: Mapping[str, str]
) -> None:
    """The same through mount(2), for kernels below 6.5: its option string is one page, room for about 190."""
    with _named(*lower, upper, work) as names:
        options = [f"lowerdir={':'.join(names[:-2])}", f"upperdir={names[-2]}", f"workdir={names[-1]}", "volatile"]
        options += [f"{option}={value}" for option, value in flags.items()]
        mount("overlay", target, "overlay", MS_NODEV | MS_NOATIME, ",".join(options))


@contextlib.contextmanager
def _named(*directories: Path) -> Iterator[list[str]]:
    """Short names for directories, valid inside the context."""
    opened: list[int] = []
    try:
        for directory in directories:
            opened.append(os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        yield [f"/proc/self/fd/{descriptor}" for descriptor in opened]
    finally:
        for descriptor in opened:
            os.close(descriptor)


def bind_mapped(source: Path, target: Path, user_namespace: Path) -> None:
    """Mounts `source` at `target` with owners shifted through `user_namespace`: on-disk root shows as the
    mapped root. Needs a file system that can (ext4, xfs, btrfs; kernel 5.12 or newer)."""
    tree = _syscall(_NR_OPEN_TREE, _AT_FDCWD, os.fsencode(source), _OPEN_TREE_CLONE | os.O_CLOEXEC, path=source)
    try:
        space = os.open(user_namespace, os.O_RDONLY | os.O_CLOEXEC)
        try:
            attributes = struct.pack("=QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, space)
            _syscall(_NR_MOUNT_SETATTR, tree, b"", _AT_EMPTY_PATH, attributes, len(attributes), path=source)
        finally:
            os.close(space)
        _move(tree, target)
    finally:
        os.close(tree)


def open_inside(root: int, path: str, flags: int, mode: int = 0) -> int:
    """Opens `path` as if `root` (a directory's descriptor) were the root directory: neither `..` nor any
    symbolic link leads out of it, nor onto another file system."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, mode, _RESOLVE_IN_ROOT | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV)
    return _syscall(_NR_OPENAT2, root, os.fsencode(path), how, len(how), path=path)


def open_mounted(root: int, path: str, flags: int) -> int:
    """The same for what is mounted below `root`; no symbolic link is followed at all."""
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, _RESOLVE_IN_ROOT | _RESOLVE_NO_SYMLINKS)
    return _syscall(_NR_OPENAT2, root, os.fsencode(path), how, len(how), path=path)


def sync_file_system(directory: Path) -> None:
    """Writes everything of the file system that holds `directory` to the disk."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _check(_libc.syncfs(descriptor), directory)
    finally:
        os.close(descriptor)


def attach_loop(image: Path) -> tuple[str, int]:
    """Makes a free loop device of `image`; returns (device path, its descriptor). The device frees itself
    when it is closed and unmounted everywhere."""
    backing = os.open(image, os.O_RDWR | os.O_CLOEXEC)
    control = os.open("/dev/loop-control", os.O_RDWR | os.O_CLOEXEC)
    try:
        for _attempt in range(64):
            device = f"/dev/loop{fcntl.ioctl(control, _LOOP_CTL_GET_FREE)}"
            descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
            name = os.fsencode(image)[-63:]
            details = struct.pack(
                "=QQQQQIIII64s64s32sQQ", 0, 0, 0, 0, 0, 0, 0, 0, _LO_FLAGS_AUTOCLEAR, name, b"", b"", 0, 0
            )
            try:
                fcntl.ioctl(descriptor, _LOOP_CONFIGURE, struct.pack("=II", backing, 0) + details + bytes(64))
            except OSError as error:
                os.close(descriptor)
                if error.errno != errno.EBUSY:  # someone else took the device since it was offered
                    raise
            else:
                return device, descriptor
        raise OSError(errno.EBUSY, "no free loop device after 64 attempts", str(image))
    finally:
        os.close(control)
        os.close(backing)


def discard_file_system(mount_point: Path, image: Path) -> bool:
    """Tells the ext4 of `image`, mounted at `mount_point`, to drop everything unwritten, because the image is
    about to be deleted: unmounting then takes no time. Does nothing, and says so, unless the file system
    there is exactly that image's."""
    descriptor = os.open(mount_point, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        device = os.fstat(descriptor).st_dev
        backing = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/loop/backing_file")
        if os.major(device) != _LOOP_MAJOR or backing.read_text().rstrip("\n") != str(image.resolve()):
            return False
        fcntl.ioctl(descriptor, _EXT4_IOC_SHUTDOWN, struct.pack("=I", _EXT4_DROP_EVERYTHING))
        return True
    finally:
        os.close(descriptor)


def _configure(context: int, name: str, value: str) -> None:
    _syscall(_NR_FSCONFIG, context, _FSCONFIG_SET_STRING, name.encode(), os.fsencode(value), 0, path=value)


def _move(tree: int, target: Path) -> None:
    place = os.fsencode(target)
    _syscall(_NR_MOVE_MOUNT, tree, b"", _AT_FDCWD, place, _MOVE_MOUNT_F_EMPTY_PATH, path=target)


def _syscall(number: int, *arguments: int | bytes | None, path: str | Path) -> int:
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *values), path)


def _check(result: int, path: str | Path) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
    return result
