"""Files that a template fetches from the web: fetched inside a machine, in its network and never in the server's,
bounded in time, size and redirects. Their SHA-256 goes into layer keys and the manifest.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from ingot.builder.bake import Bake
from ingot.builder.failures import failed
from ingot.builder.scripts import fetch_command
from ingot.records.build import FailureCode
from ingot.records.machine import Command

FETCH_DEADLINE = 300.0
MAX_BYTES = 256 * 2**20
_PLACE = "/run/ingot/source"


def is_web(url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https")


async def fetch_all(bake: Bake) -> dict[str, str]:
    """Fetches every source of the template once; returns URL → SHA-256. Raises BuildError with code `network`."""
    digests: dict[str, str] = {}
    for file in bake.request.template.files:
        if file.source is not None and file.source not in digests:
            digests[file.source] = await _fetch(bake, file.source, len(digests))
    if digests:
        await bake.seat.vacate()  # what was fetched must not be captured by the first step
    return digests


async def _fetch(bake: Bake, url: str, number: int) -> str:
    title = f"fetching {url}"
    await bake.say(f"curl {url}")
    machine = await bake.machine()
    timeout = min(FETCH_DEADLINE, bake.request.limits.step_timeout)
    async with bake.report.output("builder") as output:
        fetched = await machine.exec(fetch_command(url, _PLACE, timeout=timeout, max_bytes=MAX_BYTES), output.write)
    if fetched.exit_code != 0:
        lines = output.last_lines()
        why = lines[-1] if lines else f"curl ended with status {fetched.exit_code}"
        raise failed(FailureCode.NETWORK, f"{url} cannot be fetched: {why}", title, fetched.exit_code, lines)
    place = bake.scratch / f"source-{number}"
    digest, size = await _bring_out(bake, place)
    bake.source_files[url] = place
    await bake.say(f"{url}: {size} bytes, sha256 {digest}")
    return digest


async def _bring_out(bake: Bake, place: Path) -> tuple[str, int]:
    """Copies the fetched file out of the machine through a command's output, never through its file tree."""
    machine = await bake.machine()
    digest, size = hashlib.sha256(), 0
    with place.open("wb") as file:

        async def write(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if size > MAX_BYTES:
                raise failed(FailureCode.NETWORK, f"a source is larger than {MAX_BYTES} bytes", "compile")
            digest.update(chunk)
            file.write(chunk)

        command = Command(("/bin/sh", "-c", f"cat {_PLACE} && rm -f {_PLACE}"), timeout=120)
        result = await machine.exec(command, write)
    if result.exit_code != 0:
        raise failed(FailureCode.NETWORK, "a fetched source could not be read", "compile", result.exit_code)
    return digest.hexdigest(), size
