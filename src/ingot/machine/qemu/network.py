"""What keeps a virtual machine from the host's network: QEMU's own network runs in a namespace with rules.

The same namespace, rules and carrier as containers have. Where the host gives no namespace (an unprivileged server)
QEMU's network is the server's own: the machine then reaches what the server reaches, and says so.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ingot.errors import HostError
from ingot.machine.container import mounts
from ingot.machine.container.network import NAME_SERVER, Carrier, carried, make_namespaces
from ingot.machine.threads import in_thread

_OPEN = (
    "this host gives the server no network namespace: the machine can reach what the server can, this host's own "
    "services and private networks too"
)
_WITH_RESOLVER = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'


@dataclass(frozen=True, slots=True)
class Guard:
    """What QEMU's command line begins with and what carries its network; a warning where there is no guard."""

    prefix: tuple[str, ...] = ()
    carrier: Carrier | None = None
    warnings: tuple[str, ...] = ()


@contextlib.asynccontextmanager
async def guarded(sockets: Path, allowed: Sequence[str]) -> AsyncIterator[Guard]:
    """A guard within the context; nothing of it is left behind it. `sockets` is the machine's run directory."""
    async with contextlib.AsyncExitStack() as ending:
        if os.geteuid() != 0:
            yield Guard(warnings=(_OPEN,))
            return
        ending.push_async_callback(in_thread, partial(mounts.unmount_below, sockets))
        try:
            namespaces = await make_namespaces(sockets / "namespaces", allowed)
        except (HostError, OSError):
            yield Guard(warnings=(_OPEN,))
            return
        carrier = await ending.enter_async_context(carried(namespaces, sockets / "slirp4netns.log"))
        resolver = sockets / "resolv.conf"
        resolver.write_text(f"nameserver {NAME_SERVER}\n")
        await carrier.wait_up()
        enter = ("nsenter", f"--net={namespaces['network']}", "unshare", "--mount", "sh", "-c", _WITH_RESOLVER)
        yield Guard((*enter, str(resolver)), carrier)
