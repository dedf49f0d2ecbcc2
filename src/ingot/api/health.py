"""For load balancers and Prometheus: alive, ready, figures. No key is needed, and nothing of an account is told."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from ingot.api import answers
from ingot.api.describe import public
from ingot.api.errors import UnavailableError
from ingot.api.metrics import CONTENT_TYPE
from ingot.api.services import Use, look_at_activity
from ingot.records.wire import Json

router = APIRouter(tags=["health"])

_TEXT = {"content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/healthz", **public(answers.Health))
async def healthz() -> Json:
    """The process serves."""
    return {"status": "ok"}


@router.get("/readyz", **public(answers.Ready, 503))
async def readyz(use: Use) -> Json:
    """Builds can be taken; 503 while the server starts or goes."""
    if not use.ready():
        raise UnavailableError("the server is starting or going", retry_after=1)
    return {"status": "ready"}


@router.get("/metrics", response_class=Response, responses={200: _TEXT, **public(None)["responses"]})
async def metrics(use: Use) -> Response:
    """Figures in Prometheus' text format: builds by result, queue, open streams."""
    activity = await look_at_activity(use.queue, use.stream)
    page = use.metrics.render(activity, streamed=use.stream.figures())
    return Response(page, headers={"Content-Type": CONTENT_TYPE})
