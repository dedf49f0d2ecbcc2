"""The file of servers and their API keys: written by `ingot up` and `ingot login`, read by the command line.

Shape: `{"default": url, "keys": {url: key}}`, mode 0600 in a directory of mode 0700. A write is atomic and keeps what
other processes wrote. It promises never to show a key, and not to read the environment: `ingot.settings` does.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from ingot.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the file says. `default` is the URL to use when none is named; `keys` maps URLs to API keys."""

    default: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Server:
    """Where to go and with which key. `key` is None when nobody told one; `source` says where the URL came from."""

    url: str
    key: str | None = field(repr=False)
    source: str


def read_credentials(path: Path) -> Credentials:
    """Empty when there is no file; SettingsError when it cannot be read or is not of our shape."""
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError:
        return Credentials()
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"the credentials file {path} cannot be read: {error}", hint="run `ingot login` after moving it away"
        ) from error
    keys = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(keys, dict) or not all(isinstance(value, str) for value in keys.values()):
        raise SettingsError(f"the credentials file {path} has no `keys`", hint="run `ingot login` after moving it away")
    default = content.get("default")
    return Credentials(default if isinstance(default, str) else None, keys)


def write_key(path: Path, url: str, key: str, *, default: bool = False) -> None:
    """Keeps `key` for `url`, which becomes the default when asked for or when there is none yet."""
    url = normal_url(url)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _locked(path.parent):
        known = read_credentials(path)
        content = {
            "default": url if default or known.default is None else known.default,
            "keys": {**known.keys, url: key},
        }
        _replace(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def choose_server(
    credentials: Credentials, *, flag: str | None, environment: tuple[str | None, str | None], fallback: str
) -> Server:
    """The server to talk to: the flag, `INGOT_URL`, the file's default, `fallback`, in this order. The key is
    `INGOT_API_KEY`, else the file's for that URL. `environment` is (`INGOT_URL`, `INGOT_API_KEY`)."""
    variable, key = environment
    named = (
        (flag, "--url"),
        (variable, "INGOT_URL"),
        (credentials.default, "the credentials file"),
        (fallback, "the default"),
    )
    url, source = next((normal_url(url), source) for url, source in named if url)
    return Server(url, key or credentials.keys.get(url), source)


def normal_url(url: str) -> str:
    """Scheme and host in lower case, no slash at the end; SettingsError for anything but http and https."""
    parts = urlsplit(url.strip())
    if parts.scheme.lower() not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise SettingsError(f"{url!r} is not a server's address", hint="write it like http://127.0.0.1:7070")
    if "@" in parts.netloc:
        raise SettingsError("a server's address cannot carry a user or a password", hint="run `ingot login`")
    return f"{parts.scheme.lower()}://{parts.netloc.lower()}{parts.path.rstrip('/')}"


def local_url(listen: str) -> str:
    """The address of a server on this host that listens on `HOST:PORT`; one that listens everywhere is on loopback."""
    host, _, port = listen.rpartition(":")
    here = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "::": "[::1]"}.get(host, host)  # noqa: S104 read, not bound
    return normal_url(f"http://{here}:{port}")


def sign_in_url(url: str, code: str) -> str:
    """The console's address at the server `url` that signs in with `code`; what follows the `#` stays there."""
    return f"{url}/console/sign-in#code={code}"


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
