"""The HTTP client of Ingot's own API: the command line and the tests use nothing else.

`Client` is an async context manager with one typed call an endpoint, and `Client.follow` is the event stream that
comes back by itself. It knows records and errors, never the server's code, and it follows no redirects.
"""

from __future__ import annotations

from ingot.client.answers import (
    BashAnswer,
    BuildAnswer,
    ComputerAnswer,
    FindingAnswer,
    HeldAnswer,
    Item,
    KeyAnswer,
    PlanAnswer,
    PlannedStep,
    Published,
    SecretEntry,
    ServiceAnswer,
    SignInCode,
    WorkspaceAnswer,
)
from ingot.client.api import Client
from ingot.client.follow import Patience, Retry
from ingot.client.frames import End, Frame

__all__ = [
    "BashAnswer",
    "BuildAnswer",
    "Client",
    "ComputerAnswer",
    "End",
    "FindingAnswer",
    "Frame",
    "HeldAnswer",
    "Item",
    "KeyAnswer",
    "Patience",
    "PlanAnswer",
    "PlannedStep",
    "Published",
    "Retry",
    "SecretEntry",
    "ServiceAnswer",
    "SignInCode",
    "WorkspaceAnswer",
]
