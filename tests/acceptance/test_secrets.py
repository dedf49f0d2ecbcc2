"""A canary in the vault: used in a build and in a machine, then looked for in everything a server leaves or shows."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
import zstandard

from tests.acceptance.conftest import running
from tests.acceptance.documents import template
from tests.acceptance.server import Server, dump, lines_of

ONE_LINE = f"canary/{secrets.token_hex(12)}+{secrets.token_hex(4)}="
MANY_LINES = "\n".join(f"-canary-line-{number}-{secrets.token_hex(10)}" for number in range(4))

_TELL = [
    'echo "plain $CANARY here"',
    'printf %s "$CANARY" | base64 -w0; echo',
    'printf "x%s" "$CANARY" | base64 -w0; echo',
    'printf "xy%s" "$CANARY" | base64 -w0; echo',
    'printf %s "${CANARY:0:9}"; sleep 0.3; printf "%s\\n" "${CANARY:9}"',
    'printf %s "${CANARY:0:20}" >&2; sleep 1.3; printf "%s\\n" "${CANARY:20}" >&2',
    'printf "%s\\0%s\\n" "${CANARY:0:11}" "${CANARY:11}"',
    'printf "%s\\e[K%s\\n" "${CANARY:0:11}" "${CANARY:11}"',
    'printf "%s\\r%s\\n" "$CANARY" "over it"',
    "python3 -c 'import json, os; print(json.dumps(os.environ[\"CANARIES\"]))'",
    'python3 -c \'import os, urllib.parse as u; print(u.quote(os.environ["CANARY"], safe=""))\'',
    'echo "$CANARIES"',
    'echo "$CANARIES" | tac',
    "env | sort",
    "set -x; : traced $CANARY; { set +x; } 2>/dev/null",
    "head -c 70000 /dev/zero | tr '\\0' a; echo \"$CANARY\"",
]


@pytest.fixture(scope="module")
def vaulted(seed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(seed, tmp_path_factory.mktemp("vaulted")) as server:
        server.ask("PUT", "/secrets/canary", 200, json={"value": ONE_LINE})
        server.ask("PUT", "/secrets/canaries", 200, json={"value": MANY_LINES})
        yield server


@pytest.mark.parametrize(
    "leak",
    ['echo "$CANARY" > /srv/leaked', 'printf %s "$CANARY" | base64 > /srv/leaked', 'ln -s "$CANARY" /srv/leaked'],
)
def test_a_step_that_writes_a_secret_down_fails(vaulted: Server, leak: str) -> None:
    ref, frames = vaulted.make(template(leak, secrets=["canary"], build={"secrets": ["canary"]}))
    end = frames[-1].data
    assert (end["result"], end["error"]["code"]) == ("failed", "step_failed"), dump(frames)
    assert "left the value of the secret canary in /srv/leaked" in end["error"]["message"]
    assert_free(b"".join(frame.raw for frame in frames), ref)


def test_a_secret_is_nowhere_but_in_the_command_that_needs_it(vaulted: Server) -> None:
    server = vaulted
    service = {
        "name": "keeper",
        "run": "echo kept ${#CANARY}; exec sleep 600",
        "env": {"CANARY": {"secret": "canary"}},
    }
    document = template(
        *_TELL,
        'test ${#CANARY} -gt 20 && test $(wc -l <<< "$CANARIES") = 4',
        secrets=["canary", "canaries"],
        build={"secrets": ["canary", "canaries"]},
        apps=[{"name": "keeping", "services": [service]}],
    )
    with server.host.spying():
        ref, frames = server.make(document)
        assert frames[-1].data["result"] == "ready", dump(frames)
        with server.computer(ref) as computer:
            shown = server.bash(computer, ". /root/.env; echo ${#CANARY}; cat /var/log/ingot/*keeper* || true")
            assert shown.splitlines()[0] == str(len(ONE_LINE)), "a machine made from it has the secret"
        server.cli("logs", ref, "--progress", "plain")
    assert lines_of(frames, "install", "run").count("plain *** here") == 1
    failed, failed_frames = server.make(
        template('echo "$CANARY"; exit 3', secrets=["canary"], build={"secrets": ["canary"]})
    )
    assert failed_frames[-1].data["result"] == "failed"

    shown_texts = {
        "events": b"".join(frame.raw for frame in (*frames, *failed_frames)),
        "attempt": repr(server.attempt(ref)).encode(),
        "status": repr([server.status(one) for one in (ref, failed)]).encode(),
        "item": repr(server.ask("GET", "/templates", 200)).encode(),
        "vault": repr(server.ask("GET", "/secrets", 200)).encode(),
        "server log": server.log.encode(),
    }
    for place, text in shown_texts.items():
        assert_free(text, place)
    for line in tuple(server.host.command_lines):
        assert_free(line, "a command line")
    server.end_quietly()
    count = 0
    for path in server.data.rglob("*"):
        if path.is_file() and not path.is_symlink():
            count += 1
            assert_free(_content(path), str(path))
            assert_free(str(path).encode(), "a file's name")
    assert count > 1000, "the whole store was looked through"
    server.start()


def test_a_missing_secret_is_named_before_a_machine_starts(vaulted: Server) -> None:
    _, frames = vaulted.make(template("true", secrets=["never-set"], build={"secrets": ["never-set"]}))
    end = frames[-1].data
    assert (end["result"], end["phase"]) == ("failed", "compile")
    assert "the secret never-set is not in the vault" in end["error"]["message"]


def test_a_changed_secret_runs_its_steps_again(vaulted: Server) -> None:
    vaulted.ask("PUT", "/secrets/turning", 200, json={"value": "the first value"})
    document = template("echo ${#TURNING}", secrets=["turning"], build={"secrets": ["turning"]})
    ref, _ = vaulted.make(document)
    vaulted.ask("PUT", "/secrets/turning", 200, json={"value": "another value"})
    vaulted.build(ref, force="true")
    assert vaulted.follow(ref)[-1].data["result"] == "ready"
    steps = vaulted.attempt(ref, 2)["steps"]
    assert [(step["state"], step["reason"]) for step in steps] == [("done", "secret changed: turning")]


def assert_free(content: bytes, place: str) -> None:
    """No canary in any form, by eye and by decoding."""
    for form in _forms():
        assert form not in content, f"a canary is in {place}"


def _forms() -> list[bytes]:
    plain = [ONE_LINE, *MANY_LINES.splitlines()]
    forms = [word.encode() for word in plain] + [quote(word, safe="").encode() for word in plain]
    for word in plain:
        for shift in range(3):
            encoded = base64.b64encode(b"x" * shift + word.encode())
            forms.append(encoded[4:-4])
    return forms


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if path.suffix == ".zst":
        with zstandard.ZstdDecompressor().stream_reader(content, read_across_frames=True) as reader:
            return reader.read()
    return content


def test_these_tests_would_find_a_canary(tmp_path: Path) -> None:
    packed = tmp_path / "packed.tar.zst"
    half = len(ONE_LINE) // 2
    for content in (ONE_LINE.encode(), base64.b64encode(b"xy" + ONE_LINE.encode() + b"z"), MANY_LINES.encode()):
        packed.write_bytes(zstandard.compress(b"other" * 100) + zstandard.compress(b"here: " + content + b" there"))
        with pytest.raises(AssertionError, match="a canary is in"):
            assert_free(_content(packed), "it")
    assert_free(ONE_LINE[:half].encode(), "half of it")
