"""Signing in to the console: the cookie stands for the key wherever a key is taken, for our own pages alone."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.rfb import open_viewer
from tests.service.api_server import Server, path_of, running_server
from tests.service.test_api_screens import staged
from websockets.exceptions import ConnectionClosed

from ingot.api import keyed, known_replays
from ingot.events.reporter import BuildReporter
from ingot.records.account import Scope
from ingot.records.build import StepRecord
from ingot.records.event import Phase, Result
from ingot.storage.clock import now_ms

FOREIGN = {"Origin": "http://evil.test"}
CORS = {"Origin": "http://console.test"}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running_server(tmp_path) as server:
        yield server


class Browser:
    """What a browser does for a page of this server: a jar of one cookie, and `Origin` with every change."""

    def __init__(self, server: Server, http: httpx2.AsyncClient) -> None:
        self.server = server
        self._http = http
        self.cookie = ""

    async def ask(self, method: str, path: str, **more: Any) -> httpx2.Response:
        own = {} if method == "GET" else {"Origin": self.server.url}
        headers = {**own, **({"Cookie": self.cookie} if self.cookie else {}), **more.pop("headers", {})}
        answer = await self._http.request(method, path, headers=headers, **more)
        if (given := answer.headers.get("set-cookie")) is not None:
            self.cookie = given.partition(";")[0]
        return answer

    async def sign_in(self, **body: str) -> httpx2.Response:
        return await self.ask("POST", "/api/session", json=body)

    def stream(
        self, path: str, *, query: str = "", **headers: str
    ) -> contextlib.AbstractAsyncContextManager[httpx2.Response]:
        """The events of the build at `path`."""
        sent = {"Cookie": self.cookie, **headers}
        return self._http.stream("GET", f"{path}/build/events{query}", headers=sent, timeout=30)


@contextlib.asynccontextmanager
async def browsing(server: Server, *scopes: Scope) -> AsyncIterator[Browser]:
    """A browser that signed in with a new key; with a key of every right where no scope is named."""
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        browser = Browser(server, http)
        headers = await server.key(*(scopes or (Scope.ADMIN,)))
        answer = await browser.sign_in(key=headers["Authorization"].removeprefix("Bearer "))
        assert answer.status_code == 201, answer.text
        http.cookies.clear()  # the jar is ours
        yield browser


# --- signing in and out


async def test_a_key_becomes_a_session_that_a_page_cannot_read(server: Server) -> None:
    made = await server.http.post("/api/keys", json={"name": "mine", "scopes": ["read", "build"]})
    began = time.monotonic()
    answer = await server.http.post("/api/session", json={"key": made.json()["key"]}, headers={"Authorization": ""})
    assert answer.status_code == 201
    cookie = answer.headers["Set-Cookie"]
    found = re.fullmatch(r"ingot_session=[A-Za-z0-9_-]{43}; Max-Age=(\d+); Path=/; HttpOnly; SameSite=Strict", cookie)
    assert found is not None
    assert 2_592_000 - (time.monotonic() - began) - 1 <= int(found[1]) <= 2_592_000
    session = answer.json()
    assert (session["account"], session["scopes"]) == ("default", ["read", "build"])
    assert session["key"] == {name: made.json()[name] for name in ("id", "name", "prefix")}
    assert session["expires_at"].endswith("Z")
    assert cookie[14:57] not in answer.text
    shown = await server.http.get("/api/session", headers={"Cookie": cookie[:57], "Authorization": ""})
    assert (shown.status_code, shown.json()) == (200, session)
    assert "Set-Cookie" not in shown.headers


async def test_the_session_of_a_key_in_the_header_is_the_key_itself(server: Server) -> None:
    answer = await server.http.get("/api/session", headers=await server.key(Scope.PUBLISH))
    assert answer.status_code == 200
    assert (answer.json()["scopes"], answer.json()["expires_at"]) == (["publish"], None)
    assert (await server.http.get("/api/session", headers={"Authorization": ""})).status_code == 401


async def test_what_opens_no_session_says_why_and_sets_no_cookie(server: Server) -> None:
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        for body, status, told in (
            ({"key": "sk_live_wrong"}, 401, "Invalid API key"),
            ({"code": "code_wrong"}, 401, "Invalid sign-in code"),
            ({}, 400, "body"),
            ({"key": 7}, 400, "body"),
            ({"key": "a", "code": "b"}, 400, "body"),
            ({"key": "x" * 513}, 400, "512"),
            ({"key": "x" * 5000}, 413, "4 KiB"),
            ([], 400, "body"),
        ):
            answer = await http.post("/api/session", json=body)
            assert (answer.status_code, "Set-Cookie" in answer.headers) == (status, False), answer.text
            assert told in answer.json()["error"]
            assert "xxx" not in answer.text


async def test_the_cookie_is_secure_where_a_trusted_proxy_has_tls(server: Server) -> None:
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    headers = {"X-Forwarded-Proto": "https"}
    answer = await server.http.post("/api/session", json={"key": key}, headers=headers)
    assert answer.headers["Set-Cookie"].endswith("; SameSite=Strict; Secure")
    plain = {**headers, "Origin": server.url}  # a page without TLS is not of the server that has it
    assert (await server.http.post("/api/session", json={"key": key}, headers=plain)).status_code == 403


async def test_a_sign_in_makes_a_new_session_and_ends_the_one_before(server: Server) -> None:
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    async with browsing(server) as browser:
        before = browser.cookie
        await browser.sign_in(key=key)
        assert browser.cookie != before
        after = browser.cookie
        assert (await browser.ask("GET", "/api/session")).status_code == 200
        browser.cookie = before
        assert (await browser.ask("GET", "/api/session")).status_code == 401
        browser.cookie = "ingot_session=" + "F" * 43  # planted by somebody: nothing is opened under it
        await browser.sign_in(key=key)
        assert browser.cookie not in (after, "ingot_session=" + "F" * 43)


async def test_signing_out_ends_the_session_and_clears_the_cookie(server: Server) -> None:
    async with browsing(server) as browser:
        before = browser.cookie
        answer = await browser.ask("DELETE", "/api/session")
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["Set-Cookie"] == "ingot_session=; Max-Age=0; Path=/; HttpOnly; SameSite=Strict"
        browser.cookie = before
        assert (await browser.ask("GET", "/api/templates")).status_code == 401
        assert (await browser.ask("DELETE", "/api/session")).status_code == 204  # again, and with nothing at all
        browser.cookie = ""
        assert (await browser.ask("DELETE", "/api/session")).status_code == 204


async def test_a_code_signs_in_once_and_by_the_key_that_made_it(server: Server) -> None:
    made = await server.http.post("/api/session/codes", headers=await server.key(Scope.READ))
    assert made.status_code == 201
    async with browsing(server) as browser:
        answer = await browser.sign_in(code=made.json()["code"])
        assert (answer.status_code, answer.json()["scopes"]) == (201, ["read"])
        assert (await browser.sign_in(code=made.json()["code"])).status_code == 401
        again = await browser.ask("POST", "/api/session/codes")
        assert (again.status_code, again.json()["expires_at"][-1]) == (201, "Z")
    assert (await server.http.post("/api/session/codes", headers={"Authorization": ""})).status_code == 401


# --- whose pages may use it


async def test_the_cookie_opens_what_its_key_opens(server: Server) -> None:
    async with browsing(server, Scope.READ) as browser:
        assert (await browser.ask("GET", "/api/templates")).status_code == 200
        refused = await browser.ask("POST", "/api/workspaces", json={"name": "shop"})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    async with browsing(server, Scope.LAUNCH) as browser:
        assert (await browser.ask("POST", "/api/workspaces", json={"name": "shop"})).status_code == 201


async def test_the_header_wins_over_the_cookie(server: Server) -> None:
    reader = await server.key(Scope.READ)
    async with browsing(server) as browser:
        answer = await browser.ask("GET", "/api/session", headers=reader)
        assert (answer.json()["scopes"], answer.json()["expires_at"]) == (["read"], None)
        wrong = {"Authorization": "Bearer sk_live_wrong"}
        assert (await browser.ask("GET", "/api/session", headers=wrong)).status_code == 401
        proxy = {"Authorization": "Basic dXNlcjpwYXNz"}  # a proxy's own, no key of ours
        assert (await browser.ask("GET", "/api/session", headers=proxy)).status_code == 200
        # With a key the cookie is nothing, and neither is what a page would need for it.
        await server.services.sessions.end(browser.cookie.partition("=")[2])
        assert (await browser.ask("GET", "/api/session", headers=reader)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        FOREIGN,
        CORS,  # may call with a key, not with the cookie
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://127.0.0.1:1"},  # a computer's page on another port: the same site, another origin
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site"},
        {},
    ],
)
async def test_a_change_by_cookie_needs_a_page_of_ours(server: Server, headers: dict[str, str]) -> None:
    async with browsing(server) as browser:
        sent = {"Cookie": browser.cookie, **headers}
        async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
            for method, path in (
                ("POST", "/api/workspaces"),
                ("POST", "/api/session/codes"),
                ("DELETE", "/api/session"),
            ):
                answer = await http.request(method, path, headers=sent, json={"name": "shop"})
                assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin"), (method, path)
                assert "Set-Cookie" not in answer.headers
            assert (await browser.ask("GET", "/api/workspaces")).json()["workspaces"] == []
            assert (await browser.ask("GET", "/api/session")).status_code == 200
            own = {"Cookie": browser.cookie, "Sec-Fetch-Site": "same-origin", "Origin": "http://behind-a-proxy.test"}
            assert (await http.post("/api/workspaces", headers=own, json={"name": "shop"})).status_code == 201


@pytest.mark.parametrize("path", ["/api/templates", "/api/session", "{}/build/events?follow=0"])
async def test_another_page_cannot_even_look_by_cookie(server: Server, path: str) -> None:
    path = path.format(path_of(await server.ready_template()))
    async with browsing(server) as browser:
        for headers in (FOREIGN, CORS, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "cross-site"}):
            answer = await browser.ask("GET", path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin")
            assert "access-control-allow-credentials" not in answer.headers
        for headers in ({}, {"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin"}):
            assert (await browser.ask("GET", path, headers=headers)).status_code == 200


@pytest.mark.parametrize("headers", [FOREIGN, CORS, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}])
async def test_another_page_can_sign_nobody_in_or_out(server: Server, headers: dict[str, str]) -> None:
    key = server.http.headers["Authorization"].removeprefix("Bearer ")
    async with httpx2.AsyncClient(base_url=server.url, trust_env=False, timeout=60) as http:
        for answer in (
            await http.post("/api/session", json={"key": key}, headers=headers),
            await http.delete("/api/session", headers=headers),
        ):
            assert (answer.status_code, answer.json()["code"]) == (403, "bad_origin")
            assert "Set-Cookie" not in answer.headers
        form = await http.post("/api/session", content=b'{"key": "x"}', headers={"Content-Type": "text/plain"})
        assert form.status_code == 400


@pytest.mark.parametrize("path", ["/api/session", "{}/build/events?follow=0"])
async def test_several_cookies_of_the_name_open_nothing(server: Server, path: str) -> None:
    path = path.format(path_of(await server.ready_template()))
    async with browsing(server) as browser:
        own = browser.cookie
        for text in (f"{own}; {own}", f"ingot_session={'F' * 43}; {own}", f"{own}; ingot_session=", f'{own[:-1]}"'):
            browser.cookie = text
            answer = await browser.ask("GET", path)
            assert answer.status_code == 401
            assert "delete the cookies of this address" in answer.json()["error"]
        browser.cookie = f"theme=dark; {own}; other=x"
        assert (await browser.ask("GET", path)).status_code == 200
        browser.cookie = f"ingot_session={'F' * 43}; {own}"
        assert (await browser.ask("DELETE", "/api/session")).status_code == 204
        browser.cookie = own
        assert (await browser.ask("GET", path)).status_code == 401


async def test_the_session_goes_with_its_key(server: Server) -> None:
    async with browsing(server) as browser:
        shown = (await browser.ask("GET", "/api/session")).json()
        assert (await server.http.delete(f"/api/keys/{shown['key']['id']}")).status_code == 200
        answer = await browser.ask("GET", "/api/templates")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")


# --- what outlives a request


async def begun_build(server: Server) -> tuple[str, BuildReporter]:
    """The path of a build that is under way, and who writes its log."""
    path = path_of((await server.publish())["ref"])
    await server.http.post(f"{path}/build")
    build = await server.services.queue.claim()
    assert build is not None
    writer = await server.services.stream._logs.open_writer(build.id, build.attempt, build.epoch)

    async def on_progress(phase: Phase, step: str | None) -> None: ...

    async def on_step(record: StepRecord) -> None: ...

    reporter = BuildReporter(writer, build.attempt, [], on_progress, on_step)
    await reporter.enter(Phase.INSTALL)
    await reporter.say("a line")
    return path, reporter


async def finished_build(server: Server) -> str:
    async def commit() -> None: ...

    path, reporter = await begun_build(server)
    await reporter.finish(Result.READY, 1000, None, commit)
    return path


async def end_session(server: Server, browser: Browser, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if end == "sign out":
        assert (await browser.ask("DELETE", "/api/session")).status_code == 204
    elif end == "revoke":
        key = (await browser.ask("GET", "/api/session")).json()["key"]["id"]
        assert (await server.http.delete(f"/api/keys/{key}")).status_code == 200
    else:  # time passes, and nothing is written
        server.ahead_ms = 8 * 24 * 3_600_000
        monkeypatch.setattr(known_replays, "now_ms", lambda: now_ms() + server.ahead_ms)


ENDS = pytest.mark.parametrize("end", ["sign out", "revoke", "time"])


async def test_an_event_source_reads_with_the_cookie_and_comes_back_with_its_id(server: Server) -> None:
    path = await finished_build(server)
    async with browsing(server) as browser:
        async with browser.stream(path, Accept="text/event-stream") as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            whole = await answer.aread()
        ids = re.findall(rb"id: (\S+)\n", whole)
        assert whole.count(b'"result":"ready"') == 1
        async with browser.stream(path, **{"Last-Event-ID": ids[-2].decode()}) as answer:
            assert re.findall(rb"id: (\S+)\n", await answer.aread()) == ids[-1:]
        async with browser.stream(path, **{"Last-Event-ID": ids[-1].decode()}) as answer:
            assert answer.status_code == 204
        browser.cookie = "ingot_session=" + "F" * 43
        async with browser.stream(path) as answer:
            assert answer.status_code == 401
            assert b"sign in again" in await answer.aread()


async def test_a_stream_needs_a_session_that_may_read(server: Server) -> None:
    path = await finished_build(server)
    ticket = (await server.http.post(f"{path}/build/events/ticket")).json()["ticket"]
    async with browsing(server, Scope.READ, Scope.BUILD) as browser:
        async with browser.stream(path, query=f"?ticket={ticket}") as answer:
            assert answer.status_code == 200
        browser.cookie = "ingot_session=broken"
        async with browser.stream(path, query=f"?ticket={ticket}") as answer:  # a ticket needs no cookie
            assert answer.status_code == 200


@ENDS
async def test_open_streams_end_with_their_session_and_others_do_not(
    server: Server, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = await begun_build(server)
    async with contextlib.AsyncExitStack() as stack:
        browser = await stack.enter_async_context(browsing(server))
        direct = await stack.enter_async_context(browser.stream(path))
        selected = await stack.enter_async_context(browser.stream(path, query="?phase=ready"))
        with_key = await stack.enter_async_context(server.http.stream("GET", f"{path}/build/events", timeout=30))
        async with asyncio.timeout(60):
            while server.services.stream.count_open() < 3:
                await asyncio.sleep(0.01)
        await end_session(server, browser, end, monkeypatch)
        async with asyncio.timeout(60):
            for answer in (direct, selected):
                assert b'"result"' not in await answer.aread()
        assert with_key.status_code == 200
        assert server.services.stream.figures().ended["revoked"] == 2
        async with asyncio.timeout(60):
            while server.services.stream.count_open() != 1:
                await asyncio.sleep(0.01)


async def test_a_sessions_ticket_ends_with_it(server: Server) -> None:
    path, _ = await begun_build(server)
    async with browsing(server) as browser:
        ticket = (await browser.ask("POST", f"{path}/build/events/ticket")).json()["ticket"]
        cookie, browser.cookie = browser.cookie, ""
        async with browser.stream(path, query=f"?ticket={ticket}") as answer:
            assert answer.status_code == 200
            browser.cookie = cookie
            await browser.ask("DELETE", "/api/session")
            async with asyncio.timeout(60):
                assert b'"result"' not in await answer.aread()
        async with browser.stream(path, query=f"?ticket={ticket}") as answer:
            assert answer.status_code == 401


async def test_a_stream_that_waits_for_a_first_build_ends_with_its_session(server: Server) -> None:
    path = path_of((await server.publish())["ref"])
    async with browsing(server) as browser, browser.stream(path, query="?wait=1") as answer:
        assert answer.status_code == 200
        await browser.ask("DELETE", "/api/session")
        async with asyncio.timeout(60):
            assert b"data:" not in await answer.aread()


@ENDS
async def test_a_replay_that_is_known_by_its_request_ends_with_the_session(
    server: Server, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await finished_build(server)
    stream = server.services.stream
    async with browsing(server) as browser:
        for _ in range(2):
            async with browser.stream(path) as answer:
                assert b'"result":"ready"' in await answer.aread()
        request = next(iter(stream._known._known))
        assert browser.cookie.encode() in request
        assert stream.find_answer(request) is not None
        cookie = browser.cookie
        await end_session(server, browser, end, monkeypatch)
        assert stream.find_answer(request) is None
        browser.cookie = cookie
        async with browser.stream(path) as answer:
            assert answer.status_code == 401


@ENDS
async def test_a_screen_opens_by_cookie_and_ends_with_the_session(
    tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyed, "_LIVE_CHECK", 0.05)
    async with staged(tmp_path) as stage, browsing(stage.server, Scope.LAUNCH) as browser:
        own = {"Cookie": browser.cookie, "Origin": stage.server.url}
        async with open_viewer(stage.server.url, stage.computer, own) as viewer:
            await viewer.send(b"in")
            assert await viewer.recv() == b"in"
            if end == "revoke":
                key = (await browser.ask("GET", "/api/session")).json()["key"]["id"]
                await stage.server.services.access.revoke_key("default", key)
            else:
                await end_session(stage.server, browser, end, monkeypatch)
            with pytest.raises(ConnectionClosed) as closed:
                await viewer.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "the session is over")
        assert await stage.refusal(headers=own) == (401, "unauthorized")


async def test_a_screen_by_cookie_is_for_our_own_pages_and_those_who_launch(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage, browsing(stage.server) as browser:
        cookie = {"Cookie": browser.cookie}
        for headers in (FOREIGN, CORS, {}, {"Origin": "null"}, {"Sec-Fetch-Site": "same-site"}):
            assert await stage.refusal(headers={**cookie, **headers}) == (403, "bad_origin")
        twice = {"Cookie": f"{browser.cookie}; {browser.cookie}", "Origin": stage.server.url}
        assert await stage.refusal(headers=twice) == (401, "unauthorized")
        async with browsing(stage.server, Scope.READ) as reader:
            own = {"Cookie": reader.cookie, "Origin": stage.server.url}
            assert await stage.refusal(headers=own) == (403, "forbidden")
        assert stage.fake.over == []
