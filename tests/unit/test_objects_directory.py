"""The directory object store: complete or absent, written once, never outside of its directory."""

import asyncio
import os
from pathlib import Path

import pytest

from ingot.errors import NotFoundError
from ingot.storage.objects import DirectoryObjects, copy_sparse


@pytest.fixture
def objects(tmp_path: Path) -> DirectoryObjects:
    return DirectoryObjects(tmp_path / "objects")


async def test_bytes_come_back_as_they_went_in(objects: DirectoryObjects) -> None:
    assert await objects.put_bytes("goldens/a.json", b"{}")
    assert await objects.get_bytes("goldens/a.json") == b"{}"
    assert await objects.size("goldens/a.json") == 2
    assert await objects.exists("goldens/a.json")


async def test_an_object_is_never_changed(objects: DirectoryObjects, tmp_path: Path) -> None:
    await objects.put_bytes("a", b"first")
    assert not await objects.put_bytes("a", b"second")
    source = tmp_path / "source"
    source.write_bytes(b"third")
    assert not await objects.put_file("a", source)
    assert await objects.get_bytes("a") == b"first"
    assert not source.exists()


async def test_one_of_many_writers_of_a_key_wins(objects: DirectoryObjects) -> None:
    contents = [bytes([number]) * 1000 for number in range(20)]
    created = await asyncio.gather(*(objects.put_bytes("deep/er/key", content) for content in contents))
    assert created.count(True) == 1
    assert await objects.get_bytes("deep/er/key") == contents[created.index(True)]


async def test_a_file_of_the_same_file_system_is_moved(objects: DirectoryObjects, tmp_path: Path) -> None:
    source = tmp_path / "layer"
    source.write_bytes(b"layer")
    number = source.stat().st_ino
    assert await objects.put_file("layers/x.tar.zst", source)
    assert not source.exists()
    assert objects.path("layers/x.tar.zst").stat().st_ino == number
    assert objects.path("layers/x.tar.zst").stat().st_nlink == 1


@pytest.mark.skipif(
    not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat("/tmp").st_dev,
    reason="needs a second file system",
)
async def test_a_file_of_another_file_system_is_copied(objects: DirectoryObjects) -> None:
    source = Path(f"/dev/shm/ingot-test-{os.getpid()}")
    source.write_bytes(b"x" * 100_000)
    try:
        assert await objects.put_file("layers/x", source)
        assert not source.exists()
    finally:
        source.unlink(missing_ok=True)
    assert await objects.get_bytes("layers/x") == b"x" * 100_000
    assert await objects.list() == ("layers/x",)
    assert await objects.sweep() == 0


def test_a_copy_keeps_the_holes(tmp_path: Path) -> None:
    source = tmp_path / "sparse"
    with source.open("wb") as file:
        file.write(b"begin")
        file.seek(8 << 20)
        file.write(b"middle")
        file.truncate(64 << 20)
    copy_sparse(source, tmp_path / "copy")
    copy = tmp_path / "copy"
    assert copy.stat().st_size == 64 << 20
    assert copy.stat().st_blocks * 512 < 1 << 20
    assert copy.read_bytes() == source.read_bytes()


def test_an_empty_file_and_one_of_holes_alone_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(1 << 20)
    for name in ("empty", "holes"):
        copy_sparse(tmp_path / name, tmp_path / f"{name}-copy")
        assert (tmp_path / f"{name}-copy").read_bytes() == (tmp_path / name).read_bytes()


async def test_the_list_is_sorted_and_by_prefix(objects: DirectoryObjects) -> None:
    for key in ("layers/b.tar.zst", "layers/a.tar.zst", "goldens/a.json", "layer"):
        await objects.put_bytes(key, b"")
    assert await objects.list("layers/") == ("layers/a.tar.zst", "layers/b.tar.zst")
    assert await objects.list("layers/a") == ("layers/a.tar.zst",)
    assert await objects.list("lay") == ("layer", "layers/a.tar.zst", "layers/b.tar.zst")
    assert await objects.list("none/") == ()
    assert len(await objects.list()) == 4


async def test_a_deleted_object_is_gone_and_can_be_put_again(objects: DirectoryObjects) -> None:
    await objects.put_bytes("a/b", b"1")
    assert await objects.delete("a/b")
    assert not await objects.delete("a/b")
    assert not await objects.exists("a/b")
    assert await objects.put_bytes("a/b", b"2")


async def test_what_is_missing_is_named(objects: DirectoryObjects) -> None:
    with pytest.raises(NotFoundError, match=r"there is no object goldens/a\.json in the store"):
        await objects.get_bytes("goldens/a.json")
    with pytest.raises(NotFoundError, match=r"there is no object goldens/a\.json in the store"):
        await objects.size("goldens/a.json")


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", ".hidden", "a/.b", "a\0b", "a b", "é", "a\n", "x" * 513]
)
async def test_a_key_cannot_lead_anywhere_else(objects: DirectoryObjects, key: str) -> None:
    with pytest.raises(ValueError, match="is not an object's key"):
        await objects.put_bytes(key, b"")


@pytest.mark.parametrize("prefix", ["/", "../", "a/../../"])
async def test_a_prefix_cannot_lead_anywhere_else(objects: DirectoryObjects, prefix: str) -> None:
    with pytest.raises(ValueError, match="is not the beginning of an object's key"):
        await objects.list(prefix)


async def test_what_a_crash_left_half_made_is_invisible_and_swept(objects: DirectoryObjects, tmp_path: Path) -> None:
    await objects.put_bytes("a", b"")
    (tmp_path / "objects" / ".incoming" / "half").write_bytes(b"ha")
    assert await objects.list() == ("a",)
    assert await objects.sweep() == 1
    assert await objects.sweep() == 0
    assert await objects.put_bytes("b", b"")


async def test_a_source_that_is_not_there_makes_no_object(objects: DirectoryObjects, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await objects.put_file("a", tmp_path / "none")
    assert not await objects.exists("a")
