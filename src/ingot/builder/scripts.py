"""The commands that package steps run in a machine, and how the log tells them. Pure.

Package names come from templates: they stand behind `--`, as arguments of their own, so that none can become an
option or a piece of shell.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from ingot.records.machine import Command

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"

STEP_ENV: Mapping[str, str] = {
    "CI": "1",
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "SSL_CERT_FILE": CERTIFICATES,
    "REQUESTS_CA_BUNDLE": CERTIFICATES,
    "PIP_CERT": CERTIFICATES,
    "NODE_EXTRA_CA_CERTS": CERTIFICATES,
    "PIP_NO_INPUT": "1",
    "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    "PIP_ROOT_USER_ACTION": "ignore",
    "PIP_BREAK_SYSTEM_PACKAGES": "1",
    "npm_config_update_notifier": "false",
    "npm_config_audit": "false",
    "npm_config_fund": "false",
    "npm_config_logs_max": "0",
}
"""What every command of a build sees. It is no part of layer keys: it changes with the layer format only."""

# Files are synced once, when the layer is captured: dpkg need not do it for each of them. Logs of the installation
# would only be scrubbed again. What apt computes from the lists (half a second) is kept beside the downloads. An update
# that fetched some lists and not others is none: packages would seem not to exist.
_APT_OPTIONS = (
    "-o=Dpkg::Options::=--force-confdef",
    "-o=Dpkg::Options::=--force-confold",
    "-o=Dpkg::Options::=--force-unsafe-io",
    "-o=Dpkg::Options::=--log=/dev/null",
    "-o=Dpkg::Use-Pty=0",
    "-o=Dir::Log=/dev/null",
    "-o=Dir::Log::Terminal=",
    "-o=Dir::Log::History=",
    "-o=APT::Sandbox::User=root",
    "-o=Acquire::Languages=none",
    "-o=Acquire::Retries=3",
    "-o=APT::Update::Error-Mode=any",
    "-o=Dir::Cache::srcpkgcache=archives/srcpkgcache.bin",
    "-o=Dir::Cache::pkgcache=",
)

# $1 says whether to update the lists first; the rest are packages. An installation that fails on lists which were
# not updated is tried once more on fresh ones.
_APT = """
set -eu
fresh=$1
shift
update() { apt-get -q OPTIONS update; }
install() { apt-get -q OPTIONS install -y --no-install-recommends -- "$@"; }
if [ "$fresh" = no ]; then
  update
  install "$@"
elif ! install "$@"; then
  echo 'updating the package lists and trying once more'
  update
  install "$@"
fi
rm -f /var/cache/apt/*.bin /var/lib/dpkg/*-old /var/cache/debconf/*-old
rm -f /var/cache/ldconfig/aux-cache /var/log/alternatives.log
""".replace("OPTIONS", " ".join(_APT_OPTIONS))

_LONG = 100_000
"""Bytes of a script that still fit into one argument of a process."""


def apt_command(packages: Sequence[str], *, lists_fresh: bool, timeout: float) -> Command:
    argv = ("/bin/sh", "-c", _APT, "apt", "yes" if lists_fresh else "no", *packages)
    return Command(argv, timeout, env=STEP_ENV)


def pip_command(packages: Sequence[str], env: Mapping[str, str], *, timeout: float) -> Command:
    fixed = ("python3", "-m", "pip", "install", "--break-system-packages", "--no-input", "--progress-bar=off")
    return Command((*fixed, "--", *packages), timeout, env={**STEP_ENV, **env})


def npm_command(packages: Sequence[str], env: Mapping[str, str], *, timeout: float) -> Command:
    fixed = ("npm", "install", "--global", "--no-audit", "--no-fund", "--no-progress")
    return Command((*fixed, "--", *packages), timeout, env={**STEP_ENV, **env})


def script_command(script: str, env: Mapping[str, str], *, timeout: float) -> Command:
    """A template's own script: root, `bash -e`, nothing on stdin. One too long for an argument travels over a
    pipe that is not the commands' stdin."""
    if len(script.encode()) <= _LONG:
        return Command(("/bin/bash", "-e", "-c", script), timeout, env={**STEP_ENV, **env})
    reader = "exec 3<&0 </dev/null; exec /bin/bash -e /dev/fd/3"
    return Command(("/bin/bash", "-c", reader), timeout, env={**STEP_ENV, **env}, stdin=script.encode())


def told_install(manager: str, packages: Sequence[str]) -> str:
    """The line that tells a package step's command, such as `npm install -g pnpm`."""
    verbs = {"apt": "apt-get install -y", "pip": "pip install", "npm": "npm install -g"}
    return f"{verbs[manager]} {shlex.join(packages)}"


def told_script(script: str, most: int = 20) -> tuple[str, ...]:
    """The lines that tell a script: its own, as far as they help."""
    lines = [line.rstrip() for line in script.strip("\n").splitlines()]
    lines = [line for line in lines if line]
    if len(lines) <= most:
        return tuple(lines) or ("(empty script)",)
    return (*lines[:most], f"… ({len(lines) - most} more lines)")


def fetch_command(url: str, place: str, *, timeout: float, max_bytes: int) -> Command:
    """Fetches a `from:` source inside a machine: web schemes only, also after a redirect, bounded in time, size
    and redirects."""
    web = "=http,https"
    argv = (
        "curl", "--fail", "--silent", "--show-error", "--location",
        "--proto", web, "--proto-redir", web, "--max-redirs", "5",
        "--connect-timeout", "30", "--max-time", f"{timeout:g}", "--max-filesize", str(max_bytes), "--retry", "2",
        "--create-dirs", "--output", place, "--", url,
    )  # fmt: skip
    return Command(argv, timeout + 15, env=STEP_ENV)
