"""The console's own check: its types fit, and its files are formatted as Prettier writes them."""

from __future__ import annotations

import re
from pathlib import Path

import hatch_build
import pytest

ROOT = Path(__file__).parents[2]
FORMAT = "npm ci --ignore-scripts && npm run format"
UNFORMATTED = """\
checking the console failed with status 1:
Checking formatting...
[warn] src/build/page.tsx
[warn] tests/log/view.test.ts
[warn] Code style issues found in 2 files. Run Prettier with --write to fix.
"""


def advice(said: str) -> str:
    """What to do about a check that failed."""
    files = re.findall(r"^\[warn\] (\S+)$", said, re.MULTILINE)
    if not files:
        return said
    return f"not formatted in console/: {', '.join(files)}; run there `{FORMAT}`"


@pytest.mark.timeout(600)
def test_types_fit_and_files_are_formatted(tmp_path: Path) -> None:
    run = hatch_build.prepare(ROOT, tmp_path)
    try:
        run("checking the console", "check")
    except SystemExit as error:
        pytest.fail(advice(str(error)), pytrace=False)


def test_a_check_that_fails_names_the_files_and_the_command() -> None:
    assert advice(UNFORMATTED) == (
        "not formatted in console/: src/build/page.tsx, tests/log/view.test.ts; "
        "run there `npm ci --ignore-scripts && npm run format`"
    )
    wrong = "src/app.tsx(3,7): error TS2322: Type 'string' is not assignable to type 'number'."
    assert advice(wrong) == wrong
