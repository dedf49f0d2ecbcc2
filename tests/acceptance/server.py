"""A real server as a process of its own, and what a client does with it over HTTP."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2

from ingot.conformance.frames import Frame, check_frames, check_whole, read_frames, take_frames
from tests.acceptance.host import HostWatch
from tests.ports import held_port

INGOT = Path(sys.executable).with_name("ingot")
KEY = "sk_live_acceptance0000000000000000000000000000000"
_PATIENCE = 120.0
_READ_DEADLINE = 120.0


@dataclass
class Server:
    """`settings` are names of settings with their values. The port stays the same over restarts. `patience` is how
    many seconds a start, its own or a computer's, may take."""

    home: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    patience: float = _PATIENCE

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self._held = held_port()
        self.port = int(self._held.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.host = HostWatch(self.data)
        self.client = httpx2.Client(
            base_url=self.url,
            headers={"Authorization": f"Bearer {KEY}"},
            timeout=httpx2.Timeout(_READ_DEADLINE, connect=5),
            trust_env=False,
        )

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> str:
        return (self.home / "server.log").read_text(errors="replace")

    # -- its life ------------------------------------------------------------------------------------------

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("INGOT_", "XDG_"))}
        own = {
            "HOME": self.home,
            "XDG_CONFIG_HOME": self.home / "config",
            "INGOT_URL": self.url,
            "INGOT_API_KEY": KEY,
            "INGOT_DATA_DIR": self.data,
            "INGOT_BOOTSTRAP_KEY": KEY,
            "INGOT_VAULT_KEY_FILE": self.home / "vault.key",
            **{f"INGOT_{name.upper()}": value for name, value in self.settings.items()},
        }
        return kept | {name: str(value) for name, value in own.items()}

    def command(self) -> list[str]:
        return [str(INGOT), "up", "--listen", f"127.0.0.1:{self.port}"]

    def start(self) -> Self:
        with (self.home / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), env=self.environment(), stderr=log, stdout=log)
        deadline = time.monotonic() + self.patience
        while not self._is_ready():
            assert self.process.poll() is None, f"the server ended: {self.log[-2000:]}"
            assert time.monotonic() < deadline, f"the server did not start: {self.log[-2000:]}"
            time.sleep(0.02)
        return self

    def end(self, number: signal.Signals, within: float = 90) -> int:
        """Sends the signal, waits for the process's end, and returns its status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(within)
        self.process = None
        return status

    def end_quietly(self) -> None:
        """Ends it in order, with status 0."""
        assert self.end(signal.SIGTERM) == 0, self.log[-2000:]

    def kill(self) -> None:
        self.end(signal.SIGKILL)

    def close(self) -> None:
        if self.process is not None:
            try:
                self.end(signal.SIGTERM)
            except subprocess.TimeoutExpired:
                self.kill()
        self.client.close()
        self.host.close()
        self._held.close()

    def _is_ready(self) -> bool:
        try:
            return self.client.get("/readyz", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    # -- requests ------------------------------------------------------------------------------------------

    def ask(self, method: str, path: str, status: int, **more: Any) -> Any:
        """The answer's JSON; the status must be as expected."""
        answer = self.client.request(method, f"/api{path}", **more)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def publish(self, document: Mapping[str, Any] | str, **query: str) -> str:
        """Publishes and returns the ref."""
        if isinstance(document, str):
            sent: dict[str, Any] = {"content": document, "headers": {"Content-Type": "application/yaml"}}
        else:
            sent = {"json": document}
        return str(self.ask("POST", "/templates", 201, params=query, **sent)["ref"])

    def build(self, ref: str, **query: str) -> Any:
        return self.ask("POST", f"{path_of(ref)}/build", 202, params=query)

    def status(self, ref: str) -> Any:
        return self.ask("GET", f"{path_of(ref)}/build", 200)

    def attempt(self, ref: str, number: int = 1) -> Any:
        return self.ask("GET", f"{path_of(ref)}/builds/{number}", 200)

    def cancel(self, ref: str) -> None:
        assert self.ask("DELETE", f"{path_of(ref)}/build", 202) == {"status": "cancelling"}

    # -- events --------------------------------------------------------------------------------------------

    def events_url(self, ref: str) -> str:
        return f"/api{path_of(ref)}/build/events"

    def events(self, ref: str, last_id: str | None = None, **query: str) -> bytes:
        """The stream's bytes to its end."""
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        answer = self.client.get(self.events_url(ref), params=query, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.content

    @contextlib.contextmanager
    def watch(self, ref: str, last_id: str | None = None) -> Iterator[Watch]:
        """The stream, live."""
        headers = {} if last_id is None else {"Last-Event-ID": last_id}
        with self.client.stream("GET", self.events_url(ref), headers=headers) as answer:
            assert answer.status_code == 200, answer.read()
            yield Watch(answer)

    def follow(self, ref: str) -> list[Frame]:
        """The current attempt from its first frame to its last, live if it runs."""
        frames = read_frames(self.events(ref))
        check_whole(frames)
        return frames

    def make(self, document: Mapping[str, Any] | str, **query: str) -> tuple[str, list[Frame]]:
        """Publishes, builds and follows to the end; (ref, frames)."""
        ref = self.publish(document)
        self.build(ref, **query)
        return ref, self.follow(ref)

    @contextlib.contextmanager
    def computer(self, ref: str) -> Iterator[str]:
        """A test run of a ready template, once it runs; its id."""
        made = self.ask("POST", "/templates/run", 200, json={"ref": ref})
        deadline = time.monotonic() + self.patience
        try:
            while (status := self.ask("GET", f"/computers/{made['id']}", 200)["status"]) in ("creating", "starting"):
                assert time.monotonic() < deadline, f"the computer is still {status}"
                time.sleep(0.05)
            assert status == "running"
            yield made["id"]
        finally:
            self.ask("DELETE", "/templates/run", 200, params={"id": made["desktop_id"]})

    def launch(self, ref: str, **wish: Any) -> Any:
        """A computer that lasts, once it runs."""
        made = self.ask("POST", "/computers", 201, json={"template_ref": ref, **wish})
        return self.until(made["id"], "running")

    def change(self, computer: str, what: str, status: str = "running") -> Any:
        """`start`, `stop` or `restart`, done."""
        self.ask("POST", f"/computers/{computer}/{what}", 200)
        return self.until(computer, status)

    def until(self, computer: str, status: str) -> Any:
        """The computer once its status is this one; it may not end up in another."""
        deadline = time.monotonic() + self.patience
        while (shown := self.ask("GET", f"/computers/{computer}", 200))["status"] != status:
            assert shown["status"] not in ("error", "running", "stopped"), shown
            assert time.monotonic() < deadline, shown
            time.sleep(0.05)
        return shown

    def bash(self, computer: str, command: str) -> str:
        shell = self.ask("POST", f"/computers/{computer}/bash", 200, json={"command": command})
        assert shell["exit_code"] == 0, shell
        return str(shell["output"])

    def cli(self, *arguments: str, within: float = 120, stdin: bytes | None = None) -> tuple[int, str]:
        """Runs the command line; (status, what it printed)."""
        ran = subprocess.run(
            [INGOT, *arguments],
            env=self.environment(),
            cwd=self.home,
            input=stdin,
            capture_output=True,
            timeout=within,
            check=False,
        )
        return ran.returncode, (ran.stdout + ran.stderr).decode()


class Watch:
    """A stream being read. `frames` are those that came so far; `lost` says that it broke off."""

    def __init__(self, answer: httpx2.Response) -> None:
        self._chunks = answer.iter_raw()
        self.received = b""
        self.rest = b""
        self.frames: list[Frame] = []
        self.over = False
        self.lost = False

    def read(self) -> bool:
        """Takes what comes next; False when the stream is over."""
        try:
            chunk = next(self._chunks)
        except StopIteration:
            self.over = True
            return False
        except httpx2.TransportError:
            self.over = self.lost = True
            return False
        self.received += chunk
        frames, self.rest = take_frames(self.rest + chunk)
        self.frames += frames
        return True

    def until(self, *, line: str = "", phase: str = "") -> Frame:
        """Reads until a frame holds the text, or is of the phase."""
        seen = 0
        while True:
            for frame in self.frames[seen:]:
                if (line and line in frame.line and "step " not in frame.line) or frame.phase == phase:
                    return frame
            seen = len(self.frames)
            told = [frame.line for frame in self.frames[-5:]]
            assert self.read(), f"the stream ended before {line or phase!r} came: {told}"

    def to_end(self) -> list[Frame]:
        while self.read():
            pass
        check_frames(self.frames)
        return self.frames


def path_of(ref: str) -> str:
    """`default/x@1.0.0` → `/templates/default/x/1.0.0`."""
    name, _, version = ref.partition("@")
    return f"/templates/{name}/{version}"


def lines_of(frames: list[Frame], phase: str = "", source: str | None = "") -> list[str]:
    """Lines of a phase and a source, where they are given."""
    chosen = [frame for frame in frames if phase in ("", frame.phase)]
    return [frame.line for frame in chosen if source in ("", frame.source)]


def dump(frames: list[Frame]) -> str:
    """For a person who reads a failed test."""
    return "\n".join(json.dumps(frame.data) for frame in frames[-40:])
