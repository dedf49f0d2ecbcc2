"""Merged layers: an overlay shows the same with them as without, whatever was written, replaced and deleted."""

from __future__ import annotations

import errno
import os
import random
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from ingot.errors import HostError
from ingot.machine.container import ContainerBackend, mounts, overlay
from ingot.machine.container.capture import capture_tree
from ingot.machine.container.merging import count_entries, merge_trees
from ingot.machine.threads import Stopped
from tests.machine.conftest import Opener, sh

pytestmark = pytest.mark.machine

NAMES = ("a", "b", "c", "d")
GO_ON = threading.Event()


class Stack:
    """Layers made by writing through an overlay of those below, as machines make them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.trees: list[Path] = []
        self._mounts = 0

    def mount(self, trees: list[Path]) -> tuple[Path, overlay.WritableTop]:
        self._mounts += 1
        top = overlay.make_top(self.directory / f"top{self._mounts}")
        place = self.directory / "root"
        overlay.mount_stack(trees, top, place)
        return place, top

    def write(self, work: Callable[[Path], object]) -> None:
        """One more layer; `work` is called with the mounted root."""
        root, top = self.mount(self.trees or [self._empty()])
        try:
            work(root)
        finally:
            mounts.unmount(root)
        tree = self.directory / f"layer{len(self.trees)}"
        capture_tree(top.upper, tree, GO_ON)
        self.trees.append(tree)

    def seen(self, trees: list[Path]) -> dict[str, object]:
        root, _ = self.mount(trees)
        try:
            return look(root)
        finally:
            mounts.unmount(root)

    def merge(self, trees: list[Path], below: Sequence[Path] = ()) -> Path:
        self._mounts += 1
        merged = self.directory / f"merged{self._mounts}"
        merge_trees(trees, below, merged, GO_ON)
        return merged

    def _empty(self) -> Path:
        place = self.directory / "empty"
        place.mkdir(exist_ok=True)
        return place


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    yield Stack(tmp_path)
    assert not list(mounts.mounts_below(tmp_path))


def look(root: Path) -> dict[str, object]:
    """Everything that a program could see, but for inode numbers; which names are links of each other is in it."""
    seen: dict[str, object] = {}
    firsts: dict[int, str] = {}
    for directory, below, names in os.walk(root):
        below.sort()
        for name in sorted([*below, *names]):
            path = os.path.join(directory, name)
            status = os.lstat(path)
            inside = os.path.relpath(path, root)
            facts: list[object] = [status.st_mode, status.st_uid, status.st_gid, status.st_mtime_ns]
            facts.append({key: os.getxattr(path, key) for key in os.listxattr(path, follow_symlinks=False)})
            if stat.S_ISREG(status.st_mode):
                content = Path(path).read_bytes()
                facts += [content, status.st_blocks, firsts.setdefault(status.st_ino, inside)]
            elif stat.S_ISLNK(status.st_mode):
                facts.append(os.readlink(path))
            seen[inside] = facts
    return seen


def scribble(root: Path, chance: random.Random) -> None:
    """A few changes somewhere: nothing is too odd for somebody to do it."""
    for _ in range(chance.randrange(1, 9)):
        directories = [root, *(Path(place) for place, _, _ in os.walk(root))]
        place = chance.choice(directories) / chance.choice(NAMES)
        if os.path.lexists(place) and chance.random() < 0.5:
            remove(place)
        if os.path.lexists(place):
            os.setxattr(place.parent, "user.mark", str(chance.random()).encode())
            os.chown(place, chance.randrange(100000, 100003), 100001, follow_symlinks=False)
        else:
            make(place, [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()], chance)


def remove(place: Path) -> None:
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink()


def make(place: Path, files: list[Path], chance: random.Random) -> None:
    kind = chance.choice(["directory", "directory", "link", "hard link", "renamed", "file", "file"])
    if kind == "directory":
        place.mkdir(mode=chance.choice([0o700, 0o755, 0o1777]))
    elif kind == "link":
        place.symlink_to(chance.choice(["nowhere", "../a", "/etc/passwd"]))
    elif kind == "hard link" and files:
        os.link(chance.choice(files), place)
    elif kind == "renamed" and files:
        chance.choice(files).rename(place)
    else:
        with place.open("wb") as file:
            file.truncate(chance.choice([0, 100, 300_000]))
            file.seek(chance.choice([0, 200_000]))
            file.write(chance.randbytes(chance.randrange(50)))
        os.setxattr(place, "user.number", str(chance.random()).encode())


@pytest.mark.parametrize("seed", range(12))
def test_any_stretch_of_a_stack_can_be_merged(stack: Stack, seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(8):
        stack.write(lambda root: scribble(root, chance))
    expected = stack.seen(stack.trees)
    for begin in range(len(stack.trees)):
        for end in range(begin + 1, len(stack.trees) + 1):
            merged = stack.merge(stack.trees[begin:end], stack.trees[:begin])
            assert stack.seen([*stack.trees[:begin], merged, *stack.trees[end:]]) == expected, (begin, end)
    lower = stack.merge(stack.trees[2:5], stack.trees[:2])
    upper = stack.merge(stack.trees[5:], [*stack.trees[:2], lower])
    twice = stack.merge([lower, upper], stack.trees[:2])
    assert stack.seen([*stack.trees[:2], twice]) == expected


def test_files_are_shared_and_outlive_the_layers_they_came_from(stack: Stack) -> None:
    stack.write(lambda root: (root / "kept").write_bytes(b"x" * 100_000))
    stack.write(lambda root: (root / "other").write_bytes(b"y"))
    merged = stack.merge(stack.trees)
    assert (merged / "kept").stat().st_ino == (stack.trees[0] / "kept").stat().st_ino
    assert count_entries(merged) == 2
    for tree in stack.trees:
        shutil.rmtree(tree)
    assert (merged / "kept").read_bytes() == b"x" * 100_000
    assert (merged / "kept").stat().st_nlink == 1


def test_files_with_as_many_links_as_the_file_system_takes_are_copied(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(root: Path) -> None:
        (root / "first").write_bytes(b"body")
        os.setxattr(root / "first", "user.note", b"kept")
        os.link(root / "first", root / "second")

    stack.write(work)
    expected, link = stack.seen(stack.trees), os.link

    def refuse(source: str, target: str, **options: bool) -> None:
        if str(stack.trees[0]) in source:
            raise OSError(errno.EMLINK, "Too many links")
        link(source, target, **options)

    monkeypatch.setattr(os, "link", refuse)
    merged = stack.merge(stack.trees)
    assert (merged / "first").stat().st_nlink == 2
    assert stack.seen([merged]) == expected


def test_a_merge_can_be_stopped_and_says_when_it_cannot_write(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.write(lambda root: (root / "file").touch())
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(Stopped):
        merge_trees(stack.trees, [], stack.directory / "stopped", stopped)
    with pytest.raises(HostError, match="layers cannot be merged"):
        merge_trees(stack.trees, [], stack.directory / "missing/place", GO_ON)


async def test_machines_run_on_merged_layers(open_machine: Opener, base_layer: Path, tmp_path: Path) -> None:
    """Files of the base replaced and deleted over many layers; the machine on the merged one sees the last of them."""
    layers = []
    for number in range(20):
        layers.append(tmp_path / f"layer{number}")
        layers[-1].mkdir()
    async with open_machine() as machine:
        for number, layer in enumerate(layers):
            script = f"rm -rf /etc/skel /srv/{number - 2}; mkdir -p /srv/{number}; echo {number} >/srv/{number}/n; "
            script += f"[ {number} -lt 10 ] || mkdir /etc/skel; rm -f /etc/issue; ln -f /srv/{number}/n /srv/newest"
            result, said = await sh(machine, script)
            assert result.exit_code == 0, said
            await machine.checkpoint(layer)
    merged = tmp_path / "merged"
    merged.mkdir()
    await ContainerBackend(tmp_path / "machines").merge(layers, [base_layer], merged)
    look_inside = "ls -A /srv /etc/skel; cat /srv/*/n; [ /srv/19/n -ef /srv/newest ] && echo linked; ls /etc/issue"
    async with open_machine(*layers) as machine:
        _, apart = await sh(machine, look_inside)
    async with open_machine(merged) as machine:
        _, together = await sh(machine, look_inside)
    assert together == apart
    assert "linked" in together
    assert "cannot access '/etc/issue'" in together
