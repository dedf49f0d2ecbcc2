"""Machines of failed builds that are held: a real queue, logs and worker over the scripted backend."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from builder_stage import Stage, document_bytes, stage

from ingot.builder.report import Reporter
from ingot.builder.request import BuildRequest, Limits
from ingot.builder.run import build
from ingot.errors import ConflictError, MachineLostError, NotFoundError
from ingot.events.log import EventLogs
from ingot.held import HeldMachines, HoldLimits
from ingot.machine.scripted import Scripted
from ingot.queue.builds import BuildQueue, QueueLimits
from ingot.records.build import Build, BuildFlags, BuildState
from ingot.records.layer import Golden
from ingot.records.ref import Ref
from ingot.storage.database import Database
from ingot.template import load_canonical, parse_template
from ingot.worker import Worker, Workshop

KEEP = BuildFlags(keep_on_failure=600)


@dataclass
class Works:
    """A worker with all it needs but the API."""

    stage: Stage
    queue: BuildQueue
    logs: EventLogs
    held: HeldMachines
    worker: asyncio.Task[None]

    async def end(
        self, name: str = "demo", account: str = "acme", flags: BuildFlags = KEEP, cancel: asyncio.Event | None = None
    ) -> Build:
        """Asks for a build and waits for its end; cancels it once `cancel` is set."""
        made = await self.queue.enqueue(account, ref(name), name.ljust(64, "0"), flags, private=True)
        seen = -1
        async with asyncio.timeout(60):
            if cancel is not None:
                await cancel.wait()
                assert await self.queue.request_cancel(account, ref(name))
            while True:
                found = await self.queue.get(made.id)
                assert found is not None
                if found.state.is_over:
                    return found
                seen = await self.queue.wait_change(seen, 1)

    def lines(self, build: Build) -> str:
        """The stored frames of an attempt, as text."""
        return (self.stage.directory / "logs" / build.id / "events.sse").read_text()

    @property
    def running(self) -> int:
        return len(self.stage.backend.running)

    async def until_running(self, count: int) -> None:
        async with asyncio.timeout(60):
            while self.running != count:
                await asyncio.sleep(0.01)


def ref(name: str) -> Ref:
    return Ref("default", name, "1.0.0")


@contextlib.asynccontextmanager
async def works(directory: Path, limits: HoldLimits | None = None, builds: int = 2) -> AsyncIterator[Works]:
    script = {"break it": Scripted((b"oops\n",), exit_code=3, writes={"/srv/half": b"made"})}
    async with (
        stage(directory, script) as made,
        Database(directory / "ingot.db") as db,
        HeldMachines(limits or HoldLimits()) as held,
    ):
        queue, logs = BuildQueue(db, QueueLimits(builds=builds)), EventLogs(directory / "logs")

        async def prepare(claimed: Build) -> BuildRequest:
            name = claimed.ref.name
            run = ["touch fine"] if name == "fine" else [f"touch {name}", "break it"]
            document = {
                "build": {"run": run, "secrets": ["token"]},
                "env": {"MODE": "test"},
                "secrets": [{"name": "token"}],
            }
            template = load_canonical(parse_template(document_bytes(document)).canonical)
            return BuildRequest(
                template,
                claimed.account,
                claimed.id,
                claimed.flags,
                secrets={"token": "canary"},
                fingerprints={"token": "f" * 64},
                limits=Limits(16, 65536, 65536),
            )

        async def build_golden(request: BuildRequest, report: Reporter) -> Golden:
            return await build(request, made.tools, report, held.take)

        async def take_over(_: Build, __: str) -> Build:
            raise AssertionError("nothing is taken over here")

        async def reveal(_: str) -> Mapping[str, str]:
            return {}

        worker = Worker(queue, logs, Workshop(prepare, build_golden, take_over, reveal, lambda *_: None, held))
        running = asyncio.create_task(worker.run())
        try:
            yield Works(made, queue, logs, held, running)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
    assert made.tools.layers.held() == frozenset(), "layers are held of no machine"


async def test_the_machine_of_the_failed_step_is_held_and_the_build_is_over(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        failed = await shop.end()
        assert (failed.state, failed.failure and failed.failure.message) == (
            BuildState.FAILED,
            "run break it ended with exit code 3",
        )
        held = shop.held.get("acme", ref("demo"))
        assert (held.step, held.phase, held.attempt) == ("run break it", "install", 1)
        assert 590_000 < held.expires_ms - held.held_ms <= 600_000
        assert shop.stage.backend.running[0].files["/srv/half"] == b"made"
        assert await shop.queue.active() == ()
        assert shop.stage.tools.layers.held(), "what it stands on is kept from collection"
        told = shop.lines(failed)
        assert "the machine of the failed step is kept until 20" in told
        assert "look into it with `ingot debug default/demo@1.0.0`" in told
        assert told.index("is kept until") < told.index('"result":"failed"')
        assert '"level":"warn"' in next(line for line in told.splitlines() if "is kept until" in line)
        assert (await shop.end("fine")).state is BuildState.READY, "the slot is free"
        assert await shop.held.end("acme", ref("demo"))
        assert shop.running == 0


async def test_commands_run_as_the_step_did_without_its_secrets(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        await shop.end()
        shop.stage.backend.script["cat it"] = Scripted((b"made\n",), exit_code=4)
        result = await shop.held.bash("acme", ref("demo"), "cat it", 7)
        assert (result.output, result.exit_code) == ("made\n", 4)
        command = shop.stage.backend.commands[-1]
        assert (command.argv, command.user, command.cwd, command.timeout) == (
            ("/bin/bash", "-c", "cat it"),
            "root",
            "/",
            7,
        )
        failed = next(one for one in shop.stage.backend.commands if "break it" in one.argv)
        secret = {name: value for name, value in failed.env.items() if value == "canary"}
        assert len(secret) == 1
        assert {**command.env, **secret} == failed.env
        assert not secret.keys() & command.env.keys()


async def test_nothing_is_held_by_default_nor_of_builds_that_succeed(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        failed = await shop.end(flags=BuildFlags())
        assert failed.state is BuildState.FAILED
        assert "is kept until" not in shop.lines(failed)
        assert (await shop.end("fine")).state is BuildState.READY
        assert shop.running == 0
        with pytest.raises(NotFoundError, match=r"^no machine of default/demo@1.0.0 is held") as caught:
            shop.held.get("acme", ref("demo"))
        assert caught.value.code == "nothing_held"
        assert (
            caught.value.hint
            == "`ingot build --keep-on-failure default/demo@1.0.0` keeps the machine of a step that fails"
        )


async def test_nothing_is_held_of_a_cancelled_build(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        begun = asyncio.Event()

        class Begun(asyncio.Event):
            async def wait(self) -> bool:  # type: ignore[override]
                begun.set()
                return await super().wait()

        shop.stage.backend.script["break it"] = Scripted(until=Begun())
        ended = await shop.end(cancel=begun)
        assert ended.failure is not None
        assert ended.failure.message == "cancelled on request"
        assert shop.running == 0
        assert "is kept until" not in shop.lines(ended)


async def test_a_cancel_that_comes_between_the_failure_and_its_end_keeps_nothing(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        taken, cancelled = asyncio.Event(), shop.queue.seal

        async def seal(build_id: str, epoch: int, **more: object) -> bool:
            taken.set()
            assert await shop.queue.request_cancel("acme", ref("demo"))
            return await cancelled(build_id, epoch)

        shop.queue.seal = seal  # type: ignore[method-assign, assignment]
        ended = await shop.end()
        assert taken.is_set()
        assert ended.failure is not None
        assert ended.failure.message == "cancelled on request"
        await shop.until_running(0)


async def test_it_expires_by_itself(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        failed = await shop.end(flags=replace(KEEP, keep_on_failure=3))
        assert "is kept until" in shop.lines(failed)
        await shop.until_running(0)
        with pytest.raises(NotFoundError, match=r"no machine of default/demo@1.0.0 is held"):
            await shop.held.bash("acme", ref("demo"), "ls", 5)


async def test_of_a_ref_the_newest_is_held_and_of_an_account_two(tmp_path: Path) -> None:
    async with works(tmp_path, HoldLimits(machines=3, account_machines=2)) as shop:
        await shop.end("one")
        await shop.end("one")
        await shop.until_running(1)
        assert shop.held.get("acme", ref("one")).attempt == 2
        await shop.end("two")
        await shop.end("three")
        await shop.until_running(2)
        with pytest.raises(NotFoundError):
            shop.held.get("acme", ref("one"))
        await shop.end("four", account="other")
        await shop.until_running(3)
        await shop.end("five", account="third")
        await shop.until_running(3)
        with pytest.raises(NotFoundError):
            shop.held.get("acme", ref("two"))
        assert shop.held.get("acme", ref("three"))
        with pytest.raises(NotFoundError):
            shop.held.get("acme", ref("four"))


async def test_another_build_of_the_ref_ends_it_and_the_build_itself_does_not(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        failed = await shop.end()
        shop.held.release("acme", ref("demo"), but=failed.id)
        assert shop.held.get("acme", ref("demo"))
        shop.held.release("acme", ref("demo"), but="another")
        await shop.until_running(0)


async def test_a_command_that_runs_when_it_ends_is_told_so(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        await shop.end()
        shop.stage.backend.script["sleep"] = Scripted((b"z",), until=asyncio.Event())
        command = asyncio.create_task(shop.held.bash("acme", ref("demo"), "sleep 1000", 500))
        async with asyncio.timeout(60):
            while "sleep 1000" not in shop.stage.backend.commands[-1].argv:
                await asyncio.sleep(0.01)
        assert await shop.held.end("acme", ref("demo"))
        with pytest.raises(
            NotFoundError, match=r"the held machine of default/demo@1.0.0 was ended while the command ran"
        ):
            await command
        assert shop.running == 0


async def test_a_machine_that_died_says_so(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        await shop.end()
        shop.stage.backend.script["ls"] = Scripted(error=MachineLostError("its first process ended"))
        told = r"the held machine of default/demo@1.0.0 fails: its first process ended"
        with pytest.raises(ConflictError, match=told) as caught:
            await shop.held.bash("acme", ref("demo"), "ls", 5)
        assert (caught.value.code, caught.value.hint) == (
            "machine_lost",
            "end it with `ingot debug --end default/demo@1.0.0`",
        )


async def test_it_ends_with_the_server(tmp_path: Path) -> None:
    async with works(tmp_path) as shop:
        await shop.end("one")
        await shop.end("two")
        assert shop.running == 2
    assert shop.running == 0
