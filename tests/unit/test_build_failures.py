"""From what went wrong to the failure that ends a build."""

from __future__ import annotations

import pytest

from ingot.builder.failures import as_build_error, blame_network, failed, judge
from ingot.errors import BuildError, CommandError, HostError, MachineDiskError, MachineLostError, lacks_room
from ingot.records.build import FailureCode
from ingot.records.machine import CommandResult

FULL = OSError(28, "No space left on device")


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        FULL,
        CommandError(["tar", "-cf", "x"], 2, "zstd: error 70 : cannot write block : No space left on device"),
        caused(HostError("a layer cannot be packed"), FULL),
        HostError("the server's disk is full", code="out_of_disk"),
        MachineLostError("the server's disk is full: the machine ended", code="out_of_disk"),
    ],
)
def test_a_full_host_is_out_of_disk_and_says_whose_disk(error: HostError | OSError) -> None:
    assert lacks_room(error)
    failure = as_build_error(error, "archive").failure
    assert (failure.code, failure.step) == (FailureCode.OUT_OF_DISK, "archive")
    assert failure.message.startswith("the server's disk is full")


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), HostError("no"), MachineDiskError("full")])
def test_other_errors_are_no_full_host(error: Exception) -> None:
    assert not lacks_room(error)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MachineLostError("gone"), FailureCode.MACHINE_LOST),
        (MachineLostError("the machine's network has ended", code="network"), FailureCode.NETWORK),
    ],
)
def test_a_lost_machine_says_what_to_do(error: MachineLostError, code: FailureCode) -> None:
    failure = as_build_error(error, "boot").failure
    assert failure.code is code
    assert failure.message.endswith("; build again: the steps that were finished are kept")


def test_a_command_that_the_host_had_no_room_for_is_not_to_blame() -> None:
    error = judge(CommandResult(1, 10, host_full=True), "run make", ["make: Input/output error"], 60)
    assert error is not None
    assert error.failure.code is FailureCode.OUT_OF_DISK
    assert error.failure.message.startswith("the server's disk is full: what run make wrote was not taken")
    assert judge(CommandResult(0, 10, host_full=True), "run make", [], 60) is None


SAID = {
    "E: Failed to fetch http://x/InRelease  Temporary failure resolving 'deb.example.org'": True,
    "W: Could not connect to deb.example.org:80 (192.0.2.1), connection timed out": True,
    "WARNING: Retrying: NewConnectionError('Failed to establish a new connection: [Errno -3]')": True,
    "npm ERR! code EAI_AGAIN": True,
    "npm error network request to https://x failed, reason: connect ETIMEDOUT 192.0.2.1:443": True,
    "E: Unable to locate package no-such-package": False,
    "ERROR: No matching distribution found for no-such-package": False,
    "npm ERR! 404 Not Found - GET https://registry.example.org/no-such-package": False,
}


@pytest.mark.parametrize("line", SAID)
def test_a_package_manager_that_reached_nothing_blames_the_network(line: str) -> None:
    error = failed(FailureCode.STEP_FAILED, "apt x ended with exit code 100", "apt x", 100, ["before", line, "after"])
    failure = blame_network(error).failure
    if not SAID[line]:
        assert failure is error.failure
        return
    assert (failure.code, failure.exit_code, failure.last_lines) == (
        FailureCode.NETWORK,
        100,
        ("before", line, "after"),
    )
    assert failure.message.startswith(f"apt x did not reach its registry: {line}; see that")


def test_a_step_that_had_no_memory_does_not_blame_the_network() -> None:
    error = failed(FailureCode.OUT_OF_MEMORY, "no memory", "pip x", 137, ["Read timed out"])
    assert blame_network(error) is error
    assert isinstance(error, BuildError)
