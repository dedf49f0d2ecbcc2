"""The console's parts that need no browser, by node's own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.clients import node

_TESTS = Path(__file__).parents[2] / "console/tests"


@pytest.mark.parametrize("part", ["build", "computers", "log"])
def test_the_parts_of(part: str) -> None:
    files = sorted((_TESTS / part).glob("*.test.ts"))
    assert files
    ran = subprocess.run([str(node.NODE), "--test", *map(str, files)], capture_output=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout.decode()[-8000:]
