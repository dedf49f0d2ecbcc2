"""A template with more services than a virtual machine runs commands at once: what each says is in the log under its
app's name, and the build is no slower for it."""

from __future__ import annotations

import pytest

from ingot.guest import layout
from tests.acceptance.documents import template
from tests.acceptance.server import dump
from tests.acceptance.test_virtual_machines import vm_server

__all__ = ["vm_server"]

_APPS = 10


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["server", "vm_server"])
def test_each_of_many_services_is_heard_under_its_apps_name(kind: str, request: pytest.FixtureRequest) -> None:
    server = request.getfixturevalue(kind)
    heard = f"cat {layout.LOGS}/one-*.log | grep -c '^I am' | grep -qx {_APPS} && sleep 4"
    health = {"type": "command", "command": heard, "every": "1s", "timeout": "60s", "retries": 60}
    apps = [
        {
            "name": f"app-{number}",
            "services": [{"name": f"one-{number}", "run": f"echo I am {number}; exec sleep 1000"}],
        }
        for number in range(_APPS)
    ]
    apps[-1]["health"] = health
    _, frames = server.make(template("true", apps=apps))
    assert frames[-1].data["result"] == "ready", dump(frames)
    said = [(frame.data.get("source"), frame.line) for frame in frames if frame.line.startswith("I am ")]
    assert sorted(said) == [(f"app-{number}", f"I am {number}") for number in range(_APPS)]
