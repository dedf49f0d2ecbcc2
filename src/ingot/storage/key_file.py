"""A file with one 256-bit key, readable by its owner alone. Decides nothing about what the key is for."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import stat
from pathlib import Path

from ingot.errors import HostError
from ingot.storage.durable import sync_directory

KEY_BYTES = 32


def read_key_file(path: Path) -> bytes | None:
    """The key, or None when there is no such file. Raises HostError when it cannot be read, holds no key, or can
    be read by others."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            content = file.read(1024)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HostError(f"the key file {path} cannot be read: {error.strerror}", hint="mend its owner") from error
    if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) & 0o077:
        raise HostError(
            f"the key file {path} can be read by others (mode {stat.S_IMODE(status.st_mode):04o})",
            hint=f"chmod 600 {path}",
        )
    try:
        key = base64.b64decode(content.strip(), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != KEY_BYTES:
        raise HostError(f"{path} holds no key of {KEY_BYTES} bytes in base64", hint="put it back from its backup")
    return key


def make_key_file(path: Path) -> bytes:
    """A new key, durable before it is returned. When another process made the file first, its key. Raises
    HostError when the file or its directory cannot be made."""
    key = secrets.token_bytes(KEY_BYTES)
    half = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _write(half, base64.b64encode(key) + b"\n")
            os.link(half, path)
        except FileExistsError:
            found = read_key_file(path)
            if found is None:
                raise
            return found
        finally:
            half.unlink(missing_ok=True)
        sync_directory(path.parent)
    except OSError as error:
        raise HostError(
            f"the key file {path} cannot be made: {error.strerror}",
            hint="name a place that this user can write to with INGOT_VAULT_KEY_FILE",
        ) from error
    return key


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
