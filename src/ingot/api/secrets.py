"""The account's vault: names and dates come out, values only go in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field

from ingot.api import answers
from ingot.api.describe import keyed
from ingot.api.keyed import Caller, KeyedRoute
from ingot.api.services import Use
from ingot.records.account import Scope
from ingot.records.wire import Json, listing, secret_json

SecretName = Annotated[str, Path(examples=["anthropic-api-key"])]

router = APIRouter(prefix="/api/secrets", route_class=KeyedRoute, tags=["secrets"])


class SecretBody(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)

    value: Annotated[str, Field(min_length=1, description="At most 64 KiB in UTF-8, without NUL.")]


@router.get("", **keyed(Scope.READ, answers.Secrets))
async def list_secrets(caller: Caller, use: Use) -> Json:
    """The names of the account's secrets, sorted."""
    return listing("secrets", [secret_json(entry) for entry in await use.vault.names(caller.account)])


@router.put("/{name}", **keyed(Scope.ADMIN, answers.SecretKept, 400, 422, bodies={422: answers.Envelope}))
async def put_secret(name: SecretName, body: SecretBody, caller: Caller, use: Use) -> Json:
    """Keeps a value, in place of an earlier one. `warnings` tell of a value that would blank ordinary log lines."""
    warnings = await use.vault.put(caller.account, name, body.value)
    return {"name": name, "warnings": list(warnings)}


@router.delete("/{name}", **keyed(Scope.ADMIN, None, 404, status=204))
async def delete_secret(name: SecretName, caller: Caller, use: Use) -> None:
    """Forgets a secret."""
    await use.vault.delete(caller.account, name)
