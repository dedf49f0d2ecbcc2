"""nginx from Debian's packages, one worker: Nchan as a peer, and the files below the directory that is the argument as
they are. Driven by commands; events are posted from this process, whose CPU and memory do not count."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.stream.commands import LAST, event, obey, say

_CONF = """
daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log warn; user root;
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_rlimit_nofile 19000;
events {{ worker_connections 16000; }}
http {{
  access_log off; sendfile on; client_max_body_size 8m; keepalive_requests 10000000;
  client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;
  scgi_temp_path {root}/s; nchan_max_reserved_memory 512M;
  nchan_message_buffer_length 20000;
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location /sub/ {{ nchan_subscriber eventsource; nchan_channel_id $arg_build;
      nchan_subscriber_first_message oldest; }}
    location = /pub {{ nchan_publisher http; nchan_channel_id $arg_build; }}
    location = /status {{ nchan_stub_status; }}
    location /files/ {{ alias {files}/; }}
  }}
}}
"""
_REQUEST = "GET /sub/?build=%d HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n%s\r\n"
_POST = b"POST /pub?build=%d HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b"
_AT_ONCE = 50
"""Posts sent before their answers are awaited."""


class Posts:
    """The events of one build, a POST for each over one kept connection."""

    def __init__(self, port: int, build: int) -> None:
        self._build = build
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._answers = self._connection.makefile("rb")

    async def write(self, lines: list[str]) -> None:
        self._publish([event(line).encode() for line in lines])

    async def end(self) -> None:
        self._publish([LAST.encode()])
        self._answers.close()
        self._connection.close()

    def _publish(self, events: list[bytes]) -> None:
        for first in range(0, len(events), _AT_ONCE):
            some = events[first : first + _AT_ONCE]
            self._connection.sendall(b"".join(_POST % (self._build, len(one), one) for one in some))
            for _ in some:
                self._await_answer()

    def _await_answer(self) -> None:
        status, length = self._answers.readline(), 0
        assert status.startswith(b"HTTP/1.1 20"), f"nginx answered {status!r}"
        while (line := self._answers.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self._answers.read(length)


class Nchan:
    def __init__(self, port: int) -> None:
        self._port = port
        self._builds = 0

    async def new_build(self) -> tuple[int, Posts]:
        self._builds += 1
        return self._builds, Posts(self._port, self._builds)

    def count_open(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        connection.request("GET", "/status")
        found = re.search(rb"subscribers: (\d+)", connection.getresponse().read())
        connection.close()
        assert found
        return int(found[1])


@contextlib.contextmanager
def running(files: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    files.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files) as root:
        Path(root).chmod(0o755)
        conf = Path(root, "nginx.conf")
        conf.write_text(_CONF.format(root=root, port=port, files=files))
        process = subprocess.Popen(["nginx", "-p", root, "-c", str(conf)], stderr=subprocess.DEVNULL)
        try:
            _await_port(port)
            yield process
        finally:
            process.terminate()
            process.wait(20)


def _await_port(port: int) -> None:
    deadline = time.monotonic() + 10
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _workers(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with running(Path(sys.argv[1]), port) as process:
        say({"port": port, "pids": [process.pid, *_workers(process.pid)], "request": _REQUEST})
        await obey(Nchan(port))


if __name__ == "__main__":
    asyncio.run(main())
