"""The console's pages at `/console/`: files that a build made, with headers that let them load nothing from elsewhere.

What is no file is the page itself, which finds its own way. No key is needed: the pages hold nothing of anybody's.
"""

from __future__ import annotations

import asyncio
import hashlib
import os

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from ingot.api.page_files import HASHED
from ingot.api.services import Use

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "worker-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "form-action 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_PLACE = "/console/"
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}
_NOT_BUILT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Ingot</title>
<h1>The console is not built</h1>
<p>This installation came without its pages. In a checkout of Ingot, <code>sh scripts/install</code> builds them; then
reload this page. The API and the command line work as ever.</p>
</html>
"""

router = APIRouter(include_in_schema=False)


@router.get("/")
async def go_to_console() -> Response:
    return RedirectResponse(_PLACE, 307)


@router.get("/console")
async def go_to_page() -> Response:
    return RedirectResponse(_PLACE, 307)


@router.api_route("/console/{path:path}", methods=["GET", "HEAD"])
async def get_page(path: str, request: Request, use: Use) -> Response:
    """A file of the console, or its page."""
    found = use.pages.find(path, _accepted(request.headers.get("accept-encoding", "")))
    if found is None:
        return HTMLResponse(_NOT_BUILT, 503, HEADERS)
    file, encoding = found
    content = await asyncio.to_thread(file.read_bytes)
    headers = {**HEADERS, "Vary": "Accept-Encoding", "ETag": f'"{hashlib.sha256(content).hexdigest()[:32]}"'}
    is_hashed = path.startswith(HASHED)
    headers["Cache-Control"] = "public, max-age=31536000, immutable" if is_hashed else "no-cache"
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if headers["ETag"] in known:
        return Response(status_code=304, headers=headers)
    if encoding is not None:
        headers["Content-Encoding"] = encoding
    name = file.name if encoding is None else file.stem
    kind = _TYPES.get(os.path.splitext(name)[1], "application/octet-stream")  # noqa: PTH122 - a name, no path
    return Response(content, headers={**headers, "Content-Type": kind})


def _accepted(header: str) -> frozenset[str]:
    """The encodings that an Accept-Encoding header names and does not refuse."""
    pairs = [part.strip().lower().partition(";") for part in header.split(",")]
    return frozenset(name.strip() for name, _, weight in pairs if weight.replace(" ", "") not in ("q=0", "q=0.0"))
