"""Makes the base in a process of its own, for a server that is not root: `python -m ingot.machine.qemu.base_maker INTO
CA_BUNDLE MIRROR`, run by `base_disk` where it is root of its own. It prints what the tools print."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from ingot.errors import IngotError
from ingot.machine.qemu.base_disk import make_base


async def _print(chunk: bytes) -> None:
    os.write(1, chunk)


def main() -> int:
    into, ca_bundle, mirror = sys.argv[1:]
    try:
        made = asyncio.run(make_base(Path(into), Path(ca_bundle) if ca_bundle else None, mirror, _print))
    except IngotError as error:
        os.write(1, f"{error}\n".encode())
        return 1
    os.write(1, f"the tree has {made.files} files\n".encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
