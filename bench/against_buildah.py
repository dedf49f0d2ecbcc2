"""Builds the same machine with Ingot and with `buildah bud --layers`, from the same base tree, in turn, in one run.

The template: apt [ripgrep], pip [requests, httpx], npm [pnpm], run [1]. Both start from a tree that already holds pip
and Node. Questions: cold (no layer, no download kept); the same packages with the downloads kept but every layer
ignored; the same packages in a new template, which may reuse layers; the last step changed; nothing changed.
Ours is timed from the POST that starts the build to the terminal frame in the client's hands, and includes the
manifest and the compressed archive; buildah's is its process.

    .venv/bin/python bench/against_buildah.py [--rounds 3] [--keep DIR]

Needs root, buildah and the package registries. Prints one JSON object a measurement, then the medians and ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from ingot.client import Client
from ingot.records.build import BuildFlags
from ingot.records.ref import Ref

KEY = "sk_live_benchmark_0000000000000000"
PORT = 7391
URL = f"http://127.0.0.1:{PORT}"
CA_BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
OUR_COLD = ("downloads kept", "new template")
LIMITS = {"cold": 1.0, "downloads kept": 0.5, "new template": 0.5, "last step changed": 1.0, "nothing changed": 0.5}


def document(last: str, name: str = "compared") -> bytes:
    return json.dumps(
        {
            "api_version": "orgo.ai/v1",
            "template": {"name": name, "version": "1.0.0"},
            "hardware": {"cpu": 2, "ram_gb": 4, "disk_gb": 8},
            "build": {"apt": ["ripgrep"], "pip": ["requests", "httpx"], "npm": ["pnpm"], "run": [last]},
        }
    ).encode()


TOOLCHAINS = json.dumps(
    {
        "api_version": "orgo.ai/v1",
        "template": {"name": "toolchains", "version": "1.0.0"},
        "hardware": {"disk_gb": 8},
        "build": {"run": ["pip --version", "npm --version"]},
    }
).encode()


# -- ours --------------------------------------------------------------------------------------------------


def start_server(data: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "INGOT_BOOTSTRAP_KEY": KEY,
        "INGOT_VAULT_KEY_FILE": str(data.parent / "vault.key"),
        "INGOT_CREDENTIALS_FILE": str(data.parent / "credentials.json"),
    }
    argv = [str(Path(sys.executable).parent / "ingot"), "up", "--listen", f"127.0.0.1:{PORT}", "--data-dir", str(data)]
    return subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


async def wait_ready() -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with Client(URL, KEY) as client:
                    await client.templates()
                return
            except Exception:  # not there yet
                await asyncio.sleep(0.1)


async def build_ours(client: Client, content: bytes, flags: BuildFlags = BuildFlags()) -> float:  # noqa: B008 - frozen
    """Publishes (not timed), then seconds from the POST to the terminal frame, every frame read and parsed by the
    client that the command line uses."""
    published = await client.publish(content, "application/json", force=True)
    ref = Ref.parse(str(published.ref))
    begun = time.perf_counter()
    await client.build(ref, flags)
    last = None
    async for frame in client.follow(ref):
        last = frame
    seconds = time.perf_counter() - begun
    if last is None or last.end is None or last.end.result != "ready":
        raise SystemExit(f"our build did not end ready: {last}")
    return seconds


# -- buildah -----------------------------------------------------------------------------------------------


class Buildah:
    """buildah with a storage of its own below `home`."""

    def __init__(self, home: Path) -> None:
        self._context = home / "context"
        self._context.mkdir(parents=True)
        self._global = ["buildah", "--root", str(home / "storage"), "--runroot", str(home / "run")]

    def call(self, *arguments: str) -> str:
        done = subprocess.run([*self._global, *arguments], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def take_base(self, tree: Path) -> None:
        container = self.call("from", "scratch")
        self.call("add", "--quiet", container, str(tree), "/")
        self.call("config", "--env", f"NODE_EXTRA_CA_CERTS={CA_BUNDLE}", "--env", f"PIP_CERT={CA_BUNDLE}", container)
        self.call("commit", "--quiet", container, "base")
        self.call("rm", container)

    def build(self, last: str, *, cache: bool) -> float:
        (self._context / "Dockerfile").write_text(
            "FROM localhost/base\nENV DEBIAN_FRONTEND=noninteractive\n"
            "RUN apt-get update && apt-get install -y --no-install-recommends ripgrep\n"
            "RUN pip install --break-system-packages --no-input requests httpx\n"
            "RUN npm install -g --no-audit --no-fund pnpm\n"
            f"RUN {last}\n"
        )
        kept = [] if cache else ["--no-cache"]
        begun = time.perf_counter()
        self.call(
            "bud", "--isolation", "oci", "--network", "host", "--layers", *kept, "-t", "compared", str(self._context)
        )
        return time.perf_counter() - begun


def export_tree(data: Path, target: Path) -> None:
    """The base image and both toolchains as one tar, with the owners that they have inside."""
    records = [json.loads(path.read_text()) for path in (data / "layers").glob("*/layer.json")]
    by_key = {record["key"]: record for record in records}
    toolchains = [record for record in records if record["kind"] == "toolchain"]
    top = next(r for r in toolchains if r["key"] not in {other["parent"] for other in toolchains})
    chain = []
    while top is not None:
        chain.append(data / "layers" / top["key"] / "parts" / "diff")
        top = by_key.get(top["parent"])
    merged = target.parent / "merged"
    merged.mkdir()
    subprocess.run(
        ["mount", "-t", "overlay", "overlay", "-o", f"ro,lowerdir={':'.join(map(str, chain))}", str(merged)], check=True
    )
    try:
        with tarfile.open(target, "w") as archive:
            archive.add(merged, ".", filter=_as_inside)
    finally:
        subprocess.run(["umount", str(merged)], check=True)


def _as_inside(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Owners are shifted by 100000 on the host."""
    entry.uid, entry.gid, entry.uname, entry.gname = entry.uid - 100_000, entry.gid - 100_000, "", ""
    return entry


# -- the comparison ----------------------------------------------------------------------------------------


async def compare(home: Path, rounds: int) -> Mapping[str, Mapping[str, list[float]]]:
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    data = home / "data"

    def note(question: str, who: str, seconds: float) -> None:
        taken[question][who].append(seconds)
        print(json.dumps({"question": question, "who": who, "seconds": round(seconds, 3)}), flush=True)

    await wait_ready()
    async with Client(URL, KEY) as client:
        await build_ours(client, TOOLCHAINS)
        export_tree(data, home / "tree.tar")
        buildah = Buildah(home / "buildah")
        buildah.take_base(home / "tree.tar")
        for number in range(rounds):
            shutil.rmtree(data / "downloads", ignore_errors=True)
            anew, first, second = BuildFlags(no_cache=True), f"echo {number} > /made", f"echo {number}b > /made"
            note("cold", "ingot", await build_ours(client, document(first), anew))
            note("cold", "buildah", buildah.build(first, cache=False))
            note("downloads kept", "ingot", await build_ours(client, document(first, "other"), anew))
            # Once more with layers kept, as buildah's cold build has left them.
            await build_ours(client, document(first), BuildFlags(force=True))
            new = document(f"echo new {number} > /made", f"new{number}")
            note("new template", "ingot", await build_ours(client, new))
            note("last step changed", "ingot", await build_ours(client, document(second)))
            note("last step changed", "buildah", buildah.build(second, cache=True))
            note("nothing changed", "ingot", await build_ours(client, document(second)))
            note("nothing changed", "buildah", buildah.build(second, cache=True))
    return taken


def summarise(taken: Mapping[str, Mapping[str, list[float]]]) -> bool:
    """Prints the medians; False when a ratio passes its limit."""
    good = True
    for question, limit in LIMITS.items():
        ours = statistics.median(taken[question]["ingot"])
        own = question in OUR_COLD
        theirs = statistics.median(taken["cold"]["ingot"] if own else taken[question]["buildah"])
        against = "our cold" if own else "buildah"
        good = good and ours <= limit * theirs
        print(f"{question}: ingot {ours:.3f} s, {against} {theirs:.3f} s, ratio {ours / theirs:.2f} (limit {limit})")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="a directory to work in, left as it is")
    arguments = parser.parse_args()
    home = arguments.keep or Path(tempfile.mkdtemp(prefix="ingot-bench-"))
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o711)
    server = start_server(home / "data")
    try:
        return 0 if summarise(asyncio.run(compare(home, arguments.rounds))) else 1
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
        if arguments.keep is None:
            shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
