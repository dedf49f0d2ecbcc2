"""nginx as Debian ships it, with its default settings, in front of a server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.ports import held_port

_CONFIGURATION = """
pid {home}/nginx.pid;
error_log {home}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/fastcgi;
  uwsgi_temp_path {home}/uwsgi; scgi_temp_path {home}/scgi;
  server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass http://127.0.0.1:{port}; }} }}
  server {{
    listen 127.0.0.1:{tls} ssl http2;
    ssl_certificate {home}/cert.pem; ssl_certificate_key {home}/key.pem;
    location / {{ proxy_pass http://127.0.0.1:{port}; }}
  }}
}}
"""
_START_DEADLINE = 60.0


@contextlib.asynccontextmanager
async def in_front_of(port: int, home: Path) -> AsyncIterator[tuple[str, str]]:
    """(address with HTTP/1.1, address with TLS and HTTP/2) before the server at `port`."""
    with held_port() as one, held_port() as other:
        async with _listening(port, home, one.getsockname()[1], other.getsockname()[1]) as addresses:
            yield addresses


@contextlib.asynccontextmanager
async def _listening(port: int, home: Path, plain: int, tls: int) -> AsyncIterator[tuple[str, str]]:
    home.mkdir()
    _write_certificate(home)
    (home / "nginx.conf").write_text(_CONFIGURATION.format(home=home, plain=plain, tls=tls, port=port))
    command = ["nginx", "-p", str(home), "-c", str(home / "nginx.conf"), "-e", str(home / "error.log")]
    process = await asyncio.create_subprocess_exec(*command, "-g", "daemon off; master_process off;")
    try:
        async with asyncio.timeout(_START_DEADLINE):
            while not await _answers(tls):
                assert process.returncode is None, (home / "error.log").read_text()
                await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{plain}", f"https://127.0.0.1:{tls}"
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), _START_DEADLINE)


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionError:
        return False
    writer.close()
    return True


def _write_certificate(home: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (home / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (home / "key.pem").write_bytes(private)
