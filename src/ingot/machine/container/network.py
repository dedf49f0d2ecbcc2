"""A machine's user and network namespace, the rules of what it may reach, and slirp4netns that carries it.

The rules are in force before the first process of the machine runs, and nothing inside holds the
capability to change them. Nothing outside can open a connection into the machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import itertools
import os
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ingot.errors import CommandError, DeadlineError, HostError, MachineLostError
from ingot.machine.container import syscalls
from ingot.machine.container.descriptors import hand_over, open_pipe
from ingot.machine.container.ids import FIRST_ID, ID_COUNT
from ingot.process import run, started
from ingot.readable import wait_readable

NAME_SERVER = "10.0.2.3"

# Written out because `ipaddress` calls ranges private where public services live.
_REJECTED_4 = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
]
_REJECTED_6 = ["::/128", "::1/128", "::ffff:0:0/96", "64:ff9b:1::/48", "fc00::/7", "fe80::/10", "ff00::/8"]

_READY_TIMEOUT = 15.0
_Result = TypeVar("_Result")
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def network_rules(host_addresses: Iterable[str], allowed: Iterable[str]) -> str:
    """The nft rules of a machine: names are looked up at 10.0.2.3, `allowed` CIDRs pass, the host's own
    addresses and everything that is not the public network is rejected, the rest passes."""
    rejected = [*_REJECTED_4, *_REJECTED_6, *host_addresses]
    lines = ["table inet ingot {", " chain output {", "  type filter hook output priority 0; policy accept;"]
    lines.append('  oifname "lo" accept')
    lines += [f"  ip daddr {NAME_SERVER} {kind} dport 53 accept" for kind in ("udp", "tcp")]
    lines += _matches(allowed, "accept")
    lines += _matches(rejected, "reject with icmpx type admin-prohibited")
    return "\n".join([*lines, " }", "}", ""])


def _matches(networks: Iterable[str], verdict: str) -> list[str]:
    parsed = [ipaddress.ip_network(text, strict=False) for text in networks]
    fourth = ipaddress.collapse_addresses(network for network in parsed if isinstance(network, ipaddress.IPv4Network))
    sixth = ipaddress.collapse_addresses(network for network in parsed if isinstance(network, ipaddress.IPv6Network))
    return [*_match("ip", list(fourth), verdict), *_match("ip6", list(sixth), verdict)]


def _match(family: str, networks: Sequence[_Network], verdict: str) -> list[str]:
    return [f"  {family} daddr {{ {', '.join(map(str, networks))} }} {verdict}"] if networks else []


def host_addresses() -> list[str]:
    """Every address this host has now, of both families, from the kernel's tables."""
    found = set()
    lines = Path("/proc/net/fib_trie").read_text().splitlines()
    for before, line in itertools.pairwise(lines):
        if "host LOCAL" in line:
            found.add(before.split()[-1])
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/net/if_inet6").read_text().splitlines():
            found.add(socket.inet_ntop(socket.AF_INET6, bytes.fromhex(line.split()[0])))
    return sorted(found)


async def make_namespaces(directory: Path, allowed: Sequence[str]) -> dict[str, Path]:
    """Makes a user namespace and a network namespace that it owns, kept by mounts in `directory`, with the
    rules loaded. Returns the two paths by runc's names, `user` and `network`."""
    directory.mkdir(mode=0o700)
    places = {"user": directory / "user", "network": directory / "net"}
    for place in places.values():
        place.touch()
    async with started(["unshare", "--user", "--net", "sh", "-c", "echo; read -r _"], stdin=None) as process:
        assert process.stdout is not None
        if await asyncio.wait_for(process.stdout.readline(), 10) != b"\n":
            raise HostError("user and network namespaces cannot be made", hint="run `ingot doctor`")
        mapping = f"0 {FIRST_ID} {ID_COUNT}\n"
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{process.pid}/{name}").write_text(mapping)
        syscalls.bind(f"/proc/{process.pid}/ns/user", places["user"])
        syscalls.bind(f"/proc/{process.pid}/ns/net", places["network"])
    rules = network_rules(host_addresses(), allowed)
    try:
        await run(["nsenter", f"--net={places['network']}", "nft", "-f", "-"], timeout=10, stdin=rules.encode())
    except CommandError as error:
        raise HostError(f"the network rules cannot be loaded: {error}", hint="run `ingot doctor`") from error
    return places


@contextlib.asynccontextmanager
async def carried(namespaces: dict[str, Path], log: Path) -> AsyncIterator[Carrier]:
    """Runs slirp4netns for the namespaces. It ends with the context, and when this server is killed."""
    ready_read, ready_write = open_pipe()
    exit_read, exit_write = open_pipe()
    argv = [
        *("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback", "--enable-sandbox"),
        *("--enable-seccomp", "--netns-type=path", f"--userns-path={namespaces['user']}"),
        *(f"--ready-fd={ready_write}", f"--exit-fd={exit_read}", str(namespaces["network"]), "tap0"),
    ]
    handed = hand_over(argv, {}, log=log)
    with contextlib.ExitStack() as open_ends:
        open_ends.callback(os.close, ready_read)
        open_ends.callback(os.close, exit_write)
        with contextlib.ExitStack() as given:
            given.callback(os.close, ready_write)
            given.callback(os.close, exit_read)
            context = started(handed, pass_fds=(ready_write, exit_read))
            process = await context.__aenter__()
        ending = asyncio.create_task(process.wait())
        try:
            yield Carrier(ending, ready_read, log)
        finally:
            await context.__aexit__(None, None, None)
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)


class Carrier:
    """The running slirp4netns of one machine; `ending` is done when it has ended."""

    def __init__(self, ending: asyncio.Task[int], ready: int, log: Path) -> None:
        self._ending, self._ready, self._log = ending, ready, log
        self._up, self._waiting = False, asyncio.Lock()

    async def wait_up(self) -> None:
        """Returns when the network carries packets. Raises HostError when it does not come up."""
        async with self._waiting:
            if not self._up:
                await self._wait_up()

    async def _wait_up(self) -> None:
        try:
            async with asyncio.timeout(_READY_TIMEOUT):
                await wait_readable(self._ready)
        except TimeoutError:
            raise DeadlineError("slirp4netns did not bring the network up", seconds=_READY_TIMEOUT) from None
        if not os.read(self._ready, 1):
            said = self._log.read_text(errors="replace").strip()[-500:]
            raise HostError(f"slirp4netns ended before the network was up: {said}", hint="run `ingot doctor`")
        self._up = True

    async def unless_ended(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """The result of `work`. When the network ends before it or with it, `work` is cancelled and MachineLostError
        raised, with the code `network`: what would fail in the machine hours later fails now."""
        running = asyncio.ensure_future(work)
        try:
            await asyncio.wait((running, self._ending), return_when=asyncio.FIRST_COMPLETED)
            if not self._ending.done():
                return running.result()
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        self.check()
        raise AssertionError("one of the two is done")

    def check(self) -> None:
        """MachineLostError, with the code `network`, when the network has ended."""
        if self._ending.done():
            raise MachineLostError("the machine's network has ended: slirp4netns is gone", code="network")
