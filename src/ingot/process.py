"""The only place that starts processes on the host: no shell reads what is run, always a
deadline, never an orphan.

A host process is one of ours (mmdebstrap, runc, mount, tar …), never a template's own command: those
run inside a machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from ingot.errors import CommandError, DeadlineError, HostError

Sink = Callable[[bytes], Awaitable[None]]
"""Takes a chunk of output as it comes; awaiting it is the back-pressure."""

_KEPT = 64 * 1024
_KILL_GRACE = 5.0
# The kernel tells nothing of a parent that had ended before it was asked to: it is looked at once more after that.
_UNLESS_LEFT = '[ "$PPID" = "$0" ] && exec "$@"'


async def run(
    argv: Sequence[str],
    *,
    timeout: float,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    sink: Sink | None = None,
    check: bool = True,
    pass_fds: Sequence[int] = (),
    dies_with_us: bool = False,
) -> tuple[int, bytes]:
    """Runs `argv` to its end and returns (status, output): both streams together, the last 64 KiB of them
    when a `sink` took them as they came, everything otherwise.

    Raises CommandError for a status other than 0 (unless `check` is off), DeadlineError after `timeout`
    seconds, HostError when the program is not installed. On every way out the process group is gone.
    """
    async with started(argv, stdin=stdin, env=env, cwd=cwd, pass_fds=pass_fds, dies_with_us=dies_with_us) as process:
        try:
            async with asyncio.timeout(timeout):
                output = await _drain(process, stdin, sink)
                status = await process.wait()
        except TimeoutError:
            raise DeadlineError(f"`{' '.join(argv[:4])}` did not end within {timeout:g} s", seconds=timeout) from None
    if check and status != 0:
        raise CommandError(argv, status, output.decode(errors="replace"))
    return status, output


@contextlib.asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    stdin: bytes | int | None = b"",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    dies_with_us: bool = False,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process in a session of its own, with stdout and stderr in one pipe; killed, with its whole group,
    on the way out, and with `dies_with_us` also when this process is killed. `stdin`: bytes to come (a pipe), None for
    a pipe that stays with the caller, or a descriptor."""
    if not isinstance(stdin, int):
        stdin = asyncio.subprocess.DEVNULL if stdin == b"" else asyncio.subprocess.PIPE
    try:
        process = await asyncio.create_subprocess_exec(
            *(_bound(argv) if dies_with_us else argv),
            stdin=stdin,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            pass_fds=tuple(pass_fds),
        )
    except FileNotFoundError as error:
        raise HostError(f"`{argv[0]}` is not installed", hint="run `ingot doctor`") from error
    try:
        yield process
    finally:
        await asyncio.shield(_end(process))


def _bound(argv: Sequence[str]) -> list[str]:
    return ["setpriv", "--pdeathsig", "KILL", "sh", "-c", _UNLESS_LEFT, str(os.getpid()), *argv]


async def _drain(process: asyncio.subprocess.Process, stdin: bytes, sink: Sink | None) -> bytes:
    assert process.stdout is not None
    if stdin:
        assert process.stdin is not None
        feeder = asyncio.create_task(_feed(process.stdin, stdin))
    else:
        feeder = None
    kept = bytearray()
    try:
        while chunk := await process.stdout.read(65536):
            kept += chunk
            if sink is not None:
                if len(kept) > 2 * _KEPT:
                    del kept[:-_KEPT]
                await sink(chunk)
    finally:
        if feeder is not None:
            feeder.cancel()
            await asyncio.gather(feeder, return_exceptions=True)
    return bytes(kept)


async def _feed(pipe: asyncio.StreamWriter, content: bytes) -> None:
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.write(content)
        await pipe.drain()
    pipe.close()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Kills what is left of the process's group and reaps the process."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.returncode is None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_KILL_GRACE):
                await process.wait()
    transport = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
