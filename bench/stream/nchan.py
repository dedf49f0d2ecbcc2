"""nginx from Debian's packages: Nchan as a peer for live fan-out, and static files for replay. One worker."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CONF = """
daemon off; worker_processes 1; pid {root}/pid; error_log {root}/error.log warn;
load_module /usr/lib/nginx/modules/ngx_nchan_module.so;
worker_rlimit_nofile 19000;
events {{ worker_connections 16000; }}
http {{
  access_log off; sendfile on; tcp_nopush on; client_max_body_size 8m; keepalive_requests 10000000;
  client_body_temp_path {root}/b; proxy_temp_path {root}/p; fastcgi_temp_path {root}/f; uwsgi_temp_path {root}/u;
  scgi_temp_path {root}/s; nchan_max_reserved_memory 512M;
  server {{
    listen 127.0.0.1:{port} backlog=8192;
    location = /sub {{ nchan_subscriber eventsource; nchan_channel_id x; nchan_subscriber_first_message newest; }}
    location = /pub {{ nchan_publisher http; nchan_channel_id x; nchan_message_buffer_length 20000; }}
    location /files/ {{ alias {files}/; }}
  }}
}}
"""


@dataclass(frozen=True)
class Nginx:
    port: int
    pid: int

    def publish(self, payloads: list[bytes]) -> None:
        """A POST for each event over one kept connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        for payload in payloads:
            connection.request("POST", "/pub", payload)
            connection.getresponse().read()
        connection.close()


@contextlib.contextmanager
def running(files: Path) -> Iterator[Nginx]:
    with tempfile.TemporaryDirectory() as root:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        Path(root).chmod(0o755)
        conf = Path(root, "nginx.conf")
        conf.write_text("user root;" + _CONF.format(root=root, port=port, files=files))
        process = subprocess.Popen(["nginx", "-p", root, "-c", str(conf)])
        try:
            _await_port(port)
            yield Nginx(port, process.pid)
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
