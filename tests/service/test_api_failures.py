"""What every endpoint answers when it cannot do what it was asked: one envelope, true statuses, nothing leaked."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from api_server import HELLO, Server, path_of, running_server

from ingot.api.app import build_api
from ingot.api.keyed import ANY_SCOPE
from ingot.records.account import Scope
from ingot.service import hosts_of
from ingot.settings import Settings

MIB = 1 << 20
OPENAPI = build_api().openapi()
KEYED = [
    (method.upper(), path, operation["x-required-scope"])
    for path, operations in OPENAPI["paths"].items()
    for method, operation in operations.items()
    if "x-required-scope" in operation and not path.endswith("/events")
]
SCOPED = [entry for entry in KEYED if entry[2] != ANY_SCOPE]
NAMED = [
    (method, path)
    for method, path, _ in KEYED
    if any(name in path for name in ("{namespace}", "{computer_id}", "{workspace_id}", "{key_id}"))
]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    async with running_server(tmp_path_factory.mktemp("api")) as server:
        yield server


def fill(path: str) -> str:
    """A path of the document with names that nobody published."""
    return (
        path.replace("{namespace}", "no")
        .replace("{name}", "body")
        .replace("{version}", "9.9.9")
        .replace("{attempt}", "1")
        .replace("{computer_id}", str(uuid.UUID(int=1)))
        .replace("{workspace_id}", str(uuid.UUID(int=1)))
        .replace("{key_id}", "0" * 16)
    )


def assert_envelope(answer: httpx2.Response, status: int, text: str = "") -> dict[str, object]:
    shown: dict[str, object] = answer.json()
    assert answer.status_code == status, shown
    assert answer.headers["Content-Type"] == "application/json"
    assert set(shown) - {"errors"} == {"error", "code", "request_id"}
    assert str(uuid.UUID(str(shown["request_id"]))) == answer.headers["X-Request-Id"]
    assert str(shown["error"]).startswith(text), shown["error"]
    return shown


@pytest.mark.parametrize(("method", "path", "scope"), KEYED)
async def test_without_a_key_it_is_401_whatever_else_is_wrong(
    server: Server, method: str, path: str, scope: str
) -> None:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as anyone:
        answer = await anyone.request(method, fill(path), content=b"{nonsense")
        assert_envelope(answer, 401, "Missing API key; send the header")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        for header in ("Bearer sk_live_wrong", "bearer x", "Bearer \xff\xfe"):
            answer = await anyone.request(method, fill(path), headers={"Authorization": header.encode("latin-1")})
            assert_envelope(answer, 401, "Invalid API key")
        answer = await anyone.request(method, fill(path), headers={"Authorization": "Basic c2tfbGl2ZV8="})
        assert_envelope(answer, 401, "Missing API key")


@pytest.mark.parametrize(("method", "path", "scope"), SCOPED)
async def test_without_the_scope_it_is_403_before_anything_is_looked_at(
    server: Server, method: str, path: str, scope: str
) -> None:
    rest = [other for other in Scope if other not in (scope, Scope.ADMIN)] or [Scope.READ]
    answer = await server.http.request(method, fill(path), headers=await server.key(*rest), content=b"{nonsense")
    shown = assert_envelope(answer, 403, f"this API key lacks the scope '{scope}'")
    assert shown["code"] == "forbidden"


@pytest.mark.parametrize(("method", "path"), NAMED)
async def test_what_is_not_there_is_404(server: Server, method: str, path: str) -> None:
    bodies = {"bash": b'{"command":"id"}', "exec": b'{"code":"1"}'}
    body = bodies.get(path.rpartition("/")[2])
    headers = {"Content-Type": "application/json"} if body else None
    answer = await server.http.request(method, fill(path), content=body, headers=headers)
    assert_envelope(answer, 404)


@pytest.mark.parametrize(
    "place",
    ["UPPER/x/1.0.0", "a/b/1.0", "a/b/latest", "a/-b/1.0.0", "a/b%00c/1.0.0", "a/%F0%9F%92%A9/1.0.0", "%FF/b/1.0.0"],
)
async def test_a_name_that_cannot_exist_is_404(server: Server, place: str) -> None:
    for suffix in ("", "/build", "/builds", "/builds/1"):
        assert_envelope(await server.http.get(f"/api/templates/{place}{suffix}"), 404, "there is no template")


@pytest.mark.parametrize(
    "path", ["/consoles", "/api", "/api/", "/api/nope", "/api/templates/", "/api/templates/a/b/1.0.0/x"]
)
async def test_an_unknown_address_is_404(server: Server, path: str) -> None:
    assert_envelope(await server.http.get(path), 404, "there is nothing at this address")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/api/template-schema", "GET"),
        ("PUT", "/api/templates", "GET, POST"),
        ("GET", "/api/templates/run", "DELETE, POST"),
        ("PATCH", "/api/templates/a/b/1.0.0", "DELETE, GET"),
        ("PUT", "/api/templates/a/b/1.0.0/build", "DELETE, GET, POST"),
        ("POST", "/api/secrets/x", "DELETE, PUT"),
        ("GET", "/api/computers/x/bash", "POST"),
        ("GET", "/api/computers/x/clone", "POST"),
        ("PUT", "/api/projects/x", "DELETE, GET"),
        ("TRACE", "/api/keys", "GET, POST"),
        ("DELETE", "/api/templates/global/system/blank", "GET"),
        ("POST", "/healthz", "GET"),
    ],
)
async def test_another_method_is_405_and_says_which_are_taken(
    server: Server, method: str, path: str, allowed: str
) -> None:
    answer = await server.http.request(method, path)
    shown = assert_envelope(answer, 405, "this address does not take this method")
    assert (answer.headers["Allow"], shown["code"]) == (allowed, "method_not_allowed")


@pytest.mark.parametrize(
    ("method", "path", "body", "text"),
    [
        ("POST", "/api/keys", b"", "body: "),
        ("POST", "/api/keys", b"{", "body.1: JSON decode error"),
        ("POST", "/api/keys", b"[]", "body: "),
        ("POST", "/api/keys", b'{"name":"x","scopes":["root"]}', "body.scopes.0: "),
        ("POST", "/api/keys", b'{"name":"x","scopes":[]}', "body.scopes: "),
        ("POST", "/api/keys", b'{"name":"\\ud800","scopes":["read"]}', "body.name: "),
        ("POST", "/api/keys", b'{"name":"\xff","scopes":["read"]}', "the request cannot be read"),
        ("POST", "/api/keys", b"[" * 100_000, "the request cannot be read"),
        ("POST", "/api/templates/run", b'{"ref":"nonsense"}', "'nonsense' is not a template reference; write"),
        ("POST", "/api/templates/run", b'{"ref":7}', "body.ref: "),
        ("POST", "/api/computers", b'{"template_ref":"a/b@1.0.0","cpu":"2"}', "body.cpu: "),
        ("POST", "/api/computers", b'{"template_ref":"a/b@1.0.0","cpu":NaN}', "body.cpu: "),
        ("POST", "/api/computers", b'{"template_ref":"a/b@1.0.0","ram":-1}', "body.ram: "),
        ("POST", "/api/computers/x/bash", b'{"command":""}', "body.command: "),
        ("POST", "/api/computers/x/bash", b'{"command":"a\\u0000b"}', "body.command: "),
        ("POST", "/api/computers/x/bash", b'{"command":"id","timeout":1e9}', "body.timeout: "),
        ("POST", "/api/computers/x/clone", b'{"name":7}', "body.name: "),
        ("POST", "/api/workspaces", b'{"name":"a\\u0000b"}', "body.name: "),
        ("POST", "/api/workspaces", b'{"name":"\\ud800"}', "body.name: "),
        ("POST", "/api/templates?force=maybe", HELLO, "query.force: "),
        ("POST", "/api/templates?auto_build=", HELLO, "query.auto_build: "),
        ("GET", "/api/templates?namespace=No%20Name", b"", "query.namespace: "),
        ("POST", "/api/admin/gc?dry_run=2", b"", "query.dry_run: "),
    ],
)
async def test_what_cannot_be_read_is_400_and_names_the_place(
    server: Server, method: str, path: str, body: bytes, text: str
) -> None:
    kind = "application/yaml" if body is HELLO else "application/json"
    answer = await server.http.request(method, path, content=body, headers={"Content-Type": kind})
    shown = assert_envelope(answer, 400, text)
    assert shown["code"] in ("bad_request", "bad_ref")


@pytest.mark.parametrize("path", ["/api/templates", "/api/templates/validate", "/api/templates/plan"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/yaml", b""),
        ("application/json", b""),
        ("application/json", b"{"),
        ("application/yaml", b"a: [1"),
        ("application/yaml", b"\xff\xfe\xff"),
        ("application/json", b'{"a":"\xff"}'),
    ],
)
async def test_a_document_that_is_empty_or_no_text_is_400(server: Server, path: str, kind: str, body: bytes) -> None:
    answer = await server.http.post(path, content=body, headers={"Content-Type": kind})
    assert assert_envelope(answer, 400)["code"] == "bad_body"


@pytest.mark.parametrize(("method", "path", "scope"), [entry for entry in KEYED if entry[0] in ("POST", "PUT")])
async def test_a_body_above_4_mib_is_413(server: Server, method: str, path: str, scope: str) -> None:
    answer = await server.http.request(method, fill(path), content=b" " * (4 * MIB + 1))
    assert assert_envelope(answer, 413, "the body is larger than 4 MiB")["code"] == "body_too_large"


async def test_a_chunked_body_is_cut_off_at_the_limit_while_it_is_read(server: Server) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 64 * MIB:
            sent += MIB
            yield b" " * MIB

    answer = await server.http.post("/api/templates", content=endless(), headers={"Content-Type": "application/yaml"})
    assert_envelope(answer, 413, "the body is larger than 4 MiB")


async def test_a_body_of_4_mib_is_read(server: Server) -> None:
    body = HELLO + b"#" * (4 * MIB - len(HELLO))
    answer = await server.http.post("/api/templates/validate", content=body)
    assert answer.status_code == 200


async def test_a_large_body_without_a_key_is_refused_before_it_is_read(server: Server) -> None:
    place = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(b"POST /api/templates HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\nabc")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401")
    writer.close()


async def test_a_client_that_goes_away_in_its_body_harms_nobody(server: Server) -> None:
    place = urlsplit(server.url)
    key = server.http.headers["Authorization"]
    _, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"POST /api/templates HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\nContent-Length: 400\r\n\r\nabc"
    writer.write(head.encode())
    await writer.drain()
    writer.close()
    assert (await server.http.get("/api/templates")).status_code == 200


async def test_unknown_query_parameters_are_ignored(server: Server) -> None:
    assert (await server.http.get("/api/templates?utm_source=x&limit=3")).status_code == 200


async def test_every_answer_has_a_request_id_of_its_own_and_is_not_stored(server: Server) -> None:
    answers = [await server.http.get(path) for path in ("/api/templates", "/healthz", "/nope", "/api/openapi.json")]
    identities = {str(uuid.UUID(answer.headers["X-Request-Id"])) for answer in answers}
    assert len(identities) == len(answers)
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}
    forged = await server.http.get("/healthz", headers={"X-Request-Id": "mine"})
    assert forged.headers["X-Request-Id"] != "mine"


async def test_a_page_of_another_site_may_change_nothing(server: Server) -> None:
    headers = {"Origin": "https://evil.example"}
    refused = await server.http.post("/api/templates", content=HELLO, headers=headers)
    shown = assert_envelope(refused, 403, "a page of 'https://evil.example' may not change anything here")
    assert shown["code"] == "bad_origin"
    assert (await server.http.get("/api/templates", headers=headers)).status_code == 200
    own = await server.http.post("/api/templates/validate", content=HELLO, headers={"Origin": server.url})
    assert own.status_code == 200
    for odd in ("null", "https://[", "http://a:b:c"):
        assert (await server.http.post("/api/templates", content=HELLO, headers={"Origin": odd})).status_code == 403


async def test_a_server_with_names_answers_to_these_and_to_loopback_only(tmp_path: Path) -> None:
    async with running_server(tmp_path, hosts=frozenset({"ingot.example"})) as named:
        for host in ("ingot.example", "ingot.example:7070", "localhost:1", "127.0.0.1", "[::1]:80"):
            assert (await named.http.get("/api/templates", headers={"Host": host})).status_code == 200, host
        stream = path_of(await named.ready_template()) + "/build/events?follow=0"
        for host in ("evil.example", "127.0.0.1.evil.example", "[", "10.0.0.1"):
            for address in ("/api/templates", stream):
                answer = await named.http.get(address, headers={"Host": host})
                shown = assert_envelope(answer, 403)
                assert shown["code"] == "bad_host", host
                assert "INGOT_HOSTS" in shown["error"]
            assert (await named.http.get("/healthz", headers={"Host": host})).status_code == 200
        assert (await named.http.get(stream, headers={"Host": "ingot.example"})).status_code == 200


@pytest.mark.parametrize(
    ("listen", "names", "hosts"),
    [
        ("127.0.0.1:7070", (), frozenset()),
        ("localhost:7070", (), frozenset()),
        ("[::1]:7070", (), frozenset()),
        ("0.0.0.0:7070", (), None),
        ("10.0.0.7:7070", (), None),
        ("127.0.0.1:7070", ("Ingot.Example",), frozenset({"ingot.example", "127.0.0.1"})),
        ("[::]:7070", ("ingot.example",), frozenset({"ingot.example", "::"})),
        ("127.0.0.1:7070", ("*",), None),
    ],
)
def test_a_server_that_only_its_host_reaches_takes_no_other_names(
    listen: str, names: tuple[str, ...], hosts: frozenset[str] | None
) -> None:
    assert hosts_of(Settings(listen=listen, hosts=names)) == hosts


def test_the_document_names_every_failure_that_this_file_provokes() -> None:
    for path, operations in OPENAPI["paths"].items():
        for method, operation in operations.items():
            if "x-required-scope" in operation and not path.endswith("/events"):
                assert {"401", "403", "413", "500"} <= operation["responses"].keys(), (method, path)
                assert operation["security"] == [{"apiKey": []}, {"session": []}]
            else:
                assert "security" not in operation or path.endswith("/events")


def test_codes_are_stable_words() -> None:
    assert re.fullmatch(OPENAPI["components"]["schemas"]["Envelope"]["properties"]["code"]["pattern"], "not_found")
    assert json.dumps(OPENAPI)
