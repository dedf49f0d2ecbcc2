"""The base image: a Debian bookworm tree with what every machine needs and nothing else.

Made by mmdebstrap from signed packages, as root's own files; shifting them to a backend's ids is the
backend's. No Python or Node package manager: those are layers of their own.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from ingot.errors import CommandError, HostError
from ingot.machine.threads import in_thread
from ingot.process import Sink, run

_FORMAT = 1
_SUITE = "bookworm"
_PACKAGES = (
    "bash",
    "ca-certificates",
    "curl",
    "procps",
    "python3",
    "sudo",
    "supervisor",
)
_TIMEOUT = 1200.0

# A PID namespace of its own that ends with the process that waits for it, which ends with this server: or a
# killed server's mmdebstrap would go on writing where the next one begins.
_WITH_ALL_IT_STARTS = ("unshare", "--fork", "--pid", "--mount-proc", "--kill-child")

_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
_HOST_CERTIFICATES = "usr/local/share/ca-certificates"
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)

_FILES = {
    "etc/hostname": "ingot\n",
    "etc/hosts": "127.0.0.1\tlocalhost ingot\n::1\tlocalhost ip6-localhost ip6-loopback\n",
    "etc/resolv.conf": "nameserver 10.0.2.3\noptions timeout:3 attempts:3\n",
    "etc/default/locale": "LANG=C.UTF-8\n",
    "etc/sudoers.d/orgo": "orgo ALL=(ALL) NOPASSWD: ALL\n",
    "etc/apt/apt.conf.d/90ingot": (
        'APT::Install-Recommends "false";\n'
        'APT::Sandbox::User "root";\n'
        'APT::Keep-Downloaded-Packages "true";\n'
        'Acquire::Languages "none";\n'
        'Acquire::Retries "3";\n'
        'Dpkg::Use-Pty "0";\n'
        'DPkg::Options { "--force-confdef"; "--force-confold"; };\n'
    ),
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
}
_MODES = {"usr/sbin/policy-rc.d": 0o755, "etc/sudoers.d/orgo": 0o440}
_DIRECTORIES = (
    "var/cache/apt/archives/partial",
    "var/lib/apt/lists/partial",
    "root/.cache/pip",
    "root/.npm/_cacache",
)
_EMPTIED = ("dev", "proc", "sys", "run", "tmp", "var/lib/apt/lists", "var/cache/apt", "var/log/apt")
_ACCOUNT = ("useradd", "--create-home", "--uid", "1000", "--user-group", "--shell", "/bin/bash", "orgo")


def recipe(ca_bundle: Path | None, mirror: str) -> str:
    """Everything that decides what `make_tree` makes, as JSON: the certificates by their hash."""
    certificates = None
    if ca_bundle is not None and ca_bundle.exists():
        certificates = hashlib.sha256(ca_bundle.read_bytes()).hexdigest()
    decided = {
        "format": _FORMAT,
        "suite": _SUITE,
        "packages": _PACKAGES,
        "mirror": mirror,
        "certificates": certificates,
        "files": _FILES,
        "modes": _MODES,
        "directories": _DIRECTORIES,
        "emptied": _EMPTIED,
        "account": _ACCOUNT,
    }
    return json.dumps(decided, indent=1, sort_keys=True)


async def make_tree(
    tree: Path, ca_bundle: Path | None, mirror: str, sink: Sink, *, more: Sequence[str] = (), hook: str = ""
) -> None:
    """Makes the tree in the new directory `tree`, with the packages `more` too; `sink` gets progress as it comes.
    `hook` is a shell command that runs while packages can still be fetched; it finds the tree as `$1`. Raises
    HostError with the end of what mmdebstrap said when it fails."""
    argv = ["mmdebstrap", "--mode=root", "--format=directory", "--variant=minbase"]
    argv += ["--verbose", f"--include={','.join((*_PACKAGES, *more))}", '--aptopt=APT::Install-Recommends "false"']
    argv += [f"--customize-hook={hook}"] if hook else []
    try:
        argv += [_SUITE, str(tree), *([mirror] if mirror else [])]
        await run([*await _in_a_namespace(), *argv], timeout=_TIMEOUT, sink=sink, dies_with_us=True)
        await sink(b"adding the account, certificates and settings\n")
        await in_thread(lambda: _furnish(tree, ca_bundle))
        await run(["chroot", str(tree), *_ACCOUNT], timeout=60, sink=sink)
        await run(["chroot", str(tree), "update-ca-certificates"], timeout=120, sink=sink)
        await in_thread(lambda: _empty(tree))
    except CommandError as error:
        raise HostError(
            f"the base image cannot be made: {error}", hint="see the lines above; is a mirror reachable?"
        ) from error


async def _in_a_namespace() -> Sequence[str]:
    """Where a PID namespace cannot be had, what mmdebstrap itself started may outlive a killed server."""
    status, _ = await run([*_WITH_ALL_IT_STARTS, "true"], timeout=10, check=False)
    return _WITH_ALL_IT_STARTS if status == 0 else ()


def _furnish(tree: Path, ca_bundle: Path | None) -> None:
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True, exist_ok=True)
    for name, content in _FILES.items():
        (tree / name).write_text(content)
        (tree / name).chmod(_MODES.get(name, 0o644))
    for number, certificate in enumerate(_missing_certificates(tree, ca_bundle)):
        (tree / _HOST_CERTIFICATES / f"host-{number}.crt").write_text(certificate)


def _missing_certificates(tree: Path, ca_bundle: Path | None) -> list[str]:
    """The certificates of the host's bundle that the distribution's own bundle does not have."""
    if ca_bundle is None or not ca_bundle.exists():
        return []
    known = {_body(text) for text in _PEM.findall((tree / _BUNDLE).read_text())}
    return [text for text in _PEM.findall(ca_bundle.read_text(errors="replace")) if _body(text) not in known]


def _body(certificate: str) -> str:
    return "".join(certificate.split())


def _empty(tree: Path) -> None:
    """What only the making needed, or names this one tree: apt's lists and caches, logs, device nodes."""
    for name in _EMPTIED:
        for entry in (tree / name).iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
    for name in _DIRECTORIES:
        (tree / name).mkdir(parents=True, exist_ok=True)
    (tree / "etc/machine-id").write_text("")
