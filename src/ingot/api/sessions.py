"""Signing in and out of the console: a key, or a code that stands for it, becomes a session in a cookie.

A sign-in takes no session's word: the token is always a new one, and what the browser had before ends. A page of
another address can neither sign in nor out.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from ingot.api import answers
from ingot.api.describe import keyed, public
from ingot.api.keyed import Caller, KeyedRoute, OpenRoute
from ingot.api.services import Services, Use
from ingot.api.session_cookie import Page, asking_page, clear_cookie, foreign_page, session_tokens, set_cookie
from ingot.errors import ForbiddenError
from ingot.records.account import Principal
from ingot.records.wire import Json, iso_time, session_json
from ingot.storage.clock import now_ms

_PLACE = "/api/session"

_open = APIRouter(prefix=_PLACE, route_class=OpenRoute, tags=["session"])
_router = APIRouter(prefix=_PLACE, route_class=KeyedRoute, tags=["session"])
ROUTERS = (_open, _router)

_Text = Annotated[str, Field(min_length=1, max_length=512)]


class ByKey(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    key: _Text


class ByCode(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    code: _Text = Field(description="As `ingot console` shows it, or `POST /api/session/codes` makes it.")


@_open.post("", **public(answers.Session, 400, 401, 403, 413, 507, status=201))
async def sign_in(body: ByKey | ByCode, request: Request, response: Response, use: Use) -> Json:
    """Opens a session and sets its cookie. It may do what the key may, and ends with the key, after 7 days without use,
    and after 30 days."""
    _refuse_foreign(request)
    if isinstance(body, ByKey):
        opened = await use.sessions.open(await use.access.authenticate(body.key))
    else:
        opened = await use.sessions.open_by_code(body.code)
    await _end_sessions(request, use)
    seconds = max(0, opened.ends_ms - now_ms()) // 1000
    response.headers["Set-Cookie"] = set_cookie(opened.token, seconds, request.scope["scheme"])
    return await _show(use, opened.caller)


@_open.delete("", **public(None, 403, 413, 507, status=204))
async def sign_out(request: Request, use: Use) -> Response:
    """Ends the session of the cookie with the streams and screens that it has open, and clears the cookie; 204 as well
    where there is none."""
    page = _refuse_foreign(request)
    if page is Page.NONE and session_tokens(request.headers.raw):
        raise _foreign()  # a browser that sends the cookie says of its page that it is ours
    await _end_sessions(request, use)
    return Response(status_code=204, headers={"Set-Cookie": clear_cookie(request.scope["scheme"])})


@_router.get("", **keyed(None, answers.Session))
async def get_session(caller: Caller, use: Use) -> Json:
    """Who is calling, by session or by key."""
    return await _show(use, caller)


@_router.post("/codes", **keyed(None, answers.SessionCode, status=201))
async def make_code(caller: Caller, use: Use) -> Json:
    """A code that opens one session of the caller's key within ten minutes. What a session's code opens ends when that
    session would at the latest."""
    code, expires_ms = await use.sessions.issue_code(caller)
    return {"code": code, "expires_at": iso_time(expires_ms)}


def _refuse_foreign(request: Request) -> Page:
    """Also pages that may otherwise change things here (`cors_origins`): they hold a key, and no cookie."""
    page = asking_page(request.headers.raw, request.scope["scheme"])
    if page is Page.FOREIGN:
        raise _foreign()
    return page


def _foreign() -> ForbiddenError:
    return foreign_page("may neither sign in nor out here")


async def _end_sessions(request: Request, use: Services) -> None:
    for token in session_tokens(request.headers.raw)[:2]:
        await use.sessions.end(token)


async def _show(use: Services, caller: Principal) -> Json:
    return session_json(caller, await use.access.get_key(caller.key_id))
