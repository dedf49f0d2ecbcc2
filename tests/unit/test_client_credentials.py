"""The credentials file: kept private, written whole, and who wins when several name a server."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from ingot.credentials import Credentials, choose_server, local_url, normal_url, read_credentials, write_key
from ingot.errors import SettingsError


def test_keys_are_kept_by_address_in_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "config/credentials.json"
    write_key(path, "http://Host:7070/", "one")
    write_key(path, "https://other", "two")
    write_key(path, "https://third", "three", default=True)
    found = read_credentials(path)
    assert found.default == "https://third"
    assert dict(found.keys) == {"http://host:7070": "one", "https://other": "two", "https://third": "three"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["credentials.json"]


def test_writers_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    writers = [threading.Thread(target=write_key, args=(path, f"http://host{n}", str(n))) for n in range(12)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(read_credentials(path).keys) == 12


def test_no_file_is_no_credentials(tmp_path: Path) -> None:
    assert read_credentials(tmp_path / "none") == Credentials()


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"keys": {"a": 1}}'])
def test_a_spoilt_file_is_told_with_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "c").write_text(content)
    with pytest.raises(SettingsError, match="run `ingot login`"):
        read_credentials(tmp_path / "c")


@pytest.mark.parametrize(
    ("flag", "variable", "default", "url"),
    [
        ("http://flag", "http://variable", "http://file", "http://flag"),
        (None, "http://variable", "http://file", "http://variable"),
        (None, None, "http://file", "http://file"),
        (None, None, None, "http://fallback"),
    ],
)
def test_flag_then_variable_then_file_then_this_host(
    flag: str | None, variable: str | None, default: str | None, url: str
) -> None:
    keys = {f"http://{name}": name for name in ("flag", "variable", "file", "fallback")}
    credentials = Credentials(default, keys)
    server = choose_server(credentials, flag=flag, environment=(variable, None), fallback="http://fallback")
    assert (server.url, server.key) == (url, url.removeprefix("http://"))
    told = choose_server(credentials, flag=flag, environment=(variable, "told"), fallback="http://fallback")
    assert told.key == "told"


def test_a_key_never_shows_in_a_representation() -> None:
    credentials = Credentials("http://a", {"http://a": "sk_live_secret"})
    server = choose_server(credentials, flag=None, environment=(None, None), fallback="http://b")
    assert "sk_live_secret" not in repr(server) + repr(credentials)


@pytest.mark.parametrize("text", ["host:7070", "ftp://host", "http://", "http://user:pass@host", "http://host?x=1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        normal_url(text)


def test_a_server_that_listens_everywhere_is_found_on_loopback() -> None:
    assert local_url("0.0.0.0:7070") == "http://127.0.0.1:7070"
    assert local_url("[::]:1") == "http://[::1]:1"
    assert local_url("10.0.0.5:80") == "http://10.0.0.5:80"
