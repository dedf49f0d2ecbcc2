"""One typed call for each endpoint of the API. Paths and shapes live here and nowhere else on the client's side.

Every call raises what the server's error envelope means (`ingot.errors`), UnreachableError when nobody answers, and
ServerError for an answer that is none. Nothing is retried but the event stream.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

from ingot.client.answers import (
    BashAnswer,
    BuildAnswer,
    ComputerAnswer,
    FindingAnswer,
    HeldAnswer,
    Item,
    KeyAnswer,
    PlanAnswer,
    Published,
    SecretEntry,
    ServiceAnswer,
    SignInCode,
    WorkspaceAnswer,
    bash_from,
    build_from,
    code_from,
    computer_from,
    finding_from,
    held_from,
    item_from,
    key_from,
    list_of,
    plan_from,
    published_from,
    secret_from,
    service_from,
    workspace_from,
)
from ingot.client.follow import Follower, Patience, Retry
from ingot.client.frames import Frame
from ingot.client.http import call, call_text, make_client
from ingot.records.build import BuildFlags
from ingot.records.ref import Ref

if TYPE_CHECKING:
    from ingot.client.terminal import TerminalClient

YAML = "application/yaml"
JSON = "application/json"


class Client:
    """One server, one key. Use it as `async with Client(url, key) as client`."""

    def __init__(self, url: str, api_key: str | None) -> None:
        self.url = url.rstrip("/")
        self._key = api_key
        self._http = make_client(self.url, api_key)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    # Templates

    async def publish(
        self, document: bytes, content_type: str = YAML, *, auto_build: bool = False, force: bool = False
    ) -> Published:
        """Publishes a document (any of the three body shapes). TemplateError carries every problem."""
        query = _flags(auto_build=auto_build, force=force)
        answer = await call(self._http, "POST", "templates", query=query, content=document, content_type=content_type)
        return published_from(answer)

    async def validate(self, document: bytes, content_type: str = YAML) -> Mapping[str, Any]:
        """The canonical document; TemplateError carries every problem."""
        answer = await call(self._http, "POST", "templates/validate", content=document, content_type=content_type)
        canonical = answer.get("template")
        return canonical if isinstance(canonical, Mapping) else {}

    async def plan(self, document: bytes, content_type: str = YAML) -> PlanAnswer:
        """What a build of the document would reuse and run, and why. Changes nothing."""
        answer = await call(self._http, "POST", "templates/plan", content=document, content_type=content_type)
        return plan_from(answer)

    async def templates(self, namespace: str | None = None) -> tuple[Item, ...]:
        query = {"namespace": namespace} if namespace else None
        answer = await call(self._http, "GET", "templates", query=query)
        return tuple(item_from(entry) for entry in list_of(answer, "templates"))

    async def curated(self) -> tuple[Item, ...]:
        """The templates that come with Ingot."""
        answer = await call(self._http, "GET", "templates/global")
        return tuple(item_from(entry) for entry in list_of(answer, "templates"))

    async def versions(self, namespace: str, name: str) -> tuple[Item, ...]:
        answer = await call(self._http, "GET", f"templates/{_segment(namespace)}/{_segment(name)}")
        return tuple(item_from(entry) for entry in list_of(answer, "versions"))

    async def template(self, ref: Ref) -> Item:
        return item_from(await call(self._http, "GET", _path(ref)))

    async def delete_template(self, ref: Ref) -> None:
        await call(self._http, "DELETE", _path(ref))

    # Builds

    async def build(self, ref: Ref, flags: BuildFlags | None = None) -> BuildAnswer:
        """Starts a build, joins the running one, or answers `ready` at once when there is a golden."""
        flags = flags or BuildFlags()
        query = _flags(force=flags.force, no_cache=flags.no_cache, refresh=flags.refresh) or {}
        if flags.keep_on_failure:
            query["keep_on_failure"] = str(flags.keep_on_failure)
        return build_from(await call(self._http, "POST", f"{_path(ref)}/build", query=query))

    async def status(self, ref: Ref) -> BuildAnswer:
        return build_from(await call(self._http, "GET", f"{_path(ref)}/build"))

    async def cancel(self, ref: Ref) -> Mapping[str, Any]:
        """Asks the running build to end; NotFoundError when nothing builds."""
        return await call(self._http, "DELETE", f"{_path(ref)}/build")

    async def held_machine(self, ref: Ref) -> HeldAnswer:
        """The machine of the step that failed, where it is kept; NotFoundError `nothing_held`."""
        return held_from(await call(self._http, "GET", f"{_path(ref)}/build/machine"))

    async def debug(self, ref: Ref, command: str, timeout: float = 200) -> BashAnswer:
        """Runs a shell command in the machine of the step that failed; `timeout` in seconds."""
        body = {"command": command, "timeout": timeout}
        path = f"{_path(ref)}/build/machine/bash"
        return bash_from(await call(self._http, "POST", path, body=body, answer_timeout=timeout + 30))

    async def end_held_machine(self, ref: Ref) -> None:
        await call(self._http, "DELETE", f"{_path(ref)}/build/machine", answer_timeout=60)

    async def history(self, ref: Ref) -> Sequence[Mapping[str, Any]]:
        """All attempts, newest first, as the API shows them."""
        return list_of(await call(self._http, "GET", f"{_path(ref)}/builds"), "builds")

    async def attempt(self, ref: Ref, attempt: int) -> Mapping[str, Any]:
        """One attempt with its steps, timings, cache hits, failure and manifest."""
        return await call(self._http, "GET", f"{_path(ref)}/builds/{attempt}")

    def follow(
        self,
        ref: Ref,
        attempt: int | None = None,
        *,
        live: bool = True,
        patience: Patience | None = None,
        on_retry: Callable[[Retry], None] | None = None,
        on_connect: Callable[[float | None], None] | None = None,
    ) -> AsyncGenerator[Frame, None]:
        """Every frame of an attempt (the current one by default), once and in order, until the terminal one.

        Comes back by itself after a broken connection; StreamLostError when that stays in vain. With `live` off
        it gives the frames that exist now and ends.
        """
        path = f"{_path(ref)}/build/events"
        follower = Follower(
            self._http, path, attempt=attempt, live=live, patience=patience, on_retry=on_retry, on_connect=on_connect
        )
        return follower.frames()

    # Computers

    async def run(self, ref: Ref) -> ComputerAnswer:
        """Starts a test-run computer, which ends after 15 idle minutes."""
        return computer_from(
            await call(self._http, "POST", "templates/run", body={"ref": str(ref)}, answer_timeout=180)
        )

    async def end_run(self, desktop_id: str) -> None:
        await call(self._http, "DELETE", "templates/run", query={"id": desktop_id})

    async def launch(
        self, ref: Ref, *, name: str = "", workspace: str | None = None, auto_stop_minutes: int | None = None
    ) -> ComputerAnswer:
        """Makes a computer that lasts; its status is `creating` or `starting` when that takes longer than a moment."""
        body: dict[str, Any] = {"template_ref": str(ref), "name": name}
        wish = {"workspace_id": workspace, "auto_stop_minutes": auto_stop_minutes}
        body |= {field: value for field, value in wish.items() if value is not None}
        return computer_from(await call(self._http, "POST", "computers", body=body, answer_timeout=180))

    async def computers(self) -> tuple[ComputerAnswer, ...]:
        """The account's computers, oldest first; test runs as well."""
        return tuple(computer_from(entry) for entry in list_of(await call(self._http, "GET", "computers"), "computers"))

    async def computer(self, computer_id: str) -> ComputerAnswer:
        return computer_from(await call(self._http, "GET", f"computers/{_segment(computer_id)}"))

    async def start_computer(self, computer_id: str) -> ComputerAnswer:
        return await self._change_computer(computer_id, "start")

    async def stop_computer(self, computer_id: str) -> ComputerAnswer:
        """Its files are kept. The status is `stopping` when that takes longer than a moment."""
        return await self._change_computer(computer_id, "stop")

    async def restart_computer(self, computer_id: str) -> ComputerAnswer:
        return await self._change_computer(computer_id, "restart")

    async def clone_computer(self, computer_id: str, *, name: str = "", workspace: str | None = None) -> ComputerAnswer:
        """Another computer with the files that this one has now."""
        body = {"name": name, "workspace_id": workspace}
        path = f"computers/{_segment(computer_id)}/clone"
        return computer_from(await call(self._http, "POST", path, body=body, answer_timeout=360))

    async def delete_computer(self, computer_id: str) -> None:
        await call(self._http, "DELETE", f"computers/{_segment(computer_id)}")

    async def _change_computer(self, computer_id: str, change: str) -> ComputerAnswer:
        path = f"computers/{_segment(computer_id)}/{change}"
        return computer_from(await call(self._http, "POST", path, answer_timeout=180))

    async def bash(self, computer_id: str, command: str, timeout: float = 200) -> BashAnswer:
        """Runs a shell command in a computer; `timeout` in seconds."""
        body = {"command": command, "timeout": timeout}
        path = f"computers/{_segment(computer_id)}/bash"
        return bash_from(await call(self._http, "POST", path, body=body, answer_timeout=timeout + 30))

    async def python(self, computer_id: str, code: str, timeout: float = 10) -> BashAnswer:
        """Runs Python code in a computer; `timeout` in seconds."""
        body = {"code": code, "timeout": timeout}
        path = f"computers/{_segment(computer_id)}/exec"
        return bash_from(await call(self._http, "POST", path, body=body, answer_timeout=timeout + 30))

    def terminal(self, computer_id: str, cols: int, rows: int) -> AbstractAsyncContextManager[TerminalClient]:
        """A login shell in a computer, on a terminal of that size, which ends with the context."""
        from ingot.client.terminal import open_terminal  # what it takes is loaded when it is needed

        return open_terminal(self.url, self._key, f"computers/{_segment(computer_id)}/terminal", cols, rows)

    async def services(self, computer_id: str) -> tuple[ServiceAnswer, ...]:
        """What a computer's supervisor runs, in the template's order."""
        answer = await call(self._http, "GET", f"computers/{_segment(computer_id)}/services")
        return tuple(service_from(entry) for entry in list_of(answer, "services"))

    async def service_log(self, computer_id: str, service: str, tail: int = 1000) -> str:
        """The last lines of a service's log."""
        path = f"computers/{_segment(computer_id)}/logs/{_segment(service)}"
        return await call_text(self._http, path, query={"tail": str(tail)})

    # Workspaces

    async def workspaces(self) -> tuple[WorkspaceAnswer, ...]:
        answer = await call(self._http, "GET", "workspaces")
        return tuple(workspace_from(entry) for entry in list_of(answer, "workspaces"))

    async def create_workspace(self, name: str) -> WorkspaceAnswer:
        return workspace_from(await call(self._http, "POST", "workspaces", body={"name": name}))

    async def workspace(self, workspace_id: str) -> WorkspaceAnswer:
        """`raw` has the computers in it as well."""
        return workspace_from(await call(self._http, "GET", f"workspaces/{_segment(workspace_id)}"))

    async def delete_workspace(self, workspace_id: str) -> None:
        """ConflictError while computers are in it."""
        await call(self._http, "DELETE", f"workspaces/{_segment(workspace_id)}")

    # Vault and keys

    async def secrets(self) -> tuple[SecretEntry, ...]:
        answer = await call(self._http, "GET", "secrets")
        return tuple(secret_from(entry) for entry in list_of(answer, "secrets"))

    async def put_secret(self, name: str, value: str) -> tuple[str, ...]:
        """Keeps a value; returns warnings in words (a value that would blank ordinary log lines)."""
        answer = await call(self._http, "PUT", f"secrets/{_segment(name)}", body={"value": value})
        return tuple(str(warning) for warning in answer.get("warnings") or ())

    async def delete_secret(self, name: str) -> None:
        await call(self._http, "DELETE", f"secrets/{_segment(name)}")

    async def keys(self) -> tuple[KeyAnswer, ...]:
        return tuple(key_from(entry) for entry in list_of(await call(self._http, "GET", "keys"), "keys"))

    async def create_key(self, name: str, scopes: Sequence[str]) -> KeyAnswer:
        """The answer carries the key itself, once."""
        return key_from(await call(self._http, "POST", "keys", body={"name": name, "scopes": list(scopes)}))

    async def revoke_key(self, key_id: str) -> None:
        await call(self._http, "DELETE", f"keys/{_segment(key_id)}")

    async def console_code(self) -> SignInCode:
        """What opens one session of the console, with this client's key."""
        answer = await call(self._http, "POST", "session/codes")
        return code_from(answer)

    # The server

    async def gc(self, *, dry_run: bool = False) -> Mapping[str, Any]:
        """Removes what nothing needs; the answer says what and why."""
        return await call(self._http, "POST", "admin/gc", query=_flags(dry_run=dry_run), answer_timeout=600)

    async def host(self) -> tuple[FindingAnswer, ...]:
        """What the server's host can do."""
        answer = await call(self._http, "GET", "admin/host", answer_timeout=120)
        return tuple(finding_from(entry) for entry in list_of(answer, "findings"))

    async def server_settings(self) -> Mapping[str, Any]:
        return await call(self._http, "GET", "admin/settings")

    async def builds(self) -> Sequence[Mapping[str, Any]]:
        """The queue and what runs, as the API shows it."""
        return list_of(await call(self._http, "GET", "builds"), "builds")


def _path(ref: Ref) -> str:
    return f"templates/{_segment(ref.namespace)}/{_segment(ref.name)}/{_segment(ref.version)}"


def _segment(text: str) -> str:
    """`+` in a version stays a plus and never becomes a space."""
    return quote(text, safe="")


def _flags(**flags: bool) -> dict[str, str] | None:
    return {name: "true" for name, value in flags.items() if value} or None
