"""What a server's machines have on the host, seen from outside: by the kernel's own lists, not by the server's word.

Other servers may run on the host at the same time. A machine is one of a server's when the state file that it writes
before anything else names a disk image below the server's data directory, or, for a virtual one, when its files are
there; which ones there were is noted by a thread for as long as the watch lasts.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path

_RUN, _VM_RUN = Path("/run/ingot"), Path("/run/ingot-vm")
_PATIENCE = 60.0
_LOOK_EVERY = 0.02


class HostWatch:
    """Watches for one data directory's machines. `command_lines` are all that any process on the host had while
    `spying`."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.machines: set[str] = set()
        self.command_lines: set[bytes] = set()
        self._spying = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._over.set()
        self._thread.join()

    @contextlib.contextmanager
    def spying(self) -> Iterator[None]:
        """Notes every process's command line meanwhile."""
        self._spying.set()
        try:
            yield
        finally:
            self._spying.clear()

    def living(self) -> set[str]:
        """The machines that there are now."""
        found = set()
        for state in _RUN.glob("*/machine.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                if Path(json.loads(state.read_bytes())["image"]).is_relative_to(self._data):
                    found.add(state.parent.name)
        self.machines |= found | self._noted()
        return found | self.virtual()

    def virtual(self) -> set[str]:
        """The virtual machines that run now."""
        noted = self._noted()
        lines = [line for _, line in _command_lines() if line.startswith(b"qemu-system")] if noted else []
        return {name for name in noted if any(name.encode() in line for line in lines)}

    def processes(self, machine: str, program: str) -> list[int]:
        """Of a machine's processes on the host those that run `program`."""
        wanted = machine.encode()
        return [pid for pid, line in _command_lines() if wanted in line and line.startswith(program.encode())]

    def _noted(self) -> set[str]:
        return {path.name for path in self._data.glob("qemu/machines/*")}

    def remains(self, allowed: set[str] = frozenset()) -> list[str]:  # type: ignore[assignment]
        """Everything on the host that belongs to machines that ended, in words. `allowed` may live."""
        self.living()
        gone = self.machines - allowed
        found = [f"directory {top / name}" for top in (_RUN, _VM_RUN) for name in gone if (top / name).exists()]
        found += [f"mount {line}" for line in _lines("/proc/self/mountinfo") if _names(line, gone)]
        found += [f"process {pid}: {what}" for pid, what in _processes() if _names(what, gone)]
        parents = [Path("/sys/fs/cgroup/ingot"), *Path("/sys/fs/cgroup").glob("*/ingot")]
        found += [f"control group {parent / name}" for parent in parents for name in gone if (parent / name).exists()]
        for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
            with contextlib.suppress(OSError):
                image = backing.read_text().strip()
                if image.startswith(str(self._data)) and not _names(image, allowed):
                    found.append(f"loop device on {image}")
        found += [f"disk image {path}" for path in self._data.glob("machines/*") if path.stem not in allowed]
        found += [f"files {path}" for path in self._data.glob("qemu/machines/*") if path.name not in allowed]
        if not allowed:
            found += [f"half-made {path}" for path in self._data.glob("staging/*")]
        return found

    def assert_clean(self, allowed: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        """Nothing is left but the machines that may live. Loop devices go a moment after their mounts, and uploads of
        layers outlive their builds: both get the time that a busy host takes."""
        deadline = time.monotonic() + _PATIENCE
        while remains := self.remains(allowed):
            assert time.monotonic() < deadline, f"left on the host: {remains}"
            time.sleep(_LOOK_EVERY)

    def assert_gone(self, dead: set[str]) -> None:
        """Nothing is left of machines that ended with their server, whatever the next one does meanwhile."""
        deadline = time.monotonic() + _PATIENCE
        while remains := [line for line in self.remains() if _names(line, dead)]:
            assert time.monotonic() < deadline, f"left on the host: {remains}"
            time.sleep(_LOOK_EVERY)

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_EVERY):
            self.living()
            if self._spying.is_set():
                self.command_lines |= {line for _, line in _command_lines()}


def _names(text: str, machines: set[str]) -> bool:
    return any(name in text for name in machines)


def _lines(path: str) -> list[str]:
    return Path(path).read_text(errors="replace").splitlines()


def _command_lines() -> Iterator[tuple[int, bytes]]:
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield int(place.name), (place / "cmdline").read_bytes()


def _processes() -> Iterator[tuple[int, str]]:
    """Every process with its command line and its control groups: a machine's id is in one or the other. What ended
    and waits for the host's own first process to take note is none any more."""
    for pid, line in _command_lines():
        with contextlib.suppress(OSError):
            state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            if (state, parent) == ("Z", "1"):
                continue
            groups = Path(f"/proc/{pid}/cgroup").read_text()
            yield pid, f"{line.replace(bytes(1), b' ').decode(errors='replace')} [{groups}]"
