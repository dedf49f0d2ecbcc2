"""The other commands as a user runs them: documents, keys, secrets, login, run, gc, doctor, settings."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import INGOT, Run, clean_environment
from tests.cli.fake_server import DIGEST, KEY, PUBLISHED, build_object, error, fake_server, ready_log

REF = "default/hello@1.0.0"
GOOD = "api_version: orgo.ai/v1\ntemplate:\n  name: hello\n  version: 1.0.0\n"
BAD = "api_version: orgo.ai/v1\ntemplate:\n  name: hello\n  version: 1.0.0\n  colour: red\nhardware:\n  cpu: 3\n"


async def test_validate_needs_no_server_and_tells_every_problem(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(GOOD)
    (tmp_path / "bad.yaml").write_text(BAD)
    ran = await ingot("validate", "good.yaml", "bad.yaml")
    as_json = await ingot("validate", "bad.yaml", "--json")
    good = await ingot("validate", "-", stdin=GOOD.encode())
    assert ran.status == as_json.status == 2
    first, second = ran.out.splitlines()
    assert first.startswith("bad.yaml:5:3: unknown_field: ")
    assert second.startswith("bad.yaml:7:")
    assert ": invalid_enum: " in second
    assert "good.yaml: ok" in ran.err
    shown = json.loads(as_json.out)
    assert (shown["ok"], [one["code"] for one in shown["files"][0]["errors"]]) == (
        False,
        ["unknown_field", "invalid_enum"],
    )
    assert (good.status, good.out) == (0, "")


async def test_a_namespace_is_told_in_an_envelope(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(GOOD)
    async with fake_server() as fake:
        ran = await ingot("publish", "hello.yaml", "-n", "team", url=fake.url)
        body = json.loads(fake.requests[0].body)
    assert (ran.status, ran.out) == (0, f"{REF} {DIGEST}\n")
    assert (body["namespace"], body["name"], body["version"]) == ("team", "hello", "1.0.0")
    assert body["template"]["template"]["name"] == "hello"


async def test_a_plan_is_a_table_with_reasons(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "hello.yaml").write_text(GOOD)
    steps = [
        {"index": 1, "title": "apt ripgrep", "action": "reuse", "reason": "unchanged", "phase": "install"},
        {"index": 2, "title": "run make", "action": "run", "reason": "command changed", "phase": "install"},
    ]
    async with fake_server() as fake:
        fake.answers["POST", "/api/templates/plan"] = (200, {"ref": REF, "digest": DIGEST, "steps": steps})
        ran = await ingot("plan", "hello.yaml", url=fake.url)
    assert ran.out.splitlines() == [
        "STEP  ACTION  TITLE        WHY",
        "1     reuse   apt ripgrep  unchanged",
        "2     run     run make     command changed",
    ]
    assert ran.err == "1 of 2 steps would be reused\n"


async def test_ls_lists_what_is_published(ingot: Run) -> None:
    item = {
        "ref": REF,
        "digest": DIGEST,
        "published": PUBLISHED,
        "template": {"template": {"description": "says 日本"}},
    }
    async with fake_server() as fake:
        fake.answers["GET", "/api/templates"] = (200, {"templates": [item]})
        ran = await ingot("ls", "team", url=fake.url)
        assert fake.requests[0].query == {"namespace": "team"}
        fake.answers["GET", "/api/templates/global"] = (200, {"templates": []})
        none = await ingot("ls", "--curated", url=fake.url)
    assert ran.out.splitlines()[1] == f"{REF}  {DIGEST[:12]}  {PUBLISHED}  says 日本"
    assert (none.out, none.status) == ("", 0)


async def test_a_command_runs_in_a_computer_that_is_ended_afterwards(ingot: Run) -> None:
    async with fake_server() as fake:
        computer = {"id": "c-1", "desktop_id": "d-1", "status": "starting"}
        fake.answers["POST", "/api/templates/run"] = (200, computer)
        fake.answers["GET", "/api/computers/c-1"] = (200, computer | {"status": "running"})
        fake.answers["POST", "/api/computers/c-1/bash"] = (200, {"success": False, "output": "hi\n", "exit_code": 7})
        fake.answers["DELETE", "/api/templates/run"] = (200, {"deleted": True})
        ran = await ingot("run", REF, "--", "echo", "a b", "--json", url=fake.url)
        bodies = [json.loads(one.body) for one in fake.requests if one.method == "POST"]
        last = fake.requests[-1]
    assert (ran.status, ran.out, ran.err) == (7, "hi\n", "")
    assert bodies == [{"ref": REF}, {"command": "echo 'a b' --json", "timeout": 200.0}]
    assert (last.method, last.path, last.query) == ("DELETE", "/api/templates/run", {"id": "d-1"})


async def test_a_computer_is_kept_used_and_ended(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers["POST", "/api/templates/run"] = (200, {"id": "c-1", "desktop_id": "d-1", "status": "running"})
        fake.answers["POST", "/api/computers/c-1/bash"] = (200, {"success": True, "output": "x", "exit_code": 0})
        fake.answers["DELETE", "/api/templates/run"] = (200, {"deleted": True})
        kept = await ingot("run", REF, url=fake.url)
        used = await ingot("run", "--in", "c-1", "--", "echo $HOME | cat", url=fake.url)
        command = json.loads(fake.requests[-1].body)["command"]
        ended = await ingot("run", "--end", "d-1", url=fake.url)
    assert kept.out == "c-1\n"
    assert "ingot run --in c-1 -- COMMAND" in kept.err
    assert (used.out, command) == ("x", "echo $HOME | cat")
    assert (ended.status, ended.err) == (0, "ended d-1\n")


async def test_a_computer_that_cannot_start_says_why_and_is_removed(ingot: Run) -> None:
    async with fake_server() as fake:
        fake.answers["POST", "/api/templates/run"] = (
            200,
            {"id": "c-1", "desktop_id": "d-1", "status": "error", "error": "no room"},
        )
        failed = await ingot("run", REF, "--", "true", url=fake.url)
        kept = await ingot("run", REF, url=fake.url)
        ended = [one.query for one in fake.requests if one.method == "DELETE"]
        missing = error("the template needs the secret token; set it with `ingot secrets set token`", "missing_secret")
        fake.answers["POST", "/api/templates/run"] = (409, missing)
        refused = await ingot("run", REF, "--", "true", url=fake.url)
    assert failed.status == kept.status == refused.status == 1
    assert ended == [{"id": "d-1"}] * 2
    assert failed.err == "ingot: the computer is error\n  no room\n"
    assert "needs the secret token" in refused.err


@pytest.mark.parametrize("moment", ["POST", "GET"])
@pytest.mark.parametrize("command", [[], ["--", "true"]])
async def test_ctrl_c_while_a_computer_starts_ends_it(moment: str, command: list[str], tmp_path: Path) -> None:
    async with fake_server() as fake:
        computer = {"id": "c-1", "desktop_id": "d-1", "status": "starting"}
        fake.answers["POST", "/api/templates/run"] = fake.answers["GET", "/api/computers/c-1"] = (200, computer)
        fake.answers["DELETE", "/api/templates/run"] = (200, {"deleted": True})
        gate = fake.gates["POST", "/api/templates/run"] = asyncio.Event()
        if moment == "GET":
            gate.set()
        environment = clean_environment(tmp_path, INGOT_URL=fake.url, INGOT_API_KEY=KEY)
        process = await asyncio.create_subprocess_exec(INGOT, "run", REF, *command, env=environment)
        async with asyncio.timeout(30):
            while not any(one.method == moment for one in fake.requests):
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.2)
            gate.set()
            status = await process.wait()
        last = fake.requests[-1]
    assert (last.method, last.path, last.query) == ("DELETE", "/api/templates/run", {"id": "d-1"})
    assert status == 130


def computer_object(name: str = "box", status: str = "running", **more: object) -> dict[str, object]:
    number = "12345678-0000-4000-8000-" + name.encode().hex()[:12].ljust(12, "0")
    shown = {"id": number, "instance_id": name.encode().hex()[:8].ljust(8, "0"), "name": name, "status": status}
    return {**shown, "template_ref": REF, "created_at": PUBLISHED, "error": None, **more}


async def test_a_computer_that_lasts_is_made_listed_and_used(ingot: Run) -> None:
    box = computer_object()
    async with fake_server() as fake:
        fake.answers["POST", "/api/computers"] = (201, box | {"status": "starting"})
        fake.answers["GET", f"/api/computers/{box['id']}"] = (200, box)
        fake.answers["GET", "/api/computers"] = (
            200,
            {"computers": [box, computer_object("db", "error", error="no room")]},
        )
        shell = {"success": False, "output": "hi\n", "exit_code": 7}
        fake.answers["POST", f"/api/computers/{box['id']}/bash"] = (200, shell)
        made = await ingot("run", "--detach", "--name", "box", REF, url=fake.url)
        asked = json.loads(fake.requests[0].body)
        ran = await ingot("run", "--name", "box", REF, "--", "echo hi", url=fake.url)
        as_json = await ingot("run", "-d", "--workspace", "w-1", "--json", REF, url=fake.url)
        inside = json.loads(next(one.body for one in reversed(fake.requests) if one.method == "POST"))
        listed = await ingot("ps", url=fake.url)
        used = await ingot("exec", "box", "--", "echo", "a b", url=fake.url)
        command = json.loads(fake.requests[-1].body)
    assert (made.status, made.out, asked) == (0, f"{box['id']}\n", {"template_ref": REF, "name": "box"})
    assert f"`ingot exec {box['instance_id']} -- COMMAND`" in made.err
    assert (ran.status, ran.out) == (7, "hi\n")
    assert (json.loads(as_json.out), inside["workspace_id"]) == (box, "w-1")
    assert listed.out.splitlines() == [
        "ID        NAME  STATUS   TEMPLATE             CREATED               ERROR",
        f"626f7800  box   running  {REF}  {PUBLISHED}",
        f"64620000  db    error    {REF}  {PUBLISHED}  no room",
    ]
    assert (used.status, used.out, command) == (7, "hi\n", {"command": "echo 'a b'", "timeout": 200.0})


async def test_computers_are_stopped_started_restarted_cloned_and_removed(ingot: Run) -> None:
    box, twin = computer_object(), computer_object("twin")
    place = f"/api/computers/{box['id']}"
    async with fake_server() as fake:
        fake.answers["GET", "/api/computers"] = (200, {"computers": [box]})
        fake.answers["POST", f"{place}/stop"] = (200, box | {"status": "stopping"})
        fake.answers["GET", place] = (200, box | {"status": "stopped"})
        stopped = await ingot("stop", "box", url=fake.url)
        for action in ("start", "restart"):
            fake.answers["POST", f"{place}/{action}"] = (200, box | {"error": "hook on_resume ended with status 1: no"})
        started = await ingot("start", str(box["instance_id"]), url=fake.url)
        restarted = await ingot("restart", str(box["id"]), "--json", url=fake.url)
        fake.answers["POST", f"{place}/clone"] = (201, twin)
        cloned = await ingot("clone", "box", "--name", "twin", url=fake.url)
        asked = json.loads(fake.requests[-1].body)
        fake.answers["DELETE", place] = (200, {"deleted": True})
        removed = await ingot("rm", "box", url=fake.url)
    assert (stopped.status, stopped.err) == (0, "stopped box\n")
    assert started.err == f"started {box['instance_id']}\nwarning: hook on_resume ended with status 1: no\n"
    assert json.loads(restarted.out)["computers"][0]["id"] == box["id"]
    assert (cloned.out, cloned.err) == (f"{twin['id']}\n", f"computer {twin['instance_id']} (twin) is a clone of box\n")
    assert asked == {"name": "twin", "workspace_id": None}
    assert (removed.status, removed.err) == (0, "removed box\n")


async def test_a_computer_that_is_not_there_or_not_alone_or_cannot_be_stopped_is_told(ingot: Run) -> None:
    first, second = computer_object(), computer_object() | {"id": "other", "instance_id": "99999999"}
    async with fake_server() as fake:
        fake.answers["GET", "/api/computers"] = (200, {"computers": [first, second]})
        missing = await ingot("rm", "nowhere", url=fake.url)
        several = await ingot("stop", "box", url=fake.url)
        fake.answers["POST", "/api/computers/other/stop"] = (409, error("it cannot be stopped: no room", "stop_failed"))
        refused = await ingot("stop", "99999999", url=fake.url)
        fake.answers["GET", "/api/computers/other"] = (200, second | {"error": "it cannot be stopped: no room"})
        fake.answers["POST", "/api/computers/other/stop"] = (200, second | {"status": "stopping"})
        late = await ingot("stop", "99999999", url=fake.url)
    assert (missing.status, missing.err) == (1, "ingot: there is no computer 'nowhere'\n  `ingot ps` lists them\n")
    assert several.err == "ingot: 2 computers are called 'box'\n  name one by its id: 626f7800, 99999999\n"
    assert (refused.status, refused.err) == (1, "ingot: it cannot be stopped: no room\n")
    assert (late.status, late.err) == (1, "ingot: the computer is running\n  it cannot be stopped: no room\n")


async def test_a_secret_goes_in_by_stdin_and_shows_nowhere(ingot: Run, tmp_path: Path) -> None:
    canary = "canary-7f3a9"
    async with fake_server() as fake:
        fake.answers["PUT", "/api/secrets/token"] = (200, {"warnings": ["it would blank ordinary lines"]})
        entry = {"name": "token", "created_at": PUBLISHED, "updated_at": PUBLISHED}
        fake.answers["GET", "/api/secrets"] = (200, {"secrets": [entry]})
        fake.answers["DELETE", "/api/secrets/token"] = (204, None)
        put = await ingot("secrets", "set", "token", stdin=f"{canary}\n".encode(), url=fake.url)
        sent = json.loads(fake.requests[0].body)
        (tmp_path / "value").write_bytes(b"two\nlines\n")
        await ingot("secrets", "set", "token", "--from-file", "value", url=fake.url)
        exact = json.loads(fake.requests[1].body)
        listed = await ingot("secrets", "ls", url=fake.url)
        removed = await ingot("secrets", "rm", "token", url=fake.url)
        empty = await ingot("secrets", "set", "token", url=fake.url)
    assert sent == {"value": canary}
    assert exact == {"value": "two\nlines\n"}
    assert put.err == "warning: it would blank ordinary lines\nset token\n"
    assert canary not in put.out + put.err
    assert listed.out.splitlines()[1].startswith("token  2026")
    assert removed.err == "removed token\n"
    assert (empty.status, "the value is empty" in empty.err) == (2, True)


async def test_a_key_is_shown_once_on_stdout(ingot: Run) -> None:
    key = {"id": "k1", "name": "ci", "prefix": "sk_live_ab", "scopes": ["read"], "created_at": PUBLISHED}
    async with fake_server() as fake:
        fake.answers["POST", "/api/keys"] = (201, key | {"key": "sk_live_abcdef"})
        fake.answers["GET", "/api/keys"] = (200, {"keys": [key | {"last_used_at": None, "revoked_at": None}]})
        fake.answers["DELETE", "/api/keys/k1"] = (200, {"deleted": True})
        made = await ingot("keys", "create", "ci", "--scope", "read", url=fake.url)
        asked = json.loads(fake.requests[0].body)
        listed = await ingot("keys", "ls", url=fake.url)
        revoked = await ingot("keys", "revoke", "k1", url=fake.url)
    assert made.out == "sk_live_abcdef\n"
    assert asked == {"name": "ci", "scopes": ["read"]}
    assert "never used" in listed.out
    assert "sk_live_abcdef" not in listed.out
    assert revoked.err == "revoked k1\n"


async def test_login_keeps_a_key_that_works_and_later_commands_use_it(ingot: Run, tmp_path: Path) -> None:
    file = tmp_path / ".config/ingot/credentials.json"
    async with fake_server(ready_log(1)) as fake:
        fake.answers["GET", "/api/templates"] = (200, {"templates": []})
        refused = await ingot("login", fake.url, stdin=b"sk_live_wrong\n")
        kept_nothing = not file.exists()
        ran = await ingot("login", fake.url + "/", stdin=f"{KEY}\n".encode())
        fake.answers["GET", "/api/templates/default/hello/1.0.0/build"] = (200, build_object("ready"))
        later = await ingot("status", REF)
        elsewhere = await ingot("status", REF, "--url", "http://127.0.0.1:9")
        overruled = await ingot("status", REF, INGOT_API_KEY="sk_live_other")
    assert (refused.status, kept_nothing) == (2, True)
    assert ran.status == 0
    assert KEY not in ran.out + ran.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert json.loads(file.read_text()) == {"default": fake.url, "keys": {fake.url: KEY}}
    assert (later.status, later.out) == (0, f"ready {REF}\n")
    assert elsewhere.status == 3
    assert overruled.status == 2


async def test_gc_says_what_and_why(ingot: Run) -> None:
    removed = [{"what": "layer ab12", "why": "nothing needs it since 8 days", "size_bytes": 5 * 2**20}]
    async with fake_server() as fake:
        fake.answers["POST", "/api/admin/gc"] = (200, {"removed": removed, "kept": [], "freed_bytes": 5 * 2**20})
        ran = await ingot("gc", "--dry-run", url=fake.url)
        assert fake.requests[0].query == {"dry_run": "true"}
    assert "layer ab12  5.0 MiB  nothing needs it since 8 days" in ran.out
    assert ran.err == "5.0 MiB would be freed\n"


async def test_doctor_of_a_server_tells_the_mending_command(ingot: Run) -> None:
    findings = [
        {"name": "runc", "ok": False, "detail": "not installed", "remedy": "apt-get install runc", "needed": True},
        {"name": "kvm", "ok": False, "detail": "no /dev/kvm", "remedy": None, "needed": False},
    ]
    async with fake_server() as fake:
        fake.answers["GET", "/api/admin/host"] = (200, {"findings": findings})
        ran = await ingot("doctor", "--server", url=fake.url)
        as_json = await ingot("doctor", "--server", "--json", url=fake.url)
    assert ran.status == as_json.status == 1
    assert "MISSING  runc  not installed" in ran.out
    assert "limited  kvm   no /dev/kvm" in ran.out
    assert ran.err == "mend runc: apt-get install runc\n"
    assert json.loads(as_json.out) == {"findings": findings}


async def test_show_settings_tells_value_and_source_and_hides_secrets(ingot: Run, tmp_path: Path) -> None:
    (tmp_path / "ingot.toml").write_text('listen = "127.0.0.1:7171"\nbuilds = 3\n')
    ran = await ingot(
        "up",
        "--show-settings",
        "--config",
        "ingot.toml",
        "--builds",
        "4",
        INGOT_BOOTSTRAP_KEY="sk_live_x",
        INGOT_MACHINE="container",
    )
    shown = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines()}
    assert shown["listen"] == ["127.0.0.1:7171", "file", "ingot.toml"]
    assert shown["builds"] == ["4", "flag", "--builds"]
    assert shown["machine"] == ["container", "environment", "INGOT_MACHINE"]
    assert shown["bootstrap_key"][0] == "***"
    assert "sk_live_x" not in ran.out


async def test_a_bad_setting_is_a_usage_error_that_names_its_source(ingot: Run) -> None:
    ran = await ingot("up", INGOT_BUILDS="many")
    assert ran.status == 2
    assert ran.err.startswith("ingot: environment INGOT_BUILDS: builds cannot be 'many'")


async def test_version_and_unknown_commands(ingot: Run) -> None:
    ran = await ingot("version")
    assert ran.out.startswith("ingot 0.")
    assert (await ingot("--version")).out == ran.out
    assert "version" in json.loads((await ingot("version", "--json")).out)
    assert (await ingot("biuld")).status == 2


async def test_a_reader_that_went_away_ends_the_command_quietly(ingot: Run, tmp_path: Path) -> None:
    async with fake_server(ready_log(2000)) as fake:
        script = f"'{Path(sys.executable).with_name('ingot')}' logs {REF} | head -1"
        process_environment = {"INGOT_URL": fake.url, "INGOT_API_KEY": KEY, "HOME": str(tmp_path)}
        import asyncio

        process = await asyncio.create_subprocess_shell(
            script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=os.environ | process_environment
        )
        out, err = await process.communicate()
    assert out.count(b"\n") == 1
    assert err == b""


@pytest.mark.parametrize("text", ["ftp://x", "http://user:pass@x", "nonsense"])
async def test_an_address_that_is_none_is_refused(ingot: Run, text: str) -> None:
    ran = await ingot("status", REF, "--url", text)
    assert ran.status == 2
    assert "address" in ran.err
