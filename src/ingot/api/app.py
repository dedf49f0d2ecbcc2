"""Puts the API together: one file a resource, one envelope for errors, one OpenAPI document.

`create_app` is given everything; it starts and stops nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Scope

from ingot import __version__
from ingot.api import (
    admin,
    builds,
    computers,
    debugging,
    health,
    keys,
    pages,
    schema,
    screen,
    secrets,
    sessions,
    supervised,
    templates,
    terminal,
    workspaces,
)
from ingot.api.errors import error_response
from ingot.api.front import Front
from ingot.api.openapi import describe_api
from ingot.api.services import Services
from ingot.errors import RequestError, TemplateError

# The order matters where paths overlap: `/templates/run` and `/templates/global/…` come before names.
ROUTERS = (
    schema.router,
    computers.router,
    screen.router,
    terminal.router,
    supervised.router,
    *workspaces.ROUTERS,
    templates.router,
    builds.router,
    debugging.router,
    secrets.router,
    keys.router,
    *sessions.ROUTERS,
    admin.router,
    health.router,
    pages.router,
)


def create_app(services: Services) -> ASGIApp:
    """The server's ASGI application."""
    api = build_api()
    api.state.services = services
    return Front(api, services.stream, services.cors)


def build_api() -> FastAPI:
    """The API without what is behind it: enough for its OpenAPI document."""
    api = FastAPI(
        title="Ingot",
        version=__version__,
        description="Bakes declarative templates into golden machine snapshots and streams every line of the bake.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name,
    )
    for router in ROUTERS:
        api.include_router(router)
    for kind in (RequestError, TemplateError, RequestValidationError, HTTPException, Exception):
        api.add_exception_handler(kind, _answer_error)
    api.add_exception_handler(ClientDisconnect, _answer_nobody)
    api.openapi = lambda: describe_api(api)  # type: ignore[method-assign]
    return api


async def _answer_error(request: Request, error: Exception) -> Response:
    response = error_response(error, request.state.request_id)
    if isinstance(error, HTTPException) and error.status_code == 405:
        response.headers["Allow"] = ", ".join(sorted(_allowed(request.scope)))
    return response


async def _answer_nobody(request: Request, error: Exception) -> Response:
    return Response(status_code=400)


def _allowed(scope: Scope) -> set[str]:
    """The methods that the path takes."""
    return {
        method for route in _routes() if route.matches(scope)[0] is not Match.NONE for method in route.methods or ()
    }


def _routes() -> Iterator[Route]:
    for router in ROUTERS:
        yield from (route for route in router.routes if isinstance(route, Route))
