"""How a server that is not root is root of its own: in a user namespace, with the ids that the host set aside for it.

Files that are made there belong to those ids outside, so only from there can they be removed.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ingot.process import run

_ENTER = ("unshare", "--user", "--map-root-user", "--map-auto")
_ALONE = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc")

REMEDY = "apt-get install uidmap && usermod --add-subuids 200000-265535 --add-subgids 200000-265535 $USER"


def is_root() -> bool:
    return os.geteuid() == 0


def as_own_root(*, alone: bool = False) -> Sequence[str]:
    """What a command line begins with; nothing for root. `alone`: with mounts and processes of its own, all of which
    end with the command."""
    if is_root():
        return ()
    return (*_ENTER, *(_ALONE if alone else ()))


async def can_be_own_root() -> bool:
    """Whether this host lets this user."""
    status, _ = await run([*as_own_root(), "true"], timeout=10, check=False)
    return status == 0
