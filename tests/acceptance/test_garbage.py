"""Collecting garbage: what a ref needs stays and works, whatever else goes."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.acceptance.conftest import NewServer
from tests.acceptance.documents import pages, template
from tests.acceptance.server import Server, path_of

_MONTH = 30 * 24 * 3600


def test_garbage_is_what_no_ref_needs(new_server: NewServer) -> None:
    server = new_server()
    shared = pages("shared", 2)
    kept, _ = server.make(template(*shared, "echo kept > /srv/kept"))
    gone, _ = server.make(template(*shared, "echo gone > /srv/gone"))
    kept_layers, gone_layers = _layers(server, kept), _layers(server, gone)
    gone_golden = server.status(gone)["golden_dir"]
    everything = _stored(server)

    assert server.ask("DELETE", path_of(gone), 200) == {"deleted": True}
    assert collect(server, dry_run="true")["removed"] == [], "what was made just now stays for a while"
    age(server)

    planned = collect(server, dry_run="true")
    assert _stored(server) == everything, "a dry run removes nothing"
    named = {entry["what"] for entry in planned["removed"]}
    only_gone = gone_layers - kept_layers
    assert len(only_gone) == 1
    expected = {f"golden {gone_golden}", *(f"{kind} {key}" for key in only_gone for kind in ("layer", "object"))}
    assert named == expected
    assert all(entry["why"] for entry in planned["removed"])
    assert planned["freed_bytes"] > 0

    done = collect(server)
    assert {entry["what"] for entry in done["removed"]} == expected
    assert done["dry_run"] is False
    left = _stored(server)
    assert everything - left == {
        f"objects/goldens/{gone_golden}.json",
        *(f"objects/layers/{key}.{end}" for key in only_gone for end in ("json", "tar.zst")),
        *(f"layers/{key}" for key in only_gone),
    }
    assert collect(server)["removed"] == []
    assert server.cli("gc", "--dry-run")[0] == 0

    assert server.status(kept)["status"] == "ready"
    with server.computer(kept) as computer:
        assert server.bash(computer, "cat /srv/kept /srv/shared-2") == "kept\nshared 2\n"
    server.host.assert_clean()


def test_a_machine_keeps_what_it_runs_from(new_server: NewServer) -> None:
    server = new_server()
    ref, _ = server.make(template("echo here > /srv/here"))
    golden = server.status(ref)["golden_dir"]
    age(server)
    with server.computer(ref) as computer:
        server.ask("DELETE", path_of(ref), 200)
        assert collect(server)["removed"] == []
        assert server.bash(computer, "cat /srv/here") == "here\n"
    assert f"golden {golden}" in {entry["what"] for entry in collect(server)["removed"]}


def test_layers_that_are_gone_from_the_host_come_from_the_object_store(new_server: NewServer) -> None:
    server = new_server()
    document = template("echo stored > /srv/stored")
    ref, _ = server.make(document)
    keys = _layers(server, ref)
    server.end_quietly()
    for key in keys:
        path = server.data / "layers" / key
        path.rename(server.home / f"lost-{key}")
    server.start()
    with server.computer(ref) as computer:
        assert server.bash(computer, "cat /srv/stored") == "stored\n"
    server.host.assert_clean()


def _layers(server: Server, ref: str) -> set[str]:
    """The keys of the layers that a ready ref's golden is made of."""
    golden = server.status(ref)["golden_dir"]
    manifest = json.loads((server.data / "objects" / "goldens" / f"{golden}.json").read_bytes())
    return {layer["key"] for layer in manifest["layers"]}


def collect(server: Server, **query: str) -> Any:
    return server.ask("POST", "/admin/gc", 200, params=query)


def _stored(server: Server) -> set[str]:
    layers = {f"layers/{path.name}" for path in server.data.glob("layers/*")}
    return layers | {str(path.relative_to(server.data)) for path in server.data.glob("objects/**/*") if path.is_file()}


def age(server: Server) -> None:
    """Makes everything a month older."""
    server.end_quietly()
    for record in server.data.glob("layers/*/layer.json"):
        then = record.stat().st_mtime - _MONTH
        os.utime(record, (then, then))
    for path in server.data.glob("objects/goldens/*.json"):
        golden = json.loads(path.read_bytes())
        golden["created_ms"] -= _MONTH * 1000
        path.write_text(json.dumps(golden))
    server.start()
