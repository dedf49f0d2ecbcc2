"""The package's build makes the console's pages: with the Node of the build alone, once for each state of the sources,
whole or not at all. A small console stands for the real one; the build is the real one.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).parents[2]
UV = ROOT / ".tools/bin/uv"
PAGES = "src/ingot/console/dist"
PROGRAM = """\
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
const text = readFileSync("src/page.txt", "utf8");
if (text.includes("broken")) { console.error("src/page.txt is broken"); process.exit(3); }
mkdirSync("../src/ingot/console/dist/assets", { recursive: true });
writeFileSync("../src/ingot/console/dist/assets/index-1.js", "// a script\\n".repeat(500));
writeFileSync("../src/ingot/console/dist/index.html", text);
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of the package with a console that takes a moment to build."""
    place = tmp_path / "checkout"
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "docs/openapi.json"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    for name in ("src/ingot/__init__.py", "src/ingot/console/__init__.py"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    console = place / "console"
    (console / "src").mkdir(parents=True)
    (console / "build.mjs").write_text(PROGRAM)
    (console / "src/page.txt").write_text("the first page")
    (console / "node_modules/left").mkdir(parents=True)  # a developer's own
    (console / "node_modules/left/index.js").write_text("")
    lock(console, {})
    return place


def lock(console: Path, packages: dict[str, object]) -> None:
    """Writes what npm installs from."""
    wanted = {name.removeprefix("node_modules/"): "1.0.0" for name in packages}
    own = {"name": "small", "version": "1.0.0", "dependencies": wanted}
    scripts = {"build": "node build.mjs"}
    (console / "package.json").write_text(json.dumps({**own, "scripts": scripts}))
    shown = {**own, "lockfileVersion": 3, "requires": True, "packages": {"": own, **packages}}
    (console / "package-lock.json").write_text(json.dumps(shown))


def build(checkout: Path, *what: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`uv build` with no node on the PATH, and a home where nothing is and nothing can be."""
    tools = checkout.parent / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("sh", "env"):
        if not (tools / name).exists():
            (tools / name).symlink_to(shutil.which(name) or "/bin/false")
    cache = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    nowhere = checkout.parent / "no-home"
    nowhere.touch()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("npm_", "INGOT_"))}
    clean |= {"PATH": str(tools), "HOME": str(nowhere), "NODE_ENV": "production"}
    clean |= {"UV_CACHE_DIR": cache, "UV_PYTHON_INSTALL_DIR": str(checkout.parent / "pythons")}
    places = ("--python", sys.executable, "--out-dir", str(checkout.parent / "made"))
    command = [UV, "build", *(what or ("--wheel",)), *places]
    return subprocess.run(
        command, cwd=checkout, env={**clean, **environment}, capture_output=True, text=True, timeout=240, check=False
    )


def contents(checkout: Path) -> dict[str, bytes]:
    """The wheel's files."""
    (wheel,) = (checkout.parent / "made").glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def test_the_wheel_has_the_pages_and_is_built_again_only_for_other_sources(checkout: Path) -> None:
    done = build(checkout)
    assert done.returncode == 0, done.stderr
    files = contents(checkout)
    script = files["ingot/console/dist/assets/index-1.js"]
    assert files["ingot/console/dist/index.html"] == b"the first page"
    assert gzip.decompress(files["ingot/console/dist/assets/index-1.js.gz"]) == script
    assert not [name for name in files if "node_modules" in name or "build.mjs" in name]
    pages = checkout / PAGES
    first = pages.stat().st_ino
    (checkout / "console/node_modules/left/index.js").write_text("changed")
    assert build(checkout).returncode == 0
    assert pages.stat().st_ino == first
    (checkout / "console/src/page.txt").write_text("the second page")
    assert build(checkout).returncode == 0
    assert contents(checkout)["ingot/console/dist/index.html"] == b"the second page"
    assert sorted(path.name for path in pages.parent.iterdir()) == ["__init__.py", "dist"]


def test_a_build_that_fails_says_why_and_leaves_the_pages_as_they_were(checkout: Path) -> None:
    assert build(checkout).returncode == 0
    (checkout / "console/src/page.txt").write_text("broken")
    (checkout / PAGES).with_name(".dist-killed").mkdir()
    failed = build(checkout)
    assert failed.returncode != 0
    assert "building the console failed with status 3" in failed.stderr
    assert "src/page.txt is broken" in failed.stderr
    assert (checkout / PAGES / "index.html").read_text() == "the first page"
    (checkout / "console/src/page.txt").write_text("mended")
    temporary = checkout.parent / "temporary"
    killed, running = temporary / "ingot-console-killed", temporary / "ingot-console-running"
    for place in (killed, running):
        (place / "console").mkdir(parents=True)
    os.utime(killed, (0, 0))
    assert build(checkout, TMPDIR=str(temporary)).returncode == 0
    assert [path.name for path in temporary.glob("ingot-console-*")] == [running.name]
    assert (checkout / PAGES / "index.html").read_text() == "mended"
    assert not (checkout / PAGES).with_name(".dist-killed").exists()


def test_without_a_registry_it_says_what_to_do_and_the_pages_can_be_left_out(checkout: Path) -> None:
    address = "http://127.0.0.1:9/needed/-/needed-1.0.0.tgz"
    lock(checkout / "console", {"node_modules/needed": {"version": "1.0.0", "resolved": address}})
    registry = {"npm_config_registry": "http://127.0.0.1:9/"}
    failed = build(checkout, **registry)
    assert failed.returncode != 0
    assert "fetching the console's packages failed" in failed.stderr
    assert "npm does not reach its registry" in failed.stderr
    assert "INGOT_BUILD_CONSOLE=0" in failed.stderr
    assert not (checkout / PAGES).exists()
    assert build(checkout, **registry, INGOT_BUILD_CONSOLE="0").returncode == 0
    assert not [name for name in contents(checkout) if "dist/" in name]


def test_a_wheel_can_be_made_from_the_source_distribution(checkout: Path) -> None:
    done = build(checkout, "--no-create-gitignore")
    assert done.returncode == 0, done.stderr
    assert contents(checkout)["ingot/console/dist/index.html"] == b"the first page"
    assert not (checkout / PAGES).exists()  # it was built where the distribution was unpacked
