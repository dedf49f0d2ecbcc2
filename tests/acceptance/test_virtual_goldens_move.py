"""A golden that one server made goes on running on another that has nothing but its objects."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import test_virtual_machines
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, lines_of

vm_server = test_virtual_machines.vm_server

_SERVICE = {"name": "rest", "run": "echo $$ >/dev/shm/pid; exec sleep 100000"}
_APP = {
    "name": "calm",
    "services": [{**_SERVICE, "user": "root"}],
    "health": {"type": "command", "command": "test -s /dev/shm/pid", "every": "1s"},
}
_STARTED = "cat /dev/shm/pid; stat -c %Y /dev/shm/pid"
"""Which process the service is, and when it was started."""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Server]:
    """A server of another host: nothing was ever built or booted on it."""
    server = Server(tmp_path / "other", {"machine": "qemu", "builds": "1"}, patience=test_virtual_machines.PATIENCE)
    server.client.timeout = 400
    server.data.mkdir(parents=True, mode=0o711)
    yield server
    server.close()
    server.host.assert_clean()


@pytest.mark.timeout(900)
def test_a_golden_goes_on_where_its_objects_are(vm_server: Server, other: Server) -> None:
    document = template("echo made >/srv/made", apps=[_APP])
    ref, frames = vm_server.make(document)
    assert frames[-1].data["result"] == "ready", dump(frames)
    with vm_server.computer(ref) as computer:
        started = vm_server.bash(computer, _STARTED)

    subprocess.run(["cp", "-a", str(vm_server.data / "objects"), str(other.data / "objects")], check=True)
    other.start()
    _, frames = other.make(document)
    assert frames[-1].data["result"] == "ready", dump(frames)
    assert "every layer is known: no build VM is needed" in lines_of(frames, "boot")
    assert other.status(ref)["golden_dir"] == vm_server.status(ref)["golden_dir"]
    manifest = other.attempt(ref)["manifest"]
    assert (manifest["needs"]["accelerator"], manifest["needs"]["memory_mb"]) == ("tcg", 1024)

    with other.computer(ref) as computer:
        assert other.bash(computer, _STARTED) == started, "it is the process that the first server started"
        assert other.ask("GET", f"/computers/{computer}", 200)["error"] is None
        assert other.bash(computer, "kill -0 $(cat /dev/shm/pid); cat /srv/made") == "made\n"

    _capture_by_an_older_qemu(other, manifest)
    with other.computer(ref) as computer:
        told = other.ask("GET", f"/computers/{computer}", 200)["error"]
        assert told.startswith("the golden's running state needs QEMU 6.9.0 (here: "), told
        assert "; it was started from its disk" in told
        anew = other.bash(computer, "until [ -s /dev/shm/pid ]; do sleep 0.1; done; " + _STARTED)
        assert anew.split()[1] > started.split()[1], "its service was started anew"
        assert other.bash(computer, "cat /srv/made") == "made\n"


def _capture_by_an_older_qemu(server: Server, manifest: dict[str, Any]) -> None:
    """Has the golden's state say so."""
    record = server.data / "layers" / manifest["layers"][-1]["key"] / "parts/state.json"
    content = json.loads(record.read_bytes())
    content["hardware"]["emulator"] = "6.9.0"
    record.write_text(json.dumps(content))
