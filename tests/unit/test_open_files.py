"""The limit of open files: raised for the streams that are wanted, and what it is enough for where it cannot be."""

import subprocess
import sys

import pytest

from ingot.open_files import enough_for, needed_for

RAISE = """
import resource, sys
from ingot.open_files import raise_limit
soft, hard, streams = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(raise_limit(streams), *resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize(
    ("soft", "hard", "streams", "told"),
    [
        (256, 8000, 1000, (1000, 3000, 8000)),
        (256, 1024, 1000, (384, 1024, 1024)),
        (8000, 8000, 1000, (1000, 8000, 8000)),
    ],
)
def test_the_limit_is_raised_as_far_as_needed_and_allowed(
    soft: int, hard: int, streams: int, told: tuple[int, int, int]
) -> None:
    argv = [sys.executable, "-c", RAISE, str(soft), str(hard), str(streams)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert tuple(map(int, done.stdout.split())) == told


@pytest.mark.parametrize("streams", [1, 100, 9000])
def test_what_is_needed_is_enough(streams: int) -> None:
    assert enough_for(needed_for(streams)) >= streams
