"""A template's steps in the order in which they are made, before anything is known of what exists. Pure.

Order: toolchains · apt · pip · npm · files · each build.run · each app's install · runtime · health checks · closing.
A step that would do nothing is not there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ingot.builder.keys import file_content
from ingot.builder.scrub import SCRUB_FORMAT
from ingot.guest import layout
from ingot.guest.runtime import has_services, runtime_files
from ingot.guest.services import literal
from ingot.records.event import Phase
from ingot.records.machine import GuestFile
from ingot.records.template import FileSpec, Template

TOOLCHAINS: Mapping[str, tuple[str, ...]] = {"pip": ("python3-pip", "python3-venv"), "npm": ("nodejs", "npm")}
EXECUTABLES: Mapping[str, tuple[str, ...]] = {"pip": ("pip3",), "npm": ("npm", "node")}
"""What a base image must have to need no toolchain."""

_COMMAND_PLACE = (
    r"(?:^|[;&|(`{!]|\$\(|\b(?:sudo|exec|env|time|then|do|else|command|nohup|xargs)\s)\s*(?:-\S+\s+)*(?:\w+=\S*\s+)*"
)
_USES = {
    "pip": re.compile(_COMMAND_PLACE + r"(?:pip3?|python3?\s+-m\s+(?:pip|venv))(?![\w./-])", re.MULTILINE),
    "npm": re.compile(_COMMAND_PLACE + r"(?:npm|npx|node|nodejs)(?![\w./-])", re.MULTILINE),
}
_MANAGER_ENV = {"pip": ("PIP_",), "npm": ("NPM_", "NODE_"), "apt": ()}
_PROXY_ENV = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Install:
    """Packages for one manager, with the part of the template's environment that is meant for it."""

    manager: str
    packages: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file whose content is fetched from `url` before the plan is made."""

    path: str
    url: str
    mode: int
    owner: str
    group: str


@dataclass(frozen=True, slots=True)
class PutFiles:
    files: tuple[GuestFile | SourceFile, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """`secrets` are names of vault secrets that this script alone gets, through its environment."""

    script: str
    env: Mapping[str, str]
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ready:
    """Start the services and wait until every app is healthy; makes no layer of its own."""


@dataclass(frozen=True, slots=True)
class Close:
    """Run `hook` (may be empty), stop the services, scrub. `running`: the services go on, since the golden holds the
    running machine."""

    hook: str
    env: Mapping[str, str]
    services: bool
    running: bool = False


Work = Install | PutFiles | Script | Ready | Close


@dataclass(frozen=True, slots=True)
class Draft:
    """A step without its place: `content` is what its layer's key is made of."""

    kind: str
    title: str
    phase: Phase
    source: str
    content: Mapping[str, Any]
    work: Work


@dataclass(frozen=True, slots=True)
class Given:
    """What the steps depend on besides the document. `sources` maps a fetched URL to its SHA-256, `fingerprints` a
    secret's name to the keyed hash of its value; `salt` is set for a build that ignores known layers;
    `executables` are those of the base image. `running` is the hardware whose running state the golden holds, empty
    where goldens hold files alone."""

    account: str = ""
    backend: str = "container"
    arch: str = "x86_64"
    salt: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    executables: frozenset[str] = frozenset()
    running: Mapping[str, float | str] = field(default_factory=dict)


def draft_steps(template: Template, given: Given) -> tuple[Draft, ...]:
    """All steps of the template, from the base image upwards."""
    return (
        *_toolchains(template, given),
        *_packages(template),
        *_files(template, given),
        *_scripts(template, given),
        *_runtime(template),
        *_closing(template, given),
    )


def needed_toolchains(template: Template, executables: frozenset[str]) -> tuple[str, ...]:
    """The toolchains that the template uses and neither the base image nor its own apt list brings."""
    return tuple(
        name
        for name, packages in TOOLCHAINS.items()
        if _uses(template, name)
        and not executables.issuperset(EXECUTABLES[name])
        and packages[-1 if name == "npm" else 0] not in template.build.apt
    )


def secret_variable(name: str) -> str:
    """The environment variable that carries a secret to a step: `npm-token` → `NPM_TOKEN`."""
    return name.upper().replace("-", "_")


def scrub_draft() -> Draft:
    """The closing step of a template without services and hook, when a layer left something to scrub."""
    return Draft("closing", "scrub", Phase.SNAPSHOT, "builder", {"scrub": SCRUB_FORMAT}, Close("", {}, services=False))


def _uses(template: Template, toolchain: str) -> bool:
    scripts = (*template.build.run, *(app.install for app in template.apps))
    listed = template.build.pip if toolchain == "pip" else template.build.npm
    return bool(listed) or any(_USES[toolchain].search(script) for script in scripts)


def _toolchains(template: Template, given: Given) -> Iterator[Draft]:
    for name in needed_toolchains(template, given.executables):
        work = Install("apt", TOOLCHAINS[name])
        content = {"toolchain": name, "packages": list(work.packages)}
        yield Draft("toolchain", f"toolchain {name}", Phase.INSTALL, "apt", content, work)


def _packages(template: Template) -> Iterator[Draft]:
    env = literal(template.env)
    for manager in ("apt", "pip", "npm"):
        packages: tuple[str, ...] = getattr(template.build, manager)
        if packages:
            own = {name: value for name, value in env.items() if _meant_for(manager, name)}
            content = {"packages": list(packages), "env": own}
            title = f"{manager} {', '.join(packages)}"
            yield Draft(manager, title, Phase.INSTALL, manager, content, Install(manager, packages, own))


def _meant_for(manager: str, name: str) -> bool:
    """A change of GREETING must not install every package again."""
    return manager != "apt" and (name in _PROXY_ENV or name.startswith(_MANAGER_ENV[manager]))


def _files(template: Template, given: Given) -> Iterator[Draft]:
    files = tuple(_file(spec) for spec in template.files if spec.when == "build")
    if files:
        content = {"files": [_content(file, given) for file in files]}
        title = f"files {', '.join(file.path for file in files)}"
        yield Draft("files", title, Phase.INSTALL, "builder", content, PutFiles(files))


def _file(spec: FileSpec) -> GuestFile | SourceFile:
    path = f"{layout.home(spec.owner)}/{spec.to[2:]}" if spec.to.startswith("~/") else spec.to
    mode = int(spec.mode, 8)
    if spec.source is not None:
        return SourceFile(path, spec.source, mode, spec.owner, spec.group)
    return GuestFile(path, (spec.inline or "").encode(), mode, spec.owner, spec.group)


def _content(file: GuestFile | SourceFile, given: Given) -> dict[str, str]:
    if isinstance(file, GuestFile):
        return file_content(file)
    digest = given.sources.get(file.url, f"not fetched yet: {file.url}")
    return {"to": file.path, "sha256": digest, "mode": f"{file.mode:04o}", "owner": file.owner, "group": file.group}


def _scripts(template: Template, given: Given) -> Iterator[Draft]:
    env = literal(template.env)
    secrets = tuple(name for name in template.build.secrets if name in given.fingerprints)
    for script in template.build.run:
        content: dict[str, Any] = {"script": script, "env": env, "user": "root"}
        if template.build.secrets:
            content["account"] = given.account
            content["secrets"] = {name: given.fingerprints.get(name, "absent") for name in template.build.secrets}
        yield Draft("run", f"run {_first_line(script)}", Phase.INSTALL, "run", content, Script(script, env, secrets))
    for app in template.apps:
        if app.install:
            content = {"app": app.name, "script": app.install, "env": env, "user": "root"}
            title = f"app {app.name}: {_first_line(app.install)}"
            yield Draft("app", title, Phase.INSTALL, app.name, content, Script(app.install, env))


def _runtime(template: Template) -> Iterator[Draft]:
    if files := runtime_files(template):
        content = {"files": [file_content(file) for file in files]}
        yield Draft("runtime", "runtime", Phase.INSTALL, "builder", content, PutFiles(files))


def _closing(template: Template, given: Given) -> Iterator[Draft]:
    """Its content names no service: the runtime layer below holds them all. A golden that holds the running machine
    always has one: that is what it resumes."""
    services, hook = has_services(template), template.hooks.on_pre_snapshot
    if not services and not hook and not given.running:
        return
    env = literal(template.env)
    content = {"scrub": SCRUB_FORMAT, "hook": hook, "env": env if hook else {}, "services": services}
    if given.running:
        content["running"] = dict(given.running)
    if services:
        yield Draft("ready", "services and health checks", Phase.INSTALL, "builder", content, Ready())
    title = "on_pre_snapshot and scrub" if hook else "scrub"
    yield Draft("closing", title, Phase.SNAPSHOT, "builder", content, Close(hook, env, services, bool(given.running)))


def _first_line(script: str) -> str:
    return next((line.strip() for line in script.splitlines() if line.strip()), "(empty script)")
