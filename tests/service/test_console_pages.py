"""The console's files: what is served, for how long browsers keep it, and that nothing else is to be had."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.service.api_server import Server, running_server

INDEX = b"<!doctype html><script type=module src=/console/assets/index-4f.js></script>"
SCRIPT = b"console.log(1)"
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self'; connect-src 'self'; manifest-src 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


def build(directory: Path) -> None:
    (directory / "assets").mkdir(parents=True, exist_ok=True)
    (directory / "assets/index-4f.js").write_bytes(SCRIPT)
    (directory / "assets/index-4f.js.gz").write_bytes(gzip.compress(SCRIPT))
    (directory / "assets/index-4f.js.br").write_bytes(b"brotli")
    (directory / "assets/plex-77.woff2").write_bytes(b"font")
    (directory / "ingot.svg").write_bytes(b"<svg/>")
    (directory / "index.html").write_bytes(INDEX)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    build(tmp_path / "pages")
    async with running_server(tmp_path) as server:
        server.http.headers.pop("Authorization")
        server.http.headers["Accept-Encoding"] = "identity"
        yield server


@pytest.mark.parametrize("path", ["/", "/console"])
async def test_the_server_s_address_leads_to_the_console(server: Server, path: str) -> None:
    answer = await server.http.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (307, "/console/")


@pytest.mark.parametrize(
    "path", ["", "index.html", "sign-in", "templates/default/hello/1.0.0", "computers/x/terminal", "none.svg"]
)
async def test_every_place_of_the_console_is_its_page(server: Server, path: str) -> None:
    answer = await server.http.get(f"/console/{path}")
    assert (answer.status_code, answer.content) == (200, INDEX)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    again = await server.http.get(f"/console/{path}", headers={"If-None-Match": f'W/{answer.headers["ETag"]}, "x"'})
    assert (again.status_code, again.content) == (304, b"")
    for shown in (answer, again):
        assert shown.headers["Content-Security-Policy"] == POLICY
        assert shown.headers["X-Content-Type-Options"] == "nosniff"
        assert shown.headers["Referrer-Policy"] == "no-referrer"
        assert shown.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "Set-Cookie" not in shown.headers


async def test_hashed_files_are_kept_and_others_asked_for_again(server: Server) -> None:
    script = await server.http.get("/console/assets/index-4f.js")
    assert (script.status_code, script.content) == (200, SCRIPT)
    assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert script.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert script.headers["Content-Security-Policy"] == POLICY
    assert (await server.http.get("/console/assets/plex-77.woff2")).headers["Content-Type"] == "font/woff2"
    icon = await server.http.get("/console/ingot.svg")
    assert (icon.headers["Content-Type"], icon.headers["Cache-Control"]) == ("image/svg+xml", "no-cache")
    head = await server.http.head("/console/assets/index-4f.js")
    assert (head.status_code, head.content, head.headers["Content-Length"]) == (200, b"", str(len(SCRIPT)))


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [
        ("gzip, deflate, br, zstd", "br"),
        ("gzip", "gzip"),
        ("br;q=0, gzip;q=0.5", "gzip"),
        ("GZIP", "gzip"),
        ("identity", None),
        ("zstd", None),
    ],
)
async def test_what_was_compressed_is_sent_to_those_who_take_it(
    server: Server, accepted: str, encoding: str | None
) -> None:
    headers = {"Accept-Encoding": accepted}
    async with server.http.stream("GET", "/console/assets/index-4f.js", headers=headers) as answer:
        raw = b"".join([chunk async for chunk in answer.aiter_raw()])
    assert answer.headers.get("Content-Encoding") == encoding
    assert "Accept-Encoding" in answer.headers["Vary"]
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert (gzip.decompress(raw) if encoding == "gzip" else raw) == (b"brotli" if encoding == "br" else SCRIPT)


async def test_a_hashed_file_of_another_version_is_404_and_not_the_page(server: Server) -> None:
    answer = await server.http.get("/console/assets/index-00.js")
    assert answer.status_code == 404
    assert "reload the page" in answer.json()["error"]


async def raw_get(server: Server, path: str) -> bytes:
    """An answer to a path that no client library would send as it is."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rpartition(":")[2]))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "../secret",
        "../../secret",
        "%2e%2e/secret",
        "..%2fsecret",
        "assets/../../secret",
        "/secret",
        "//etc/passwd",
        "%2fetc%2fpasswd",
        "..%5csecret",
        "link",
        "outside/secret",
        "index.html%00.js",
    ],
)
async def test_no_path_leads_out_of_the_directory(server: Server, tmp_path: Path, path: str) -> None:
    (tmp_path / "secret").write_text("hush")
    os.symlink(tmp_path / "secret", tmp_path / "pages/link")
    os.symlink(tmp_path, tmp_path / "pages/outside")
    answer = await raw_get(server, f"/console/{path}")
    assert b"hush" not in answer
    assert b"root:" not in answer
    status = int(answer.split()[1])
    assert status == 404 or (status == 200 and answer.endswith(INDEX))


async def test_a_console_that_is_not_built_says_how_to_build_it(tmp_path: Path) -> None:
    async with running_server(tmp_path) as server:
        answer = await server.http.get("/console/")
        assert answer.status_code == 503
        assert "sh scripts/install" in answer.text
        assert answer.headers["Content-Security-Policy"] == POLICY
        build(tmp_path / "pages")  # and it is there without a restart
        assert (await server.http.get("/console/")).content == INDEX
        page = tmp_path / "pages/index.html"
        page.unlink()
        assert (await server.http.get("/console/")).status_code == 503
        page.write_bytes(b"a new one")
        (tmp_path / "pages/assets/more-1.js").write_bytes(b"more")
        assert (await server.http.get("/console/")).content == b"a new one"
        assert (await server.http.get("/console/assets/more-1.js")).content == b"more"


async def test_the_console_takes_no_other_method(server: Server) -> None:
    for path in ("/", "/console/", "/console/assets/index-4f.js"):
        answer = await server.http.post(path)
        assert (answer.status_code, "GET" in answer.headers["Allow"]) == (405, True)
