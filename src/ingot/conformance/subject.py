"""The server under test, as checks see it: requests, streams, builds made for a check, and the removal of them all."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx2

from ingot.conformance.checking import Skipped, must, within
from ingot.conformance.frames import Frame, check_whole, read_frames, take_frames

BUILD_DEADLINE = 150.0
"""Seconds in which a build of the suite must be over, the wait in the queue included."""

_ANSWER = 30.0


@dataclass
class Stream:
    """One answer of the endpoint that is being read. `received` is all that came so far."""

    response: httpx2.Response
    received: bytearray

    def __init__(self, response: httpx2.Response) -> None:
        self.response = response
        self.received = bytearray()
        self._chunks = response.aiter_raw()

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def headers(self) -> httpx2.Headers:
        return self.response.headers

    @property
    def resumed_from(self) -> str | None:
        return self.headers.get("x-build-resumed-from")

    async def more(self) -> bytes:
        """The next bytes, as they come; b"" at the end."""
        chunk = await anext(self._chunks, b"")
        self.received += chunk
        return chunk

    async def all(self, seconds: float = BUILD_DEADLINE) -> bytes:
        """Everything, to the end."""
        async with within(seconds, "the end of the stream"):
            while await self.more():
                pass
        return bytes(self.received)

    async def until(self, text: bytes, seconds: float = BUILD_DEADLINE) -> bytes:
        """Everything that came when `text` had come."""
        begin = 0
        async with within(seconds, f"{text!r} in the stream"):
            while (place := self.received.find(text, begin)) < 0:
                begin = max(0, len(self.received) - len(text))
                must(await self.more(), f"the stream ended without {text!r}: …{bytes(self.received[-300:])!r}")
        return bytes(self.received[: place + len(text)])

    async def frames(self, seconds: float = BUILD_DEADLINE) -> list[Frame]:
        """All frames to the end of the stream, each of them checked."""
        return read_frames(await self.all(seconds))


@dataclass(frozen=True, slots=True)
class Recorded:
    """A build that is over: its frames as the endpoint replays them."""

    path: str
    frames: Sequence[Frame]

    @property
    def end(self) -> Frame:
        return self.frames[-1]

    @property
    def raw(self) -> bytes:
        return b"".join(frame.raw for frame in self.frames)


class Subject:
    """One server and one key. `ref` is a finished build to read in place of builds of the suite's own."""

    def __init__(self, url: str, key: str | None, ref: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.key = key
        self._only_reads = ref is not None
        self._shared: dict[str, asyncio.Task[Recorded]] = {}
        if ref is not None:
            self._shared["finished"] = asyncio.create_task(self._known(path_of(ref)))
        self._undo: list[Callable[[], Awaitable[object]]] = []
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=20)
        timeout = httpx2.Timeout(_ANSWER, read=None, pool=None)
        no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))  # what a check does not send is not sent
        self._http = httpx2.AsyncClient(limits=limits, timeout=timeout, trust_env=False, cookies=no_cookies)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Removes what was made, newest first, and closes the connections."""
        for task in self._shared.values():
            task.cancel()
        await asyncio.gather(*self._shared.values(), return_exceptions=True)
        for undo in reversed(self._undo):
            with contextlib.suppress(httpx2.HTTPError, TimeoutError):
                async with asyncio.timeout(_ANSWER):
                    await undo()
        await self._http.aclose()

    # --- requests

    async def request(self, method: str, path: str, *, key: str | None = None, **more: Any) -> httpx2.Response:
        """One answer, read to its end. `path` is behind `/api`, `key` in place of the suite's own."""
        headers = self._headers(key) | more.pop("headers", {})
        async with asyncio.timeout(_ANSWER):
            return await self._http.request(method, f"{self.url}/api{path}", headers=headers, **more)

    async def ask(self, method: str, path: str, status: int, **more: Any) -> Any:
        """The answer's JSON; the status must be as told. Skipped where the key may not do it."""
        answer = await self.request(method, path, **more)
        if answer.status_code == 403:
            raise Skipped(f"the key may not {method} {path}")
        must(answer.status_code == status, f"{method} {path} answered {answer.status_code}: {answer.text[:300]}")
        return answer.json() if answer.content else None

    @contextlib.asynccontextmanager
    async def stream(
        self,
        path: str,
        query: str = "",
        *,
        method: str = "GET",
        key: str | None = None,
        last: str | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = 200,
    ) -> AsyncIterator[Stream]:
        """Opens the events of a build; `status` None takes any. The connection ends with the context. `key` as in
        `request`; an empty one sends none."""
        sent = self._headers(key) | dict(headers or {}) | ({"Last-Event-ID": last} if last is not None else {})
        url = f"{self.url}/api{path}/build/events{query}"
        async with contextlib.AsyncExitStack() as stack:
            async with within(_ANSWER, "the headers of the stream"):
                response = await stack.enter_async_context(self._http.stream(method, url, headers=sent))
            stream = Stream(response)
            if status is not None and stream.status != status:
                text = (await stream.all(_ANSWER))[:300]
                must(False, f"{method} …/build/events{query} answered {stream.status}, not {status}: {text!r}")
            yield stream

    async def read(self, path: str, query: str = "", **more: Any) -> list[Frame]:
        """The frames of one stream, from its begin to its end."""
        async with self.stream(path, query, **more) as stream:
            return await stream.frames()

    def _headers(self, key: str | None) -> dict[str, str]:
        key = self.key if key is None else key
        return {"Accept-Encoding": "gzip, deflate"} | ({"Authorization": f"Bearer {key}"} if key else {})

    # --- builds

    async def publish(self, *run: str, **build: Any) -> str:
        """Publishes a template with these steps; its path. It goes when the suite ends."""
        if self._only_reads:
            raise Skipped("needs builds of the suite's own")
        name = f"conformance-{secrets.token_hex(6)}"
        steps = [f": {name}; {step}" for step in run]  # no step is known from an earlier build
        document: dict[str, Any] = {
            "api_version": "orgo.ai/v1",
            "template": {"name": name, "version": "1.0.0"},
            "hardware": {"cpu": 1, "ram_gb": 1, "disk_gb": 1},
            "build": {"run": steps, **build},
        }
        if wanted := build.get("secrets"):
            document["secrets"] = [{"name": secret} for secret in wanted]
        path = path_of((await self.ask("POST", "/templates", 201, json=document))["ref"])
        self._undo.append(lambda: self._remove(path))
        return path

    async def start(self, path: str, query: str = "") -> Any:
        """Starts a build; the build object."""
        return await self.ask("POST", f"{path}/build{query}", 202)

    async def build(self, *run: str, **build: Any) -> str:
        """Publishes and starts; the path."""
        path = await self.publish(*run, **build)
        await self.start(path)
        return path

    async def status(self, path: str) -> Any:
        return await self.ask("GET", f"{path}/build", 200)

    async def whole(self, path: str, query: str = "") -> Recorded:
        """The frames of an attempt, from the first to the terminal one."""
        frames = await self.read(path, query)
        check_whole(frames)
        return Recorded(path, frames)

    async def shared(self, name: str, make: Callable[[], Awaitable[Recorded]]) -> Recorded:
        """What `make` returns, made once for all checks."""
        if name not in self._shared:
            self._shared[name] = asyncio.ensure_future(make())
        return await asyncio.shield(self._shared[name])

    async def finished(self) -> Recorded:
        """The build that most checks read: ready, of some thousand frames and more than one source."""

        async def make() -> Recorded:
            return await self.whole(await self.build("seq -f 'line %g' 1 3000", "echo second step; echo third >&2"))

        return await self.shared("finished", make)

    async def make_secret(self, name: str, value: str) -> None:
        """Puts a secret into the account's vault. It goes when the suite ends."""
        await self.ask("PUT", f"/secrets/{name}", 200, json={"value": value})
        self._undo.append(lambda: self.request("DELETE", f"/secrets/{name}"))

    async def make_key(self) -> tuple[str, str]:
        """(id, key) of a new key that may read. It is revoked when the suite ends."""
        name = f"conformance-{secrets.token_hex(4)}"
        made = await self.ask("POST", "/keys", 201, json={"name": name, "scopes": ["read"]})
        self._undo.append(lambda: self.request("DELETE", f"/keys/{made['id']}"))
        return made["id"], made["key"]

    async def sign_in(self) -> str:
        """The cookie of a new session of the suite's key, as a Cookie header has it. It is over when the suite ends."""
        made = await self.request("POST", "/session/codes")
        if made.status_code == 404:
            raise Skipped("the server has no sessions")
        must(made.status_code == 201, f"POST /session/codes answered {made.status_code}: {made.text[:300]}")
        answer = await self.request("POST", "/session", key="", json={"code": made.json()["code"]})
        must(answer.status_code == 201, f"POST /session answered {answer.status_code}: {answer.text[:300]}")
        cookie = answer.headers.get("set-cookie", "").partition(";")[0]
        self._undo.append(lambda: self._sign_out(cookie))
        return cookie

    async def sign_out(self, cookie: str) -> None:
        """Ends a session, as a page of the server's own does."""
        answer = await self._sign_out(cookie)
        must(answer.status_code == 204, f"DELETE /session answered {answer.status_code}: {answer.text[:300]}")

    async def _sign_out(self, cookie: str) -> httpx2.Response:
        headers = {"Cookie": cookie, "Sec-Fetch-Site": "same-origin"}
        return await self.request("DELETE", "/session", key="", headers=headers)

    async def _known(self, path: str) -> Recorded:
        async with self.stream(path, "?follow=0") as stream:
            frames = await stream.frames()
        if not frames or not frames[-1].is_end:
            raise Skipped("the build that was named is not over")
        check_whole(frames)
        return Recorded(path, frames)

    async def _remove(self, path: str) -> None:
        await self.request("DELETE", f"{path}/build")
        deadline = time.monotonic() + _ANSWER
        while (await self.request("DELETE", path)).status_code == 409 and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def path_of(ref: str) -> str:
    """`namespace/name@version` as the API's path, behind `/api`."""
    name, _, version = ref.rpartition("@")
    return "/templates/" + "/".join(quote(part, safe="+") for part in (*name.split("/"), version))


def frames_so_far(stream: Stream) -> list[Frame]:
    """The whole frames among what came."""
    return take_frames(bytes(stream.received))[0]
