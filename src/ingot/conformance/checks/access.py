"""Who may read: keys, tickets, revocation, and refusals before the stream begins."""

from __future__ import annotations

import json

from ingot.conformance.checking import check, must, within
from ingot.conformance.subject import Stream, Subject


@check("access.no_key")
async def no_key(subject: Subject) -> None:
    """A missing or wrong key is 401, as JSON, before the stream begins."""
    build = await subject.finished()
    for key in ("", "sk_live_wrong"):
        async with subject.stream(build.path, key=key, status=401) as stream:
            await _refusal(stream)


@check("access.key_in_url")
async def key_in_url(subject: Subject) -> None:
    """A key in the URL is refused, whatever parameter it is in."""
    build = await subject.finished()
    for query in ("?api_key=x", "?token=sk_live_x", "?access_token=x"):
        async with subject.stream(build.path, query, status=400) as stream:
            await _refusal(stream)


@check("access.unknown")
async def unknown(subject: Subject) -> None:
    """A version that is not there is 404, as JSON."""
    async with subject.stream("/templates/default/conformance-none/9.9.9", status=404) as stream:
        await _refusal(stream)


@check("access.not_built")
async def not_built(subject: Subject) -> None:
    """A version that was never built is 404 `not_built`, and says how to build it; with `wait=1` it is waited for."""
    path = await subject.publish("echo waited for")
    async with subject.stream(path, status=404) as stream:
        refusal = await _refusal(stream)
        must(refusal["code"] == "not_built" and "/build" in refusal["error"], f"the refusal is {refusal}")
    async with subject.stream(path, "?wait=1") as stream:
        async with within(3, "the first bytes of a stream that waits"):
            must(await stream.more() == b":\n", "it does not wait")
        await subject.start(path)
        frames = await stream.frames()
    must(frames[-1].is_end and frames[0].seq == 0, "it is not the whole attempt")


@check("access.ticket")
async def ticket(subject: Subject) -> None:
    """A ticket opens this version's stream without a key, again for reconnects, and no other version's."""
    build = await subject.finished()
    made = await subject.ask("POST", f"{build.path}/build/events/ticket", 201)
    query = f"?ticket={made['ticket']}"
    for last in (None, build.frames[-2].id):
        async with subject.stream(build.path, query, key="", last=last) as stream:
            must((await stream.frames())[-1].is_end, "the stream is not whole")
    async with subject.stream(build.path, "?ticket=nonsense", key="", status=401):
        pass
    other = await subject.publish("echo another version")
    async with subject.stream(other, query, key="", status=401):
        pass


@check("access.revoked")
async def revoked(subject: Subject) -> None:
    """A revoked key's open streams end within seconds, and its reconnect is 401."""
    key_id, key = await subject.make_key()
    path = await subject.build("echo to be watched; sleep 600")
    async with subject.stream(path, key=key) as stream:
        await stream.until(b"to be watched")
        await subject.ask("DELETE", f"/keys/{key_id}", 200)
        async with within(10, "the end of a revoked key's stream"):
            while await stream.more():
                pass
    must(b'"result":' not in stream.received, "it ended with a terminal frame")
    async with subject.stream(path, key=key, status=401):
        pass


@check("access.session")
async def session(subject: Subject) -> None:
    """A session's cookie opens the stream without a key, again with an id, and not for a page of another address."""
    build, cookie = await subject.finished(), {"Cookie": await subject.sign_in()}
    for last in (None, build.frames[-2].id):
        async with subject.stream(build.path, key="", last=last, headers=cookie) as stream:
            must((await stream.frames())[-1].is_end, "the stream is not whole")
    for foreign in ({"Sec-Fetch-Site": "same-site"}, {"Origin": "http://elsewhere.invalid"}):
        async with subject.stream(build.path, key="", headers={**cookie, **foreign}, status=403) as stream:
            await _refusal(stream)
    broken = {"Cookie": cookie["Cookie"][:-1]}
    async with subject.stream(build.path, key="", headers=broken, status=401) as stream:
        await _refusal(stream)


@check("access.signed_out")
async def signed_out(subject: Subject) -> None:
    """A session's open streams end within seconds of signing out, and its reconnect is 401."""
    cookie = await subject.sign_in()
    path = await subject.build("echo to be watched; sleep 600")
    async with subject.stream(path, key="", headers={"Cookie": cookie}) as stream:
        await stream.until(b"to be watched")
        await subject.sign_out(cookie)
        async with within(10, "the end of a session's stream"):
            while await stream.more():
                pass
    must(b'"result":' not in stream.received, "it ended with a terminal frame")
    async with subject.stream(path, key="", headers={"Cookie": cookie}, status=401):
        pass


async def _refusal(stream: Stream) -> dict[str, str]:
    """The refusal's object, checked."""
    must(stream.headers.get("content-type") == "application/json", "the refusal is no JSON")
    refusal: dict[str, str] = json.loads(await stream.all(5))
    must(refusal.get("error") and refusal.get("code"), f"the refusal has no error or code: {refusal}")
    must(refusal.get("request_id") == stream.headers.get("x-request-id"), "the request ids differ")
    return refusal
