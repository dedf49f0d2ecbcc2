"""The conformance suite on a real server: green as it is, and red for each way of breaking the contract."""

from __future__ import annotations

import json
import subprocess

import pytest

import ingot.conformance.checks  # noqa: F401  registers them
from ingot.conformance.checking import CHECKS, Outcome, chosen, run_checks
from ingot.conformance.subject import Subject
from tests.acceptance.documents import template
from tests.acceptance.faulty_proxy import FAULTS, Fault, proxied
from tests.acceptance.server import INGOT, KEY, Server


def conformance(server: Server, *flags: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The command's status, and its findings by name."""
    command = [str(INGOT), "conformance", server.url, "--json", *flags]
    done = subprocess.run(command, env=server.environment(), capture_output=True, timeout=540, check=False)
    assert done.stdout, done.stderr
    return done.returncode, {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}


def test_the_server_keeps_the_contract(server: Server) -> None:
    status, findings = conformance(server, "--core")
    assert {finding["outcome"] for finding in findings.values()} == {"passed"}, findings
    assert status == 0
    assert len(findings) == sum(check.core for check in CHECKS)
    left = [item["ref"] for item in server.ask("GET", "/templates", 200)["templates"]]
    assert not [ref for ref in left if "conformance" in ref], "the suite leaves its templates"
    assert not server.ask("GET", "/secrets", 200)["secrets"]


def test_a_build_that_is_named_is_only_read(server: Server) -> None:
    ref, _ = server.make(template("seq 1 100", "echo more"))
    before = len(server.ask("GET", "/templates", 200)["templates"])
    status, findings = conformance(server, "--core", "--ref", ref)
    outcomes = {name: finding["outcome"] for name, finding in findings.items()}
    assert status == 0, findings
    assert (outcomes["resume.every_id"], outcomes["format.range"]) == ("passed", "passed")
    assert outcomes["ends.cancelled"] == "skipped"
    assert len(server.ask("GET", "/templates", 200)["templates"]) == before


async def test_through_a_proxy_that_changes_nothing_all_is_well(server: Server) -> None:
    names = {fault.found_by for fault in FAULTS}
    async with proxied(server.url, Fault("none", "")) as url, Subject(url, KEY) as subject:
        findings = await run_checks(chosen(CHECKS, core=True, only=names), subject)
    assert len(findings) == len(names)
    assert [finding for finding in findings if finding.outcome is not Outcome.PASSED] == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name.replace(" ", "-"))
async def test_a_server_that_breaks_the_contract_is_found_out(server: Server, fault: Fault) -> None:
    async with proxied(server.url, fault) as url, Subject(url, KEY) as subject:
        (finding,) = await run_checks(chosen(CHECKS, core=True, only=[fault.found_by]), subject)
    assert finding.outcome is Outcome.FAILED
    assert finding.detail
