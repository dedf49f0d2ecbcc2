"""Layers: what a checkpoint keeps of a tree, how many may be stacked, and how they travel as archives."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from ingot.errors import CorruptStoreError
from ingot.machine.container import ContainerBackend
from ingot.machine.contract import DownloadMount
from ingot.records.machine import GuestFile
from tests.machine.conftest import SMALL, Opener, sh

pytestmark = pytest.mark.machine

MAKE = r"""
set -e
mkdir -p /srv/tree/sub && cd /srv/tree
echo plain >plain; chmod 640 plain; chown orgo:orgo plain
cp /bin/true setuid; chmod 4755 setuid
ln plain hard; ln -s /etc/passwd soft; ln -s "nowhere at all" dangling; mkfifo pipe
truncate -s 50M sparse; printf x | dd of=sparse bs=1 seek=20000000 conv=notrunc 2>/dev/null
touch "$(printf 'not \377 utf-8')"; printf '%s' body >"$(printf 'n\303\244me with space\nand line')"
python3 -c "
import os
os.setxattr('plain', 'user.note', b'kept \xff')
os.setxattr('setuid', 'security.capability', bytes.fromhex('0100000200040000000000000000000000000000'))"
rm /etc/debian_version; rm -rf /etc/sudoers.d; mkdir /etc/sudoers.d; echo new >/etc/sudoers.d/only
touch -d '2001-02-03 04:05:06 UTC' plain sub
python3 -c "
import socket; socket.socket(socket.AF_UNIX).bind('socket')"
"""

LOOK = r"""
cd /srv/tree
stat -c '%n %F %U %G %a %h %s %Y' plain sub setuid hard pipe | sed 's/ [0-9]*$//' | head -5
stat -c '%n %Y' plain sub
readlink soft dangling; stat -c '%s' sparse; [ $(stat -c %b sparse) -lt 100 ] && echo holes
dd if=sparse bs=1 skip=20000000 count=1 2>/dev/null; echo; cat n*; ls | od -c | grep -c 377; echo
python3 -c "
import os
print(os.getxattr('plain', 'user.note'), os.getxattr('setuid', 'security.capability').hex()[-48:])"
[ plain -ef hard ] && echo linked
ls /etc/debian_version /etc/sudoers.d 2>&1; ls socket 2>&1
"""

NO_SOCKET = "\nls: cannot access 'socket': No such file or directory\n"


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    directory = tmp_path / "layer"
    directory.mkdir()
    return directory


async def test_a_checkpoint_and_its_archive_keep_everything_of_a_tree(
    backend: ContainerBackend, open_machine: Opener, layer: Path, tmp_path: Path
) -> None:
    async with open_machine() as machine:
        result, text = await sh(machine, MAKE)
        assert (result.exit_code, text) == (0, "")
        _, before = await sh(machine, LOOK)
        captured = await machine.checkpoint(layer)
        _, after = await sh(machine, LOOK)
    archive, again = tmp_path / "layer.tar.zst", tmp_path / "again"
    again.mkdir()
    await backend.pack(layer, archive)
    assert archive.stat().st_size < 100_000
    unpacked = await backend.unpack(archive, again)
    async with open_machine(again) as machine:
        _, travelled = await sh(machine, LOOK)
    assert (unpacked, travelled) == (captured, before.replace("\nsocket\n", NO_SOCKET))
    assert "holes" in travelled
    assert "linked" in travelled
    assert "cannot access '/etc/debian_version'" in travelled
    assert "/etc/sudoers.d:\nonly\n" in travelled
    assert after == before, "the going machine keeps what a layer leaves out"
    second = tmp_path / "second.tar.zst"
    await backend.pack(again, second)
    assert second.read_bytes() == archive.read_bytes()


async def test_a_layer_holds_no_book_keeping_of_the_overlay_it_came_from(open_machine: Opener, layer: Path) -> None:
    async with open_machine() as machine:
        await sh(machine, "echo x >>/etc/passwd; rm -rf /etc/sudoers.d; mkdir /etc/sudoers.d")
        await machine.checkpoint(layer)
    found = {name for path in layer.rglob("*") for name in os.listxattr(path, follow_symlinks=False)}
    assert found == {"trusted.overlay.opaque"}


async def test_140_layers_stack_and_the_topmost_wins(open_machine: Opener, tmp_path: Path) -> None:
    layers = []
    for number in range(140):
        tree = tmp_path / "a-rather-long-name-as-layer-keys-have-them" / f"{number:064}" / "diff"
        (tree / "srv").mkdir(parents=True)
        (tree / "srv" / f"file{number}").write_text(str(number))
        (tree / "srv" / "last").write_text(str(number))
        layers.append(tree.parent)
    async with open_machine(*layers) as machine:
        assert (await sh(machine, "ls /srv | wc -l; cat /srv/last"))[1] == "141\n139"
        await machine.put([GuestFile("/srv/last", b"new")])
        (tmp_path / "top").mkdir()
        await machine.checkpoint(tmp_path / "top")
        assert (await sh(machine, "cat /srv/last"))[1] == "new"


async def test_twenty_checkpoints_of_one_machine_go_on_from_each_other(open_machine: Opener, tmp_path: Path) -> None:
    layers = [tmp_path / str(number) for number in range(20)]
    async with open_machine() as machine:
        for number, layer in enumerate(layers):
            layer.mkdir()
            await machine.put([GuestFile(f"/srv/{number}", b"x")])
            assert (await machine.checkpoint(layer)).files == 1
        assert (await sh(machine, "ls /srv | wc -l"))[1] == "20\n"
    async with open_machine(*layers) as machine:
        assert (await sh(machine, "ls /srv | wc -l"))[1] == "20\n"


async def test_a_checkpointed_layer_may_be_renamed_while_the_machine_goes_on(
    open_machine: Opener, tmp_path: Path
) -> None:
    staged = tmp_path / "staged"
    staged.mkdir()
    async with open_machine() as machine:
        await sh(machine, "echo one >/srv/one")
        await machine.checkpoint(staged)
        staged.rename(tmp_path / "published")
        assert (await sh(machine, "cat /srv/one"))[1] == "one\n"
        (tmp_path / "next").mkdir()
        await machine.checkpoint(tmp_path / "next")
        assert (await sh(machine, "cat /srv/one"))[1] == "one\n"


async def test_download_caches_show_what_is_kept_and_keep_what_is_added_apart(
    backend: ContainerBackend, base_layer: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    (kept / "below").mkdir(parents=True)
    (kept / "below" / "old").write_text("old")
    mount = DownloadMount("pip", "/root/.cache/pip", kept)
    script = "cd /root/.cache/pip; stat -c %U . below below/old; cat below/old; echo new >below/new; rm below/old"
    layer = tmp_path / "layer"
    layer.mkdir()
    async with backend.open(SMALL, [base_layer], [mount]) as machine:
        _, text = await sh(machine, script)
        (added,) = machine.downloaded()
        assert (added.name, added.target) == ("pip", "/root/.cache/pip")
        assert (added.kept / "below" / "new").read_text() == "new\n"
        captured = await machine.checkpoint(layer)
        _, again = await sh(machine, "ls /root/.cache/pip/below")
    assert text == "root\nroot\nroot\nold"
    assert again == "new\n"
    assert captured.files == 0, "a download cache must not be part of a layer"
    assert [path.name for path in kept.rglob("*")] == ["below", "old"]


def archive_of(*entries: tarfile.TarInfo, root: bool = True) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as target:
        for info in ([entry(".", tarfile.DIRTYPE)] if root else []) + list(entries):
            target.addfile(info, io.BytesIO(bytes(info.size)) if info.isreg() else None)
    return zstandard.ZstdCompressor().compress(buffer.getvalue())


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **more: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, link, 0o755
    for key, value in more.items():
        setattr(info, key, value)
    return info


HOSTILE = {
    "an absolute path": [entry("/etc/evil")],
    "a path that climbs": [entry("../evil")],
    "a path that climbs later": [entry("a", tarfile.DIRTYPE), entry("a/../../evil")],
    "a file behind a link": [entry("a", tarfile.SYMTYPE, "/etc"), entry("a/evil")],
    "a missing directory": [entry("a/b")],
    "a hard link to outside": [entry("a", tarfile.LNKTYPE, "/etc/passwd")],
    "a hard link to a link": [entry("a", tarfile.SYMTYPE, "/etc/passwd"), entry("b", tarfile.LNKTYPE, "a")],
    "a device": [entry("a", tarfile.CHRTYPE, devmajor=1, devminor=1)],
    "a block device": [entry("a", tarfile.BLKTYPE, devmajor=8)],
    "a name twice": [entry("a"), entry("a")],
    "an id beyond the range": [entry("a", uid=70_000)],
}


@pytest.mark.parametrize("entries", HOSTILE.values(), ids=HOSTILE.keys())
async def test_a_hostile_archive_is_refused(
    backend: ContainerBackend, tmp_path: Path, entries: list[tarfile.TarInfo]
) -> None:
    archive, into = tmp_path / "bad.tar.zst", tmp_path / "into"
    archive.write_bytes(archive_of(*entries))
    into.mkdir()
    with pytest.raises(CorruptStoreError):
        await backend.unpack(archive, into)
    assert not (tmp_path / "evil").exists()


async def test_a_cut_off_archive_is_refused(backend: ContainerBackend, tmp_path: Path) -> None:
    whole = archive_of(entry("a", size=5_000_000))
    for length in (0, 10, len(whole) // 2, len(whole) - 3):
        archive, into = tmp_path / "cut.tar.zst", tmp_path / f"into{length}"
        archive.write_bytes(whole[:length])
        into.mkdir()
        with pytest.raises(CorruptStoreError, match=r"cut\.tar\.zst"):
            await backend.unpack(archive, into)
