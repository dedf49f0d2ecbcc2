"""The documentation names every command and flag; `--help` answers at once and names the variables."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from ingot.cli.app import app
from tests.cli.conftest import INGOT, Run

DOCS = Path(__file__).parents[2] / "docs/cli.md"
VARIABLES = {
    "--url": "INGOT_URL",
    "--listen": "INGOT_LISTEN",
    "--data-dir": "INGOT_DATA_DIR",
    "--machine": "INGOT_MACHINE",
    "--builds": "INGOT_BUILDS",
    "--config": "INGOT_CONFIG",
}


def commands(command: Any = None, path: str = "ingot") -> Iterator[tuple[str, Any]]:
    """Every command with its full name, groups included."""
    command = command or typer.main.get_command(app)
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def sections() -> dict[str, str]:
    """The text below each heading that is a command's name, up to the next heading."""
    parts = re.split(r"^#{2,3} (ingot.*)$", DOCS.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


ALL = dict(commands())


@pytest.mark.parametrize("name", ALL)
def test_every_command_and_flag_is_documented(name: str) -> None:
    text = sections()[name]
    flags = [flag for option in ALL[name].params if option.param_type_name == "option" for flag in option.opts]
    flags += [flag for option in ALL[name].params for flag in option.secondary_opts]
    missing = [flag for flag in flags if flag not in ("--help", "-h") and f"`{flag}" not in text]
    assert missing == []


def test_nothing_is_documented_that_is_not_there() -> None:
    assert set(sections()) == set(ALL)
    for name, text in sections().items():
        known = {flag for option in ALL[name].params for flag in (*option.opts, *option.secondary_opts)}
        named = set(re.findall(r"^- .*?(?=$)", text, flags=re.MULTILINE))
        flags = {
            flag for line in named for flag in re.findall(r"`(--[a-z-]+)", line.split(" with `")[0].split(" as `")[0])
        }
        assert flags <= known, name


@pytest.mark.parametrize("name", [name for name, command in ALL.items() if not hasattr(command, "commands")])
def test_every_command_speaks_json(name: str) -> None:
    assert any("--json" in option.opts for option in ALL[name].params)


def test_every_flag_with_a_variable_names_it_in_its_help() -> None:
    for name, command in ALL.items():
        for option in command.params:
            for flag in set(option.opts) & set(VARIABLES):
                assert VARIABLES[flag] in option.help, f"{name} {flag}"


def test_help_loads_nothing_heavy() -> None:
    heavy = {"asyncio", "httpx2", "pydantic", "fastapi", "sqlalchemy", "ruamel", "rich", "zstandard", "cryptography"}
    script = "import sys, ingot.cli.app; print(*[name for name in sys.modules if '.' not in name])"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert heavy.isdisjoint(loaded)


async def test_help_of_every_command_is_shown(ingot: Run) -> None:
    ran = await ingot("--help")
    assert ran.status == 0
    assert {name.split()[1] for name in ALL if " " in name} <= set(ran.out.split())
    assert INGOT.exists()
