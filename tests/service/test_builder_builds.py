"""Whole builds on the scripted backend: what is told, what is kept, what is reused, and how they end."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.builder_stage import Stage, stage

from ingot.builder.request import Limits
from ingot.errors import BuildError, MachineLostError
from ingot.machine.scripted import Scripted
from ingot.records.build import BuildFlags, FailureCode, StepState
from ingot.records.event import Phase


@pytest.fixture
async def host(tmp_path: Path) -> AsyncIterator[Stage]:
    async with stage(tmp_path) as made:
        yield made


PACKAGES = {"build": {"apt": ["ripgrep"], "npm": ["@anthropic-ai/claude-code"], "run": ["make all"]}}


async def test_a_build_tells_its_phases_commands_and_steps(host: Stage) -> None:
    host.backend.script["make all"] = Scripted((b"cc -o all\n",))
    golden = await host.bake(**PACKAGES)
    assert host.log.phases == [
        Phase.COMPILE,
        Phase.BOOT,
        Phase.INSTALL,
        Phase.SNAPSHOT,
        Phase.RECORD,
        Phase.ARCHIVE,
    ]
    assert (Phase.BOOT, None, "booting build VM") in host.log.lines
    assert (Phase.INSTALL, "npm", "npm install -g @anthropic-ai/claude-code") in host.log.lines
    assert (Phase.INSTALL, "apt", "apt-get install -y ripgrep") in host.log.lines
    assert (Phase.ARCHIVE, "builder", "uploading golden snapshot") in host.log.lines
    assert host.log.said("run") == ["make all", "cc -o all"]
    assert "step 4/4 run make all: run (not built before)" in host.log.said("builder")
    assert host.log.states() == [StepState.DONE] * 4
    assert golden.manifest["layers"][-1]["title"] == "run make all"
    assert len(golden.layers) == 5
    assert host.log.warnings == []


async def test_the_golden_is_complete_in_the_object_store(host: Stage) -> None:
    golden = await host.bake(**PACKAGES)
    stored = await host.tools.goldens.get(golden.key)
    assert stored == golden
    for layer in golden.layers:
        assert (host.directory / "objects" / layer.object_key).stat().st_size == layer.size_bytes
    assert golden.manifest["base"]["key"] == golden.layers[0].key
    assert golden.manifest["timings_ms"]["steps"][-1]["title"] == "run make all"


async def test_an_unchanged_template_needs_no_machine(host: Stage) -> None:
    first = await host.bake(**PACKAGES)
    opened = len(host.backend.opened)
    second = await host.bake(**PACKAGES)
    assert second == first
    assert len(host.backend.opened) == opened
    assert host.log.states() == [StepState.REUSED] * 4
    assert (Phase.BOOT, "builder", "every layer is known: no build VM is needed") in host.log.lines


async def test_only_the_changed_last_step_runs_and_the_log_says_why(host: Stage) -> None:
    await host.bake(build={"run": ["one", "two"]})
    host.backend.commands.clear()
    await host.bake(build={"run": ["one", "three"]})
    assert [command.argv[-1] for command in host.backend.commands] == ["three"]
    assert "step 1/2 run one: cached (unchanged)" in host.log.said()
    assert "step 2/2 run three: run (command changed)" in host.log.said()


async def test_a_failed_step_leaves_the_layers_before_it_and_the_fix_goes_on_from_there(host: Stage) -> None:
    host.backend.script["broken"] = Scripted((b"line 1\nno rule\n",), exit_code=2)
    failure = await host.fails(build={"run": ["good", "broken", "after"]})
    assert (failure.code, failure.step, failure.exit_code) == (FailureCode.STEP_FAILED, "run broken", 2)
    assert failure.message == "run broken ended with exit code 2"
    assert failure.last_lines == ("line 1", "no rule")
    assert host.log.states() == [StepState.DONE, StepState.FAILED]
    host.backend.commands.clear()
    await host.bake(build={"run": ["good", "fixed", "after"]})
    assert [command.argv[-1] for command in host.backend.commands] == ["fixed", "after"]


@pytest.mark.parametrize(
    ("scripted", "code", "words"),
    [
        (Scripted(exit_code=137, memory_killed=True), FailureCode.OUT_OF_MEMORY, "ran out of memory; ask for more"),
        (Scripted(exit_code=1, disk_full=True), FailureCode.OUT_OF_DISK, "filled the machine's disk; ask for more"),
        (Scripted(error=MachineLostError("the machine ended")), FailureCode.MACHINE_LOST, "the machine ended"),
        (Scripted(until=asyncio.Event()), FailureCode.TIMED_OUT, "run work did not end within 1 s"),
    ],
)
async def test_each_way_a_command_can_fail_has_its_code(
    host: Stage, scripted: Scripted, code: FailureCode, words: str
) -> None:
    host.backend.script["work"] = scripted
    failure = await host.fails(build={"run": ["work"]}, limits=Limits(step_timeout=1))
    assert (failure.code, failure.step) == (code, "run work")
    assert words in failure.message


async def test_a_killed_process_that_the_command_survived_is_only_a_warning(host: Stage) -> None:
    host.backend.script["work"] = Scripted(memory_killed=True)
    await host.bake(build={"run": ["work"]})
    assert host.log.warnings == ["run work: the memory limit killed a process, but the command ended well"]


async def test_a_build_past_its_deadline_names_the_step_and_its_last_lines(host: Stage) -> None:
    await host.bake(build={"run": ["fine"]})  # nothing of the three seconds goes into the base image
    host.backend.script["hang"] = Scripted((b"almost there\n",), until=asyncio.Event())
    failure = await host.fails(build={"run": ["hang"], "timeout": "3s"})
    assert (failure.code, failure.step) == (FailureCode.TIMED_OUT, "run hang")
    assert failure.message == "the build did not end within 3 s"
    assert failure.last_lines == ("almost there",)
    assert host.log.states() == [StepState.FAILED]


async def test_a_cancelled_build_leaves_no_machine_and_keeps_its_finished_layers(host: Stage) -> None:
    reached = asyncio.Event()

    class Telling(asyncio.Event):
        async def wait(self) -> bool:  # type: ignore[override]
            reached.set()
            return await super().wait()  # type: ignore[return-value]

    host.backend.script["hang"] = Scripted(until=Telling())
    task = asyncio.create_task(host.bake(build={"run": ["good", "hang"]}))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert host.backend.running == []
    assert host.log.states() == [StepState.DONE, StepState.FAILED]
    assert host.log.said()[-1].startswith("step 2/2 run hang: failed after")
    host.backend.script["hang"] = Scripted()
    await host.bake(build={"run": ["good", "hang"]})
    assert "step 2/2 run hang: run (it did not finish last time)" in host.log.said()
    assert host.log.states() == [StepState.REUSED, StepState.DONE]


async def test_ignoring_known_layers_builds_anew_and_disturbs_nobody(host: Stage) -> None:
    normal = await host.bake(build={"run": ["make"]})
    fresh = await host.bake(build={"run": ["make"]}, flags=BuildFlags(no_cache=True))
    assert host.log.states() == [StepState.DONE]
    assert "step 1/1 run make: run (known layers are ignored, as asked)" in host.log.said()
    assert fresh.key != normal.key
    assert (await host.bake(build={"run": ["make"]})).key == normal.key
    assert host.log.states() == [StepState.REUSED]


async def test_two_builds_share_what_both_need_and_make_it_once(host: Stage) -> None:
    gate, other = asyncio.Event(), Stage(host.directory, host.backend, host.tools)
    host.backend.script["python3-pip"] = Scripted(until=gate)
    one = asyncio.create_task(host.bake(build={"pip": ["httpx"]}))
    two = asyncio.create_task(other.bake(build={"pip": ["requests"]}))
    async with asyncio.timeout(60):
        while not any(
            "another build is making toolchain pip" in line for log in (host.log, other.log) for line in log.said()
        ):
            await asyncio.sleep(0.001)
    gate.set()
    await asyncio.gather(one, two)
    assert len([command for command in host.backend.commands if "python3-pip" in command.argv]) == 1
    reasons = [line for log in (host.log, other.log) for line in log.said() if "toolchain pip: cached" in line]
    assert reasons == ["step 1/2 toolchain pip: cached (another build made it meanwhile)"]
    assert host.backend.bases_made == 1


async def test_the_base_image_is_made_once_and_again_only_on_request(host: Stage) -> None:
    first = await host.bake(build={"run": ["a"]})
    assert "making the base image (once; later builds reuse it)" in host.log.said()
    await host.bake(build={"run": ["b"]})
    assert host.backend.bases_made == 1
    await host.bake(build={"run": ["a"]}, flags=BuildFlags(refresh=True))
    assert host.backend.bases_made == 2
    assert first.manifest["base"]["content"]


async def test_a_host_that_lost_its_layers_fetches_them_from_the_object_store(tmp_path: Path) -> None:
    async with stage(tmp_path) as host:
        golden = await host.bake(build={"run": ["one", "two"]})
    shutil.rmtree(tmp_path / "layers")
    async with stage(tmp_path) as host:
        assert await host.bake(build={"run": ["one", "two"]}) == golden
        assert host.log.states() == [StepState.REUSED] * 2
        await host.bake(build={"run": ["one", "two", "three"]})
        assert host.log.states() == [StepState.REUSED, StepState.REUSED, StepState.DONE]
        assert host.backend.bases_made == 0
        assert len(host.tools.layers.all()) == 4


async def test_a_damaged_archive_is_noticed(tmp_path: Path) -> None:
    async with stage(tmp_path) as host:
        golden = await host.bake(build={"run": ["one"]})
    shutil.rmtree(tmp_path / "layers")
    (tmp_path / "objects" / golden.layers[-1].object_key).write_bytes(b"rotten")
    async with stage(tmp_path) as host:
        failure = await host.fails(build={"run": ["one", "two"]})
        assert failure.code is FailureCode.INTERNAL
        assert "does not match its SHA-256" in failure.message


async def test_half_made_layers_of_a_killed_server_are_not_in_the_index(tmp_path: Path) -> None:
    async with stage(tmp_path) as host:
        await host.bake(build={"run": ["one"]})
    half = tmp_path / "layers" / ("0" * 64)
    (half / "parts/diff").mkdir(parents=True)
    async with stage(tmp_path) as host:
        assert not half.exists()
        assert len(host.tools.layers.all()) == 2


async def test_files_are_in_place_with_their_owner_before_any_app_is_installed(host: Stage) -> None:
    files = [
        {"to": "~/notes.txt", "inline": "note", "owner": "orgo", "group": "orgo"},
        {"to": "/etc/motd", "inline": "hi"},
    ]
    seen: list[dict[str, bytes]] = []
    answer = host.backend.answer

    def watch(command: object) -> Scripted:
        seen.append(dict(host.backend.running[0].files))
        return answer(command)  # type: ignore[arg-type]

    host.backend.answer = watch  # type: ignore[method-assign,assignment]
    await host.bake(files=files, apps=[{"name": "a", "install": "install a"}])
    assert seen[0]["/home/orgo/notes.txt"] == b"note"
    assert seen[0]["/etc/motd"] == b"hi"
    assert "writing /etc/motd (2 bytes, 0644, root:root)" in host.log.said()


async def test_hardware_above_the_host_s_is_clamped_with_a_warning_and_kept_in_the_golden(host: Stage) -> None:
    golden = await host.bake(
        hardware={"cpu": 4, "ram_gb": 8}, build={"run": ["a"]}, limits=Limits(cpu=2, memory_mb=4096, disk_mb=10240)
    )
    assert golden.spec.memory_mb == 8192
    assert host.backend.opened[0][0].memory_mb == 4096
    assert host.log.warnings == [
        "the template asks for 4 CPUs; this host gives a machine 2: building with that",
        "the template asks for 8192 MiB of memory; this host gives a machine 4096: building with that",
    ]


async def test_sections_without_a_runtime_are_named_once(host: Stage) -> None:
    await host.bake(terminal=[{"name": "t", "run": "bash"}], telemetry={"metrics": True}, build={"run": ["a"]})
    assert host.log.warnings == ["kept in the golden, but not acted on by this version yet: telemetry, terminal"]


async def test_what_a_step_left_in_tmp_is_scrubbed_in_a_layer_of_its_own(host: Stage) -> None:
    host.backend.script["make"] = Scripted(writes={"/tmp/object.o": b"x"})
    golden = await host.bake(build={"run": ["make"]})
    assert "step 2/2 scrub: run (left behind: /tmp/object.o)" in host.log.said()
    assert [layer["kind"] for layer in golden.manifest["layers"]] == ["base", "run", "closing"]
    again = await host.bake(build={"run": ["make"]})
    assert again.key == golden.key
    assert host.log.states() == [StepState.REUSED] * 2


async def test_a_layer_s_archive_is_uploaded_once(host: Stage) -> None:
    packed: list[Path] = []
    pack = host.backend.pack

    async def count(layer: Path, archive: Path) -> None:
        packed.append(layer)
        await pack(layer, archive)

    host.backend.pack = count  # type: ignore[method-assign]
    await host.bake(build={"run": ["one"]})
    await host.bake(build={"run": ["one", "two"]})
    assert len(packed) == len(set(packed)) == 3


async def test_an_upload_that_fails_fails_the_build_and_leaves_no_golden(host: Stage) -> None:
    async def full(layer: Path, archive: Path) -> None:
        raise OSError(28, "No space left on device")

    host.backend.pack = full  # type: ignore[method-assign]
    with pytest.raises(BuildError) as caught:
        await host.bake(build={"run": ["one"]})
    assert caught.value.failure.code is FailureCode.OUT_OF_DISK
    assert "the server's disk is full; free space" in caught.value.failure.message
    assert await host.tools.goldens.all() == ()
