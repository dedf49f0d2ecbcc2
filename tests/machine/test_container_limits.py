"""What a machine may use: memory, processes, disk. Whoever passes a limit is told so, and the host is not hurt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ingot.errors import MachineDiskError
from ingot.machine.container.cgroups import ControlGroup, Hierarchies, _pids_below
from ingot.records.machine import GuestFile, MachineSpec
from tests.machine.conftest import SMALL, Opener, sh

pytestmark = pytest.mark.machine


async def test_a_memory_hog_is_killed_and_told_as_such(open_machine: Opener) -> None:
    async with open_machine(spec=replace(SMALL, memory_mb=128)) as machine:
        result, _ = await sh(machine, "exec python3 -c \"b = b'x' * (400 << 20); print(len(b))\"")
        assert (result.memory_killed, result.exit_code, result.timed_out) == (True, 137, False)
        again, _ = await sh(machine, "exit 137")
        assert (again.memory_killed, again.exit_code) == (False, 137)


async def test_a_fork_bomb_is_bounded_and_ends_at_its_timeout(open_machine: Opener) -> None:
    async with open_machine(spec=replace(SMALL, processes=64)) as machine:
        result, text = await sh(machine, "b() { b | b & }; b; sleep 600", timeout=2)
        assert result.timed_out or result.exit_code != 0
        group = machine._parts.group  # type: ignore[attr-defined]
        counts = [len(_pids_below(place)) for place in group._places()]  # each at a moment of its own
        assert max(counts, default=0) <= 64
        result, text = await sh(machine, "echo alive")
        assert (result.exit_code, text) == (0, "alive\n") or result.exit_code != 0


async def test_filling_the_disk_is_told_and_put_says_so(open_machine: Opener) -> None:
    async with open_machine(spec=replace(SMALL, disk_mb=64)) as machine:
        result, text = await sh(machine, "dd if=/dev/zero of=/srv/fill bs=1M")
        assert (result.disk_full, result.exit_code) == (True, 1)
        assert "No space left on device" in text
        with pytest.raises(MachineDiskError, match=r"'/srv/more' cannot be written: the machine's disk is full"):
            await machine.put([GuestFile("/srv/more", b"x" * 4_000_000)])
        await sh(machine, "rm /srv/fill")
        await machine.put([GuestFile("/srv/more", b"x" * 4_000_000)])


async def test_a_disk_without_inodes_counts_as_full(open_machine: Opener) -> None:
    script = "mkdir /srv/n; cd /srv/n; python3 -c \"import itertools\nfor i in itertools.count(): open(str(i), 'x')\""
    async with open_machine(spec=replace(SMALL, disk_mb=16)) as machine:
        result, text = await sh(machine, script)
    assert (result.disk_full, result.exit_code) == (True, 1)
    assert "No space left on device" in text


async def test_what_earlier_checkpoints_wrote_counts_against_the_disk(open_machine: Opener, tmp_path: Path) -> None:
    layer = tmp_path / "layer"
    layer.mkdir()
    async with open_machine(spec=replace(SMALL, disk_mb=64)) as machine:
        first, _ = await sh(machine, "dd if=/dev/zero of=/srv/one bs=1M count=40")
        await machine.checkpoint(layer)
        second, _ = await sh(machine, "dd if=/dev/zero of=/srv/two bs=1M count=40")
    assert (first.exit_code, first.disk_full) == (0, False)
    assert (second.exit_code, second.disk_full) == (1, True)


def test_limits_that_the_host_cannot_enforce_are_told_in_words() -> None:
    group = ControlGroup("x", Hierarchies(1, {}, frozenset({"memory"})))
    resources, warnings = group.resources(MachineSpec(cpu=2, memory_mb=512, processes=99))
    assert resources == {"memory": {"limit": 512 * 1024 * 1024}}
    assert warnings == (
        "this host cannot enforce the limit of 99 processes: it offers no pids control group",
        "this host cannot enforce the limit of 2 CPUs: it offers no cpu control group",
    )


@pytest.mark.parametrize(
    "fill", ["dd if=/dev/zero of=/srv/f bs=1M", "mkdir /srv/n; cd /srv/n; seq 100000 | xargs touch"]
)
async def test_a_machine_that_filled_its_disk_can_still_be_checkpointed(
    open_machine: Opener, tmp_path: Path, fill: str
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    async with open_machine(spec=replace(SMALL, disk_mb=32)) as machine:
        assert (await sh(machine, f"{fill} 2>/dev/null; true"))[0].disk_full
        captured = await machine.checkpoint(first)
        assert captured.files > 0
        assert (await sh(machine, "ls /srv"))[1] != ""
        assert (await machine.checkpoint(second)).files == 0
    async with open_machine(first, second) as machine:
        assert (await sh(machine, "rm -r /srv/* && ls /srv"))[1] == ""
