"""The account's API keys. A key is shown once, by the answer that makes it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from ingot.api import answers
from ingot.api.describe import keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.records.account import Scope
from ingot.records.wire import Json, key_json, listing

router = APIRouter(prefix="/api/keys", route_class=KeyedRoute, tags=["keys"])


class KeyBody(BaseModel):
    model_config = ConfigDict(strict=True)

    name: Annotated[str, Field(min_length=1, max_length=100, description="Printable characters.")]
    scopes: Annotated[list[Annotated[Scope, Field(strict=False)]], Field(min_length=1, max_length=len(Scope))]


@router.get("", **keyed(Scope.ADMIN, answers.Keys))
async def list_keys(caller: Caller, use: Use) -> Json:
    """The account's keys, revoked ones too, oldest first; never the keys themselves."""
    return listing("keys", [key_json(key) for key in await use.access.list_keys(caller.account)])


@router.post("", **keyed(Scope.ADMIN, answers.NewKey, 400, 422, status=201, bodies={422: answers.Envelope}))
async def create_key(body: KeyBody, caller: Caller, use: Use) -> Json:
    """Makes a key. `admin` implies every other scope."""
    key, plaintext = await use.access.create_key(caller.account, body.name, body.scopes)
    return {**key_json(key), "key": plaintext}


@router.delete("/{key_id}", **keyed(Scope.ADMIN, answers.Deleted, 404))
async def revoke_key(key_id: str, caller: Caller, use: Use) -> Json:
    """Ends a key at once."""
    await use.access.revoke_key(caller.account, key_id)
    return {"deleted": True}
