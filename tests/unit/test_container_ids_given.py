"""Whether somebody of the host can become the machines' root."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingot.machine.container import findings


@pytest.mark.parametrize(
    ("lines", "owners"),
    [
        ("", None),
        ("ann:200000:65536\nbob:65536:34464\n", None),
        ("ann:100000:65536\n", "ann"),
        ("bob:165535:1\nann:1:100000\nann:90000:20000\n", "ann, bob"),
        ("broken\nann:x:y\n:100000\n", None),
    ],
)
def test_who_was_given_ids_of_the_machines_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str, owners: str | None
) -> None:
    given = tmp_path / "subuid"
    given.write_text(lines)
    monkeypatch.setattr(findings, "_GIVEN_IDS", (given, tmp_path / "missing"))
    found = findings._own_ids()
    assert (found.ok, found.needed) == (owners is None, False)
    if owners is not None:
        assert found.detail.startswith(f"{owners} can act as root of every machine")
        assert str(found.remedy).endswith(owners.split(",")[0])
