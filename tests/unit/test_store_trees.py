"""Trees that a guest wrote: nothing outside of them is ever read, however they are laid out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ingot.builder.leaks import find_leak
from ingot.builder.packages import describe_base, describe_layer, merge_packages
from ingot.builder.scrub import find_residue
from ingot.machine.contract import DownloadMount
from ingot.store.downloads import Bounds, Downloads
from ingot.store.tree import MAX_DEPTH, list_directory, read_file, remove_tree, walk


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/status").write_text("Package: stolen\nStatus: install ok installed\nVersion: 1\n")
    (tmp_path / "parts/diff").mkdir(parents=True)
    return tmp_path / "parts"


def write(tree: Path, path: str, content: str = "x") -> Path:
    place = tree / "diff" / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(content)
    return place


def test_a_link_on_the_way_or_at_the_end_is_not_followed(tree: Path) -> None:
    (tree / "diff/var").symlink_to(tree.parent / "outside")
    (tree / "diff/file").symlink_to("../../outside/status")
    assert read_file(tree / "diff", "var/status", 1000) is None
    assert read_file(tree / "diff", "file", 1000) is None
    assert list_directory(tree / "diff", "var") == []
    assert [entry.path for entry in walk(tree / "diff")] == ["file", "var"]


def test_a_path_cannot_climb_out(tree: Path) -> None:
    assert read_file(tree / "diff", "../../outside/status", 1000) is None


def test_a_pipe_or_a_large_file_is_not_read(tree: Path) -> None:
    os.mkfifo(tree / "diff/pipe")
    write(tree, "large", "x" * 101)
    assert read_file(tree / "diff", "pipe", 100) is None
    assert read_file(tree / "diff", "large", 100) is None


def deepen(root: Path, depth: int) -> None:
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)


async def test_a_tree_too_deep_for_any_path_is_refused_by_the_walk_and_can_be_removed(tree: Path) -> None:
    deepen(tree / "diff", 3000)
    with pytest.raises(OSError, match=f"nested more than {MAX_DEPTH} directories"):
        list(walk(tree / "diff"))
    await remove_tree(tree)
    assert not tree.exists()


async def test_removing_a_tree_leaves_what_its_links_point_to(tree: Path) -> None:
    (tree / "diff/link").symlink_to(tree.parent / "outside")
    await remove_tree(tree)
    assert (tree.parent / "outside/status").exists()
    await remove_tree(tree)


def test_packages_are_read_from_the_layer_s_own_files(tree: Path) -> None:
    write(
        tree,
        "var/lib/dpkg/status",
        "Package: curl\nStatus: install ok installed\nVersion: 7.88\nDescription: a\n Package: not\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
    )
    write(tree, "usr/local/lib/python3.11/dist-packages/typing_extensions-4.16.0.dist-info/METADATA")
    write(tree, "usr/local/lib/node_modules/pnpm/package.json", '{"name": "pnpm", "version": "9.1.0"}')
    write(tree, "usr/local/lib/node_modules/@acme/tool/package.json", '{"version": "2.0.0"}')
    write(tree, "usr/local/lib/node_modules/broken/package.json", "[" * 100_000)
    assert describe_layer(tree)["packages"] == {
        "apt": {"curl": "7.88"},
        "pip": {"typing-extensions": "4.16.0"},
        "npm": {"@acme/tool": "2.0.0", "pnpm": "9.1.0"},
    }


def test_packages_of_a_stack_are_those_that_are_left() -> None:
    stack = [
        {"packages": {"apt": {"a": "1", "b": "1"}, "pip": {"x": "1", "y": "1"}}},
        {"packages": {"pip": {"x": "2", "y": None}}},
        {"packages": {"apt": {"a": "2"}}},
        {},
    ]
    assert merge_packages(stack) == {"apt": {"a": "2"}, "pip": {"x": "2"}, "npm": {}}


def test_a_layer_that_points_dpkg_s_status_elsewhere_brings_no_packages(tree: Path) -> None:
    (tree / "diff/var/lib").mkdir(parents=True)
    (tree / "diff/var/lib/dpkg").symlink_to(tree.parent / "outside")
    assert describe_layer(tree)["packages"] == {}


def test_a_base_tells_which_package_managers_it_has(tree: Path) -> None:
    write(tree, "usr/bin/pip3")
    write(tree, "usr/local/bin/node")
    assert describe_base(tree)["executables"] == ["pip3", "node"]


def test_residue_is_what_must_not_reach_a_golden(tree: Path) -> None:
    for path in ("tmp/a/b", "root/.bash_history", "home/orgo/.python_history", "etc/ssh/ssh_host_rsa_key", "run/x.pid"):
        write(tree, path)
    write(tree, "var/log/dpkg.log", "")
    write(tree, "var/log/app/own.log", "line")
    write(tree, "etc/machine-id", "")
    write(tree, "root/keep")
    assert sorted(find_residue(tree / "diff")) == [
        "/etc/ssh/ssh_host_rsa_key",
        "/home/orgo/.python_history",
        "/root/.bash_history",
        "/run/x.pid",
        "/tmp/a",
        "/tmp/a/b",
        "/var/log/app/own.log",
    ]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("etc/conf", "key = hunter2hunter2 \n"),
        ("etc/split", "x" * (4 * 2**20 - 5) + "hunter2hunter2"),
        ("etc/encoded", "YQpodW50ZXIyaHVudGVyMg=="),
        ("home/hunter2hunter2.txt", "x"),
    ],
)
def test_a_secret_left_in_a_file_or_its_name_is_found(tree: Path, path: str, content: str) -> None:
    write(tree, path, content)
    assert find_leak(tree, {"token": "hunter2hunter2"}) == ("token", f"/{path}")


def test_a_secret_in_a_link_s_target_is_found_and_a_short_one_not_looked_for(tree: Path) -> None:
    (tree / "diff/link").symlink_to("/x/hunter2hunter2")
    assert find_leak(tree, {"pin": "x"}) is None
    assert find_leak(tree, {"token": "hunter2hunter2"}) == ("token", "/link")


# -- download caches ------------------------------------------------------------------------------------------


def added(tmp_path: Path, name: str) -> tuple[DownloadMount, Path]:
    place = tmp_path / "machine" / name
    place.mkdir(parents=True)
    return DownloadMount(name, "/inside", place), place


async def test_new_regular_files_are_kept_and_nothing_else(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "downloads")
    mount, place = added(tmp_path, "npm")
    (place / "content/aa").mkdir(parents=True)
    (place / "content/aa/blob").write_bytes(b"blob")
    (place / "link").symlink_to("/etc/passwd")
    (place / "tmp").mkdir()
    (place / "tmp/half").write_bytes(b"half")
    os.mkfifo(place / "pipe")
    assert await downloads.keep("acme", [mount]) == 1
    kept = tmp_path / "downloads/acme/npm"
    assert [path.relative_to(kept).as_posix() for path in kept.rglob("*") if not path.is_dir()] == ["content/aa/blob"]
    assert (kept / "content/aa/blob").read_bytes() == b"blob"


async def test_a_directory_swapped_for_a_link_cannot_lead_a_kept_file_elsewhere(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "downloads")
    mount, place = added(tmp_path, "npm")
    (place / "content").mkdir()
    (place / "content/blob").write_bytes(b"evil")
    downloads.mounts("acme")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "downloads/acme/npm/content").symlink_to(elsewhere)
    assert await downloads.keep("acme", [mount]) == 0
    assert list(elsewhere.iterdir()) == []


async def test_what_is_kept_is_bounded_and_the_oldest_goes_first(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "downloads", Bounds(file_bytes=50, total_bytes=100))
    mount, place = added(tmp_path, "pip")
    for age, name in enumerate(("new", "middle", "old")):
        (place / name).write_bytes(b"x" * 45)
        os.utime(place / name, (1_000_000 - age, 1_000_000 - age))
    (place / "huge").write_bytes(b"x" * 51)
    await downloads.keep("acme", [mount])
    assert {path.name for path in (tmp_path / "downloads/acme/pip").iterdir()} == {"new", "middle"}


async def test_the_bound_of_files_is_for_what_all_builds_added(tmp_path: Path) -> None:
    downloads, kept = Downloads(tmp_path / "downloads", Bounds(files=100)), tmp_path / "downloads/acme/pip"
    for build in range(3):
        (tmp_path / str(build)).mkdir()
        mount, place = added(tmp_path / str(build), "pip")
        for number in range(80):
            (place / f"{build}-{number}").touch()
        await downloads.keep("acme", [mount])
    assert len(list(kept.iterdir())) == 100
    assert len(list(kept.glob("2-*"))) == 80


async def test_apt_keeps_packages_and_lists_but_no_locks(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "downloads")
    archives, place = added(tmp_path, "apt-archives")
    for name in ("curl_1_amd64.deb", "lock", "partial"):
        (place / name).write_bytes(b"x")
    lists, listed = added(tmp_path, "apt-lists")
    for name in ("InRelease", "lock"):
        (listed / name).write_bytes(b"x")
    assert await downloads.keep("acme", [archives, lists]) == 2


def test_lists_are_fresh_only_after_they_were_updated_for_that_account(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path / "downloads")
    assert not downloads.lists_fresh("acme")
    downloads.lists_updated("acme")
    assert downloads.lists_fresh("acme")
    assert not downloads.lists_fresh("other")
    os.utime(tmp_path / "downloads/acme/apt-lists.updated", (1, 1))
    assert not downloads.lists_fresh("acme")


@pytest.mark.parametrize("account", ["", "..", "a/b", ".hidden"])
def test_an_account_that_could_name_another_place_is_refused(tmp_path: Path, account: str) -> None:
    with pytest.raises(ValueError, match="cannot name a directory"):
        Downloads(tmp_path).mounts(account)
