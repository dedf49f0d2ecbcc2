"""What every machine backend promises (machine/contract.py), asked of each of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ingot.errors import CorruptStoreError, MachineError
from ingot.machine.container import ContainerBackend
from ingot.machine.contract import Backend, Captured, Keep, Machine
from ingot.machine.scripted import Scripted, ScriptedBackend, ScriptedMachine
from ingot.records.machine import Command, CommandResult, GuestFile, MachineSpec
from tests.machine.cached_base import SETTINGS, cached_base, cached_vm_base, vm_backend

pytestmark = pytest.mark.timeout(600)
"""The first of them make the base images, and boot one in software."""

SPEC = MachineSpec(cpu=2, memory_mb=512, disk_mb=512, processes=200)

# What the scripted backend has to be told so that it answers as a real shell would.
SCRIPT = {
    "echo one; echo two >&2; exit 7": Scripted(output=(b"one\n", b"two\n"), exit_code=7),
    "echo begun; sleep 600": Scripted(output=(b"begun\n",), until=asyncio.Event()),
}


class Output:
    def __init__(self) -> None:
        self.text = ""
        self.first = asyncio.Event()

    async def __call__(self, chunk: bytes) -> None:
        self.text += chunk.decode()
        self.first.set()


@pytest.fixture(scope="session")
def run_dir() -> Iterator[Path]:
    """Below /run as in earnest, but no other server's: sweeps of one meet no machine of the other."""
    directory = Path(f"/run/ingot-contract-{os.getpid()}")
    directory.mkdir(mode=0o711, exist_ok=True)
    yield directory
    with contextlib.suppress(FileNotFoundError):  # each module that has this fixture ends it
        directory.rmdir()


@pytest.fixture(params=["container", "qemu", "scripted"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "scripted":
        return ScriptedBackend(SCRIPT)
    if request.param == "qemu":
        return vm_backend()
    return ContainerBackend(tmp_path / "machines", SETTINGS, request.getfixturevalue("run_dir"))


@pytest.fixture(scope="session")
async def base_layers() -> Mapping[str, list[Path]]:
    return {"container": [await cached_base()], "qemu": [await cached_vm_base()], "scripted": []}


@pytest.fixture
def layers(tmp_path: Path) -> Iterator[Path]:
    directory = tmp_path / "layers"
    directory.mkdir()
    return iter(new_layer(directory, number) for number in range(9))


def new_layer(directory: Path, number: int) -> Path:
    layer = directory / str(number)
    layer.mkdir()
    return layer


@pytest.fixture
def stack(backend: Backend, base_layers: Mapping[str, list[Path]]) -> list[Path]:
    return base_layers[backend.name]


def check_counts(backend: Backend, captured: Captured, size_bytes: int, files: int) -> None:
    """A virtual machine's layer is counted by what it takes on the host's disk."""
    if backend.name == "qemu":
        assert captured.size_bytes > 0
    else:
        assert captured == Captured(size_bytes, files)


async def shell(machine: Machine, script: str, timeout: float = 60) -> tuple[CommandResult, str]:
    output = Output()
    return await machine.exec(Command(("sh", "-c", script), timeout), output), output.text


async def content(machine: Machine, path: str) -> str:
    if isinstance(machine, ScriptedMachine):
        return machine.files[path].decode()
    result, text = await shell(machine, f"cat {path}")
    assert result.exit_code == 0, text
    return text


async def test_a_command_gives_its_output_of_both_streams_and_its_exit_code(
    backend: Backend, stack: list[Path]
) -> None:
    async with backend.open(SPEC, stack) as machine:
        result, text = await shell(machine, "echo one; echo two >&2; exit 7")
    assert (text, result.exit_code, result.timed_out) == ("one\ntwo\n", 7, False)


async def test_output_comes_while_the_command_runs_and_a_timeout_ends_it(backend: Backend, stack: list[Path]) -> None:
    async with backend.open(SPEC, stack) as machine:
        output = Output()
        command = Command(("sh", "-c", "echo begun; sleep 600"), timeout=10)
        running = asyncio.create_task(machine.exec(command, output))
        await asyncio.wait_for(output.first.wait(), 60)
        assert not running.done()
        result = await running
    assert result.timed_out
    assert result.exit_code == 137
    assert output.text == "begun\n"


async def test_a_cancelled_command_leaves_a_machine_that_goes_on(backend: Backend, stack: list[Path]) -> None:
    async with backend.open(SPEC, stack) as machine:
        output = Output()
        running = asyncio.create_task(machine.exec(Command(("sh", "-c", "echo begun; sleep 600"), 60), output))
        await asyncio.wait_for(output.first.wait(), 60)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        result, _ = await shell(machine, "true")
    assert result.exit_code == 0


async def test_files_put_are_in_the_next_machine_on_the_checkpoint(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    layer = next(layers)
    async with backend.open(SPEC, stack) as machine:
        await machine.put([GuestFile("/srv/app/hello.txt", b"hello")])
        captured = await machine.checkpoint(layer)
    async with backend.open(SPEC, [*stack, layer]) as machine:
        assert await content(machine, "/srv/app/hello.txt") == "hello"
    check_counts(backend, captured, size_bytes=5, files=1)


async def test_a_checkpoint_holds_only_what_came_after_the_one_before(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    first, second, third = next(layers), next(layers), next(layers)
    async with backend.open(SPEC, stack) as machine:
        await machine.put([GuestFile("/srv/one", b"1")])
        await machine.checkpoint(first, Keep.CACHE)
        await machine.put([GuestFile("/srv/two", b"22")])
        check_counts(backend, await machine.checkpoint(second, Keep.CACHE), size_bytes=2, files=1)
        assert await content(machine, "/srv/one") == "1"
        check_counts(backend, await machine.checkpoint(third, Keep.CACHE), size_bytes=0, files=0)
    async with backend.open(SPEC, [*stack, first, second, third]) as machine:
        assert await content(machine, "/srv/one") + await content(machine, "/srv/two") == "122"


COUNTING = "while :; do n=$((n + 1)); echo $n > /srv/count.new; mv /srv/count.new /srv/count; done > /dev/null 2>&1 &"


async def test_a_copy_disturbs_nothing_and_what_it_took_is_in_the_next_machine(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    first, second = next(layers), next(layers)
    async with backend.open(SPEC, stack) as machine:
        await machine.put([GuestFile("/srv/one", b"1"), GuestFile("/srv/count", b"0")])
        await shell(machine, COUNTING)
        before = int(await content(machine, "/srv/count"))
        await machine.copy(first)
        async with asyncio.timeout(60):
            while backend.name != "scripted" and int(await content(machine, "/srv/count")) <= before + 1:
                await asyncio.sleep(0.01)
        await machine.put([GuestFile("/srv/two", b"2")])
        await machine.checkpoint(second)
    async with backend.open(SPEC, [*stack, first]) as copied, backend.open(SPEC, [*stack, second]) as kept:
        assert await content(copied, "/srv/one") + await content(kept, "/srv/one") == "11"
        assert await content(kept, "/srv/two") == "2", "the checkpoint captured what the copy had, and what came after"
        assert (await shell(copied, "test ! -e /srv/two"))[0].exit_code == 0
        assert before <= int(await content(copied, "/srv/count")) <= int(await content(kept, "/srv/count"))


async def test_a_copy_leaves_out_what_every_start_makes_anew(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    layer = next(layers)
    async with backend.open(SPEC, stack) as machine:
        secrets = [GuestFile("/root/.env", b"TOKEN=canary"), GuestFile("/run/ingot/env/web", b"export TOKEN=canary")]
        await machine.put([*secrets, GuestFile("/srv/run/root/.env", b"mine")])
        check_counts(backend, await machine.copy(layer), size_bytes=4, files=1)
        assert await content(machine, "/root/.env") == "TOKEN=canary"
    async with backend.open(SPEC, [*stack, layer]) as machine:
        assert await content(machine, "/srv/run/root/.env") == "mine"
    assert [path for path in layer.rglob("*") if path.is_file() and b"canary" in path.read_bytes()] == []


async def test_a_copy_that_is_cancelled_leaves_a_machine_that_goes_on(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    layer = next(layers)
    async with backend.open(SPEC, stack) as machine:
        await shell(machine, COUNTING)
        copying = asyncio.create_task(machine.copy(layer))
        await asyncio.sleep(0)
        copying.cancel()
        await asyncio.gather(copying, return_exceptions=True)
        result, _ = await shell(machine, "true")
        assert result.exit_code == 0
        assert (await machine.copy(next(layers))).files <= 2


async def test_a_named_machine_has_a_name_and_an_id_of_its_own_also_on_anothers_files(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    layer, again = next(layers), next(layers)
    async with backend.open(SPEC, stack, hostname="web-1") as machine:
        first = await content(machine, "/etc/hostname"), await content(machine, "/etc/machine-id")
        await machine.copy(layer)
    async with backend.open(SPEC, [*stack, layer], hostname="web-1") as machine:
        assert (await content(machine, "/etc/hostname"), await content(machine, "/etc/machine-id")) == first
    async with backend.open(SPEC, [*stack, layer], hostname="web-2") as machine:
        other = await content(machine, "/etc/hostname"), await content(machine, "/etc/machine-id")
        await machine.checkpoint(again)
    async with backend.open(SPEC, [*stack, layer, again]) as machine:
        assert (await content(machine, "/etc/hostname"), await content(machine, "/etc/machine-id")) == other
    assert (first[0], other[0]) == ("web-1\n", "web-2\n")
    assert first[1] != other[1]
    assert len(first[1]) == len(other[1]) == 33


async def test_machines_on_one_stack_do_not_see_each_other(backend: Backend, stack: list[Path]) -> None:
    async with backend.open(SPEC, stack) as one, backend.open(SPEC, stack) as other:
        assert one.id != other.id
        await one.put([GuestFile("/srv/name", b"one")])
        await other.put([GuestFile("/srv/name", b"other")])
        assert (await content(one, "/srv/name"), await content(other, "/srv/name")) == ("one", "other")


@pytest.mark.parametrize("path", ["relative", "/", "/srv/../../etc/passwd"])
async def test_a_file_of_no_proper_path_is_refused_by_name(backend: Backend, stack: list[Path], path: str) -> None:
    async with backend.open(SPEC, stack) as machine:
        with pytest.raises(MachineError, match="cannot be written in the machine: it is not an absolute path"):
            await machine.put([GuestFile(path, b"")])


async def test_a_layer_survives_being_packed_and_unpacked(
    backend: Backend, stack: list[Path], layers: Iterator[Path], tmp_path: Path
) -> None:
    layer, again, archive = next(layers), next(layers), tmp_path / "layer.tar.zst"
    async with backend.open(SPEC, stack) as machine:
        await machine.put([GuestFile("/srv/deep/er/file", b"content")])
        captured = await machine.checkpoint(layer)
    await backend.pack(layer, archive)
    check_counts(backend, await backend.unpack(archive, again), captured.size_bytes, captured.files)
    async with backend.open(SPEC, [*stack, again]) as machine:
        assert await content(machine, "/srv/deep/er/file") == "content"


async def test_an_archive_that_is_none_is_told_as_corrupt(
    backend: Backend, layers: Iterator[Path], tmp_path: Path
) -> None:
    archive = tmp_path / "layer.tar.zst"
    archive.write_bytes(b"not an archive")
    with pytest.raises(CorruptStoreError, match=r"layer\.tar\.zst is not a layer"):
        await backend.unpack(archive, next(layers))


async def test_the_recipe_is_the_same_when_asked_twice(backend: Backend) -> None:
    assert backend.base_recipe() == backend.base_recipe() != ""


async def test_a_host_that_runs_these_tests_has_all_a_backend_needs(backend: Backend) -> None:
    assert [finding for finding in await backend.findings() if finding.needed and not finding.ok] == []


async def test_a_machine_has_a_screen_where_its_backend_says_so(backend: Backend, stack: list[Path]) -> None:
    async with backend.open(SPEC, stack) as machine:
        if backend.has_screen:
            assert (await machine.screenshot()).startswith(b"\x89PNG\r\n\x1a\n")
            await machine.set_screen_password("12345678")
            reader, writer = await machine.view_screen()
            assert await reader.readexactly(12) == b"RFB 003.008\n"
            writer.close()
            return
        for asked in (machine.screenshot(), machine.set_screen_password("12345678"), machine.view_screen()):
            with pytest.raises(MachineError, match="no screen; virtual machines have one") as refused:
                await asked
            assert refused.value.code == "no_screen"


async def test_what_an_abandoned_machine_wrote_can_be_had_until_it_is_discarded(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    async with backend.open(SPEC, stack, hostname="box") as machine:
        await machine.put([GuestFile("/srv/first", b"one")])
        await machine.checkpoint(first := next(layers))
        await machine.put([GuestFile("/srv/second", b"two"), GuestFile("/root/.env", b"KEY=canary\n")])
        await shell(machine, "sync")
        machine.abandon()
    assert not [line for line in await backend.sweep({machine.id}) if machine.id in line]
    second = next(layers)
    assert await backend.recover(machine.id, second, kept=True) is not None
    assert await backend.recover(machine.id, next(layers), kept=True) is not None, "and once more"
    await backend.discard(machine.id)
    assert await backend.recover(machine.id, next(layers)) is None
    await backend.discard(machine.id)
    async with backend.open(SPEC, [*stack, first, second], hostname="box") as again:
        assert [await content(again, f"/srv/{name}") for name in ("first", "second")] == ["one", "two"]


async def test_an_abandoned_machine_that_nobody_spares_is_swept(
    backend: Backend, stack: list[Path], layers: Iterator[Path]
) -> None:
    async with backend.open(SPEC, stack, hostname="box") as machine:
        machine.abandon()
    assert any(machine.id in line for line in await backend.sweep())
    assert await backend.recover(machine.id, next(layers)) is None
