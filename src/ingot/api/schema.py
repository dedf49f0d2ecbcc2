"""The JSON Schema of a document, for editors: public, for any web page, cacheable."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import Response

from ingot.api.describe import public
from ingot.template import json_schema

CONTENT_TYPE = "application/schema+json"
_CACHE = "public, max-age=3600"

router = APIRouter(prefix="/api", tags=["templates"])


def _answers() -> dict[int | str, dict[str, Any]]:
    told: dict[int | str, dict[str, Any]] = dict(public(None)["responses"])
    headers = {**told[200]["headers"], "ETag": {"schema": {"type": "string"}}}
    schema = {"type": "object", "description": "A JSON Schema, draft 2020-12."}
    told[200] = {"headers": headers, "content": {CONTENT_TYPE: {"schema": schema}}}
    told[304] = {"headers": headers, "description": "The caller has it already."}
    return told


@router.get("/template-schema", response_class=Response, responses=_answers())
async def template_schema(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The JSON Schema (draft 2020-12) of `orgo.ai/v1`."""
    content, tag = _rendered()
    headers = {"ETag": tag, "Cache-Control": _CACHE, "Access-Control-Allow-Origin": "*"}
    known = [entry.strip().removeprefix("W/") for entry in (if_none_match or "").split(",")]
    if tag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    return Response(content, headers={**headers, "Content-Type": CONTENT_TYPE})


@cache
def _rendered() -> tuple[bytes, str]:
    content = json.dumps(json_schema(), ensure_ascii=False, indent=2).encode()
    return content, f'"{hashlib.sha256(content).hexdigest()[:32]}"'
