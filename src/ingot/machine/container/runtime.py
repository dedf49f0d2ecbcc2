"""Runs one container with runc: starts it, runs commands in it, ends it.

Ending never asks runc: the first process is killed through a descriptor that cannot mean another process,
and its PID namespace takes everything else along. No value of an environment ever stands in an argv.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ingot.errors import CommandError, HostError, MachineLostError
from ingot.machine.container.bundle import PASSED_DESCRIPTORS
from ingot.machine.container.cgroups import ControlGroup, kill_child, remove_child
from ingot.machine.container.descriptors import OutputPipe, hand_over, open_content, open_pipe, wait_readable
from ingot.machine.container.ids import Home
from ingot.process import Sink, run, started

_START_TIMEOUT = 20.0
_END_TIMEOUT = 5.0
_WATCH = 0.2


class Container:
    """A started container. `start` again after `end` is allowed; one task at a time does either."""

    def __init__(self, home: Home, group: ControlGroup) -> None:
        self._home, self._group = home, group
        self._first = -1
        self._alive = -1
        self._commands = 0

    @property
    def running(self) -> bool:
        """Whether it was started and has not been ended; it may have ended by itself (see `lost`)."""
        return self._first >= 0

    async def start(self, config: Mapping[str, Any]) -> None:
        """Raises HostError with runc's own words when the container cannot be started."""
        home = self._home
        home.bundle.mkdir(mode=0o700, exist_ok=True)
        (home.bundle / "config.json").write_text(json.dumps(config))
        pid_file, log = home.run / "first.pid", home.run / "runc.log"
        read_end, self._alive = open_pipe()
        argv = [*self._runc(), "run", "--detach", "--pid-file", str(pid_file), "--bundle", str(home.bundle), home.id]
        try:
            handed = hand_over(argv, {0: ("<", read_end)}, log=log)
            await run(handed, timeout=_START_TIMEOUT, pass_fds=(read_end,))
        except CommandError as error:
            said = _last_message(log)
            raise HostError(f"the container cannot be started: {said}", hint="run `ingot doctor`") from error
        finally:
            os.close(read_end)
        try:
            self._first = os.pidfd_open(int(pid_file.read_text()))
        except (OSError, ValueError) as error:
            raise MachineLostError("the machine ended as soon as it was started") from error

    async def end(self) -> None:
        """Kills everything inside and forgets the container; does nothing when it is not running."""
        if self._first >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._first, signal.SIGKILL)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_TIMEOUT):
                    await wait_readable(self._first)
            os.close(self._first)
            self._first = -1
        if self._alive >= 0:
            os.close(self._alive)
            self._alive = -1
        await self._group.kill()
        self._group.remove()
        shutil.rmtree(self._home.runtime, ignore_errors=True)

    async def lost(self) -> bool:
        """Whether the first process has ended by itself."""
        if self._first < 0:
            return False
        try:
            async with asyncio.timeout(0):
                await wait_readable(self._first)
        except TimeoutError:
            return not _is_alive(self._first)
        return True

    async def run(
        self, process: Mapping[str, Any], owner: int, stdin: bytes, timeout: float, sink: Sink, watch: Watch
    ) -> tuple[int, bool]:
        """Runs a command; returns (status, whether `timeout` ended it). `watch.look` is called now and then.

        On every way out but a normal end, everything the command started is gone."""
        self._commands += 1
        child = self._group.make_child(f"c{self._commands}")
        pipe = OutputPipe(owner)
        finished = False
        try:
            status, timed_out = await self._supervised(process, stdin, timeout, sink, watch, child, pipe)
            finished = not timed_out
            return status, timed_out
        finally:
            pipe.close()
            if child is not None:
                if not finished:
                    await asyncio.shield(kill_child(child[0]))
                remove_child(child[0])
            elif not finished:
                await asyncio.shield(self.end())

    async def _supervised(
        self,
        process: Mapping[str, Any],
        stdin: bytes,
        timeout: float,
        sink: Sink,
        watch: Watch,
        child: tuple[Path, str] | None,
        pipe: OutputPipe,
    ) -> tuple[int, bool]:
        document, given = open_content(json.dumps(process).encode()), -1
        try:
            source = ("<", given := open_content(stdin)) if stdin else ("<", os.open("/dev/null", os.O_RDONLY))
            given = source[1]
            argv = [*self._runc(), "exec", "--process", f"/proc/self/fd/{document}"]
            argv += ["--preserve-fds", str(PASSED_DESCRIPTORS), *(("--cgroup", child[1]) if child else ()), self._home.id]
            handed = hand_over(argv, {3: (">", pipe.write), 4: source})
            async with started(handed, pass_fds=(document, pipe.write, given)) as runc:
                pipe.close_write()
                return await self._attended(runc, timeout, sink, watch, child, pipe)
        finally:
            os.close(document)
            if given >= 0:
                os.close(given)

    async def _attended(
        self,
        runc: asyncio.subprocess.Process,
        timeout: float,
        sink: Sink,
        watch: Watch,
        child: tuple[Path, str] | None,
        pipe: OutputPipe,
    ) -> tuple[int, bool]:
        assert runc.stdout is not None
        said = asyncio.ensure_future(runc.stdout.read())
        copier = asyncio.ensure_future(pipe.copy_to(sink))
        ended = asyncio.ensure_future(runc.wait())
        timed_out = False
        try:
            timed_out = not await watch.until(ended, copier, timeout)
            if timed_out:
                await self._kill(runc, child)
            # A daemon may hold the pipe open: what is in it now belongs to the command, the rest is dropped.
            await _settle(copier)
            if not copier.done():
                copier.cancel()
                await asyncio.wait([copier])
                await pipe.drain_to(sink)
            elif error := copier.exception():
                raise error
            return await self._status(runc, await said, timed_out, sink), timed_out
        finally:
            for task in (said, copier, ended):
                task.cancel()
            await asyncio.gather(said, copier, ended, return_exceptions=True)

    def _runc(self) -> list[str]:
        return ["runc", "--root", str(self._home.runtime), "--log", str(self._home.run / "runc.log")]
