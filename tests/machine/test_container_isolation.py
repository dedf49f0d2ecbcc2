"""What a hostile template gets at from inside: nothing of the host."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ingot.errors import MachineError
from ingot.machine.container import ContainerBackend, ContainerSettings
from ingot.machine.container.network import host_addresses, network_rules
from ingot.records.machine import GuestFile
from tests.machine.conftest import SMALL, Opener, sh

pytestmark = pytest.mark.machine


def outer_addresses() -> list[str]:
    """This host's IPv4 addresses that other hosts could reach."""
    return [address for address in host_addresses() if ":" not in address and not address.startswith("127.")]


class Listener:
    """A service of the host, on every address; counts who got through."""

    def __init__(self) -> None:
        self.connections = 0

    async def __aenter__(self) -> Listener:
        self._server = await asyncio.start_server(self._serve, "0.0.0.0", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        await reader.readuntil(b"\r\n\r\n")  # closing with the request unread would reset the connection
        writer.write(b"HTTP/1.0 200 OK\r\n\r\nhost service")
        await writer.drain()
        writer.close()


async def test_no_service_of_the_host_can_be_reached_by_any_of_its_addresses(open_machine: Opener) -> None:
    addresses = ["127.0.0.1", "10.0.2.2", "10.0.2.3", "169.254.169.254", *outer_addresses()]
    async with Listener() as listener, open_machine() as machine:
        for address in addresses:
            result, text = await sh(machine, f"curl -sS -m 4 http://{address}:{listener.port}/")
            assert result.exit_code != 0, (address, text)
        assert listener.connections == 0


async def test_an_operator_can_allow_a_network(run_dir: Path, tmp_path: Path, base_layer: Path) -> None:
    address = outer_addresses()[0]
    settings = ContainerSettings(allow_networks=(f"{address}/32",))
    backend = ContainerBackend(tmp_path / "machines", settings, run_dir)
    async with Listener() as listener, backend.open(SMALL, [base_layer]) as machine:
        result, text = await sh(machine, f"curl -sS -m 40 http://{address}:{listener.port}/")
    assert (result.exit_code, text) == (0, "host service")


async def test_the_rules_cannot_be_changed_and_no_raw_socket_passes_by_them(open_machine: Opener) -> None:
    raw = "import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)"
    async with open_machine() as machine:
        _, text = await sh(machine, f'python3 -c "{raw}"; unshare -Urn true; unshare -r id; ls /sys/class/net')
    assert "PermissionError" in text
    assert text.count("unshare failed: Operation not permitted") == 2
    assert text.endswith("lo\ntap0\n")


async def test_packages_can_be_installed_over_the_network(open_machine: Opener) -> None:
    async with open_machine() as machine:
        result, text = await sh(machine, "apt-get update && apt-get install -y tree && tree --version", timeout=240)
    assert result.exit_code == 0, text


async def test_no_file_of_the_host_is_visible(open_machine: Opener, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("host secret")
    async with open_machine() as machine:
        script = f"cat {secret}; ls /etc/ingot /vmlinuz-of-the-host; cat /proc/1/environ /proc/sys/kernel/core_pattern"
        _, text = await sh(machine, script)
        assert "host secret" not in text
        assert text.count("No such file or directory") == 3
        _, mounts = await sh(machine, "cut -d' ' -f1,3 /proc/mounts | sort -u")
    assert set(mounts.splitlines()) <= {
        *("none overlay", "proc proc", "tmpfs tmpfs", "devpts devpts", "mqueue mqueue", "sysfs sysfs"),
        *("devtmpfs devtmpfs", "udev devtmpfs"),  # the device nodes in /dev, one by one
    }


async def test_the_kernel_is_out_of_reach(open_machine: Opener) -> None:
    attempts = [
        "mount -t tmpfs none /mnt",
        "mknod /srv/disk b 8 0",
        "echo 1 >/proc/sys/kernel/panic",
        "echo b >/proc/sysrq-trigger",
        "dmesg -c",
        "date -s 2001-01-01",
        "hostname other",
        "echo 1 >/sys/kernel/mm/ksm/run",
        "cat /dev/mem",
        "chroot /proc/1/root mount -t proc proc /mnt",
    ]
    async with open_machine() as machine:
        for attempt in attempts:
            result, text = await sh(machine, attempt)
            assert result.exit_code != 0, (attempt, text)


async def test_a_put_through_a_symbolic_link_stays_in_the_machine(open_machine: Opener, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("host")
    async with open_machine() as machine:
        await sh(machine, f"ln -s {outside} /srv/link; ln -s /../../../{outside} /srv/up; ln -s /etc/passwd /srv/name")
        with pytest.raises(MachineError, match=r"'/srv/link/victim' cannot be written in the machine: File exists"):
            await machine.put([GuestFile("/srv/link/victim", b"guest")])
        with pytest.raises(MachineError, match="cannot be written in the machine"):
            await machine.put([GuestFile("/srv/up/victim", b"guest")])
        await sh(machine, f"mkdir -p {outside}")
        await machine.put([GuestFile("/srv/link/victim", b"guest"), GuestFile("/srv/name", b"no link any more")])
        _, text = await sh(machine, f"cat {outside}/victim /srv/name; stat -c %F /srv/name; head -c 4 /etc/passwd")
    assert text == "guestno link any moreregular file\nroot"
    assert (outside / "victim").read_text() == "host"


@pytest.mark.parametrize("path", ["/proc/sys/kernel/panic", "/sys/x", "/dev/shm/x"])
async def test_a_put_below_the_kernels_directories_is_refused(open_machine: Opener, path: str) -> None:
    async with open_machine() as machine:
        with pytest.raises(MachineError, match="belongs to the kernel"):
            await machine.put([GuestFile(path, b"")])


async def test_put_sets_owner_group_and_mode_and_makes_directories_as_root(open_machine: Opener) -> None:
    async with open_machine() as machine:
        await machine.put([GuestFile("/srv/a/b/run", b"#!/bin/sh\necho ran\n", 0o750, "orgo", "orgo")])
        _, text = await sh(machine, "stat -c '%U %G %a' /srv/a /srv/a/b /srv/a/b/run; /srv/a/b/run")
        with pytest.raises(MachineError, match="there is no group 'none-such' in the machine"):
            await machine.put([GuestFile("/srv/x", b"", group="none-such")])
        with pytest.raises(MachineError, match=r"'/srv/a' cannot be written in the machine: a directory of that name"):
            await machine.put([GuestFile("/srv/a", b"")])
    assert text.splitlines() == ["root root 755", "root root 755", "orgo orgo 750", "ran"]


def test_the_rules_reject_the_host_and_every_private_range_and_leave_public_services_alone() -> None:
    rules = network_rules(["203.0.113.9", "2001:db8::1"], ["192.168.7.0/24"])
    accepted, rejected = rules.index("ip daddr { 192.168.7.0/24 } accept"), rules.index("reject")
    assert accepted < rejected
    assert rules.index("ip daddr 10.0.2.3 udp dport 53 accept") < rejected
    for network in ("10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "203.0.113.9/32", "fc00::/7", "2001:db8::1/128"):
        assert network in rules
    assert "203.0.113.0/24" not in rules


async def test_no_descriptor_of_the_host_is_left_open_inside(open_machine: Opener) -> None:
    async with open_machine() as machine:
        is_up = 'until [ "$(readlink /proc/1/fd/2)" = /dev/null ] && [ -e /proc/1/fd/3 ]; do sleep 0.05; done'
        look = "ls -l /proc/self/fd | cut -d'>' -f2; echo --; ls -l /proc/1/fd | cut -d'>' -f2"
        _, text = await sh(machine, f"{is_up}; {look}")
        own, first = text.split("--\n")
        assert [line.split(":")[0].strip() for line in own.splitlines()[1:]][:3] == ["/dev/null", "pipe", "pipe"]
        assert len(own.splitlines()) == 5  # "total 0", the three, and the directory being listed
        assert [line.split(":")[0].strip() for line in first.splitlines()[1:]] == ["/dev/null"] * 3 + ["pipe"]
        result, _ = await sh(machine, "timeout 20 cat /proc/1/fd/3")
        assert result.exit_code == 1, "the pipe that ends the machine must not be readable inside"
        _, options = await sh(machine, "grep ' / overlay' /proc/mounts")
        assert ".cache" not in options
