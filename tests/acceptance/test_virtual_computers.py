"""Computers that last, made of virtual machines: as with containers, in one test because each start takes long."""

from __future__ import annotations

import pytest

from tests.acceptance import test_virtual_machines
from tests.acceptance.documents import template
from tests.acceptance.server import Server

vm_server = test_virtual_machines.vm_server


@pytest.mark.timeout(900)
def test_a_virtual_computer_lasts(vm_server: Server) -> None:
    hooks = {"on_first_boot": "echo first >> /srv/boots", "on_every_boot": "echo every >> /srv/boots"}
    ref, frames = vm_server.make(template("echo golden > /srv/golden", hooks=hooks))
    assert frames[-1].data["result"] == "ready", frames[-1].data
    computer = vm_server.launch(ref, name="vm")["id"]
    try:
        name = vm_server.bash(computer, "hostname; echo mine > /srv/mine; rm /srv/golden")
        vm_server.change(computer, "stop", "stopped")
        assert test_virtual_machines.qemus_of(vm_server) == []
        assert vm_server.change(computer, "start")["error"] is None
        assert vm_server.bash(computer, "hostname; cat /srv/*") == f"{name}first\nevery\nevery\nmine\n"
        clone = vm_server.until(vm_server.ask("POST", f"/computers/{computer}/clone", 201)["id"], "running")
        assert vm_server.bash(clone["id"], "cat /srv/mine; hostname") == f"mine\nvm-clone-{clone['instance_id']}\n"
        vm_server.ask("DELETE", f"/computers/{clone['id']}", 200)
        vm_server.bash(computer, "echo since > /srv/since; sync")
        vm_server.kill()
        vm_server.start()
        assert vm_server.until(computer, "running")["error"] is None
        assert vm_server.bash(computer, "cat /srv/since /srv/mine") == "since\nmine\n"
    finally:
        for shown in vm_server.ask("GET", "/computers", 200)["computers"]:
            vm_server.ask("DELETE", f"/computers/{shown['id']}", 200)
    assert list((vm_server.data / "computers").iterdir()) == []
