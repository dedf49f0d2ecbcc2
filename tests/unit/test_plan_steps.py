"""A template's steps and their plan: order, keys, what is reused, and why, compared whole."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ingot.builder.keys import golden_key, layer_key
from ingot.builder.plan import Plan, make_plan, name_steps, plan_scrub
from ingot.builder.reasons import Earlier
from ingot.builder.steps import Given, Install, PutFiles, Ready, Script, draft_steps, needed_toolchains
from ingot.records.event import Phase
from ingot.records.layer import Layer
from ingot.records.machine import MachineSpec
from ingot.records.template import (
    App,
    BuildSteps,
    FileSpec,
    Health,
    Hooks,
    SecretRef,
    Service,
    Template,
)

BASE = Layer("base-key", None, "base", "base image", "container", 0, 0, 0)
GIVEN = Given(account="acme")


def template(**fields: object) -> Template:
    return replace(Template("demo", "1.0.0", "d" * 64, {}), **fields)  # type: ignore[arg-type]


def layer(key: str, parent: str = "base-key", **info: object) -> Layer:
    return Layer(key, parent, "run", "run x", "container", 0, 0, 0, dict(info))


def plan(document: Template, *, built: Template | None = None, given: Given = GIVEN) -> Plan:
    """The plan after `built` was built with everything in it."""
    done = name_steps(built, BASE.key, GIVEN) if built else ()
    known = {one.key: layer(one.key) for one in done if not isinstance(one.draft.work, Ready)}
    earlier = [
        Earlier(one.draft.kind, one.draft.title, one.key, one.draft.content, BASE.key)
        for one in done
        if not isinstance(one.draft.work, Ready)
    ]
    return make_plan(name_steps(document, BASE.key, given), BASE, known, given, earlier)


def told(result: Plan) -> list[tuple[str, bool, str]]:
    return [(step.title, step.reuse, step.reason) for step in result.steps]


FULL = template(
    env={"GREETING": "hi", "PIP_INDEX": "x"},
    build=BuildSteps(apt=("curl",), pip=("httpx",), npm=("pnpm",), run=("make all", "make test")),
    files=(FileSpec("/etc/motd", inline="hello"), FileSpec("~/notes", inline="n", owner="orgo", group="orgo")),
    apps=(App("site", install="install-site", services=(Service("web", run="serve"),), health=Health("tcp", port=80)),),
    hooks=Hooks(on_pre_snapshot="sync"),
)


def test_the_steps_of_a_full_template_come_in_the_order_of_the_build() -> None:
    assert [(step.kind, step.title, step.phase, step.source) for step in plan(FULL).steps] == [
        ("toolchain", "toolchain pip", Phase.INSTALL, "apt"),
        ("toolchain", "toolchain npm", Phase.INSTALL, "apt"),
        ("apt", "apt curl", Phase.INSTALL, "apt"),
        ("pip", "pip httpx", Phase.INSTALL, "pip"),
        ("npm", "npm pnpm", Phase.INSTALL, "npm"),
        ("files", "files /etc/motd, /home/orgo/notes", Phase.INSTALL, "builder"),
        ("run", "run make all", Phase.INSTALL, "run"),
        ("run", "run make test", Phase.INSTALL, "run"),
        ("app", "app site: install-site", Phase.INSTALL, "site"),
        ("runtime", "runtime", Phase.INSTALL, "builder"),
        ("ready", "services and health checks", Phase.INSTALL, "builder"),
        ("closing", "on_pre_snapshot and scrub", Phase.SNAPSHOT, "builder"),
    ]


def test_a_template_with_nothing_to_do_has_no_steps_and_stands_on_the_base() -> None:
    assert plan(template()) == Plan(BASE, (), BASE.key)


def test_each_layer_stands_on_the_one_before_and_health_checks_make_none() -> None:
    steps = plan(FULL).steps
    layers = [step for step in steps if step.makes_layer]
    assert [step.parent for step in layers] == [BASE.key, *(step.key for step in layers[:-1])]
    assert next(step for step in steps if step.kind == "ready").key == steps[-1].key


def test_the_first_build_says_so_and_toolchains_say_that_they_are_shared() -> None:
    assert told(plan(template(build=BuildSteps(pip=("httpx",))))) == [
        ("toolchain pip", False, "not on this host yet"),
        ("pip httpx", False, "not built before"),
    ]


def test_an_unchanged_template_reuses_everything() -> None:
    result = plan(FULL, built=FULL)
    assert result.all_known
    assert {step.reason for step in result.steps} == {"unchanged"}
    assert result.deepest_known == (BASE.key, *(step.key for step in result.steps if step.makes_layer))


def test_only_the_last_command_runs_when_only_it_changed() -> None:
    before = template(build=BuildSteps(run=tuple(f"step {number}" for number in range(20))))
    after = template(build=BuildSteps(run=(*before.build.run[:-1], "step 19 --verbose")))
    result = plan(after, built=before)
    assert [step.reuse for step in result.steps] == [True] * 19 + [False]
    assert told(result)[-1] == ("run step 19 --verbose", False, "command changed")
    assert len(result.deepest_known) == 20


def test_what_changed_is_told_in_words_and_what_stands_on_it_names_it() -> None:
    before = template(build=BuildSteps(apt=("curl", "git"), run=("make",)))
    after = template(build=BuildSteps(apt=("curl", "ffmpeg"), run=("make",)))
    assert told(plan(after, built=before)) == [
        ("apt curl, ffmpeg", False, "apt list changed: + ffmpeg, - git"),
        ("run make", False, "a step below it changed: apt curl, ffmpeg"),
    ]


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (template(build=BuildSteps(run=("make",)), env={"A": "2"}), "environment changed: A"),
        (template(build=BuildSteps(run=("make all",)), env={"A": "2"}), "command changed; environment changed: A"),
        (template(build=BuildSteps(pip=("x",)), env={"A": "1"}), "new step"),
    ],
)
def test_a_changed_command_or_environment_is_told(after: Template, reason: str) -> None:
    before = template(build=BuildSteps(run=("make",)), env={"A": "1"})
    [step] = [step for step in plan(after, built=before).steps if step.kind in ("run", "pip")]
    assert step.reason == reason


def test_changed_files_are_named() -> None:
    before = template(files=(FileSpec("/a", inline="1"), FileSpec("/b", inline="1"), FileSpec("/c", inline="1")))
    after = template(files=(FileSpec("/a", inline="2"), FileSpec("/b", inline="1"), FileSpec("/d", inline="1")))
    assert plan(after, built=before).steps[0].reason == "files changed: /a, + /d, - /c"


def test_another_order_of_packages_is_told() -> None:
    before, after = template(build=BuildSteps(apt=("a", "b"))), template(build=BuildSteps(apt=("b", "a")))
    assert plan(after, built=before).steps[0].reason == "apt list is in another order"


def test_a_new_base_image_is_told_on_every_step() -> None:
    document = template(build=BuildSteps(run=("make",)))
    done = name_steps(document, "old-base", GIVEN)
    earlier = [Earlier(one.draft.kind, one.draft.title, one.key, one.draft.content, "old-base") for one in done]
    result = make_plan(name_steps(document, BASE.key, GIVEN), BASE, {}, GIVEN, earlier)
    assert result.steps[0].reason == "the base image changed"


def test_a_layer_that_was_collected_is_told() -> None:
    document = template(build=BuildSteps(run=("make",)))
    named = name_steps(document, BASE.key, GIVEN)
    earlier = [Earlier("run", "run make", named[0].key, named[0].draft.content, BASE.key)]
    assert make_plan(named, BASE, {}, GIVEN, earlier).steps[0].reason == "its layer is gone"


def test_a_known_layer_above_an_unknown_one_is_not_reused() -> None:
    document = template(build=BuildSteps(run=("one", "two")))
    named = name_steps(document, BASE.key, GIVEN)
    result = make_plan(named, BASE, {named[1].key: layer(named[1].key)}, GIVEN)
    assert [step.reuse for step in result.steps] == [False, False]


def test_ignoring_known_layers_makes_keys_of_its_own_but_keeps_toolchains() -> None:
    document = template(build=BuildSteps(pip=("httpx",)))
    fresh = plan(document, built=document, given=replace(GIVEN, salt="attempt-7"))
    normal = plan(document, built=document)
    assert told(fresh) == [
        ("toolchain pip", True, "unchanged"),
        ("pip httpx", False, "known layers are ignored, as asked"),
    ]
    assert fresh.steps[1].key != normal.steps[1].key


def test_a_greeting_in_the_environment_installs_no_package_again() -> None:
    before = template(build=BuildSteps(apt=("curl",), pip=("httpx",)), env={"GREETING": "a"})
    after = template(build=before.build, env={"GREETING": "b"})
    assert plan(after, built=before).steps[2].reuse
    indexed = template(build=before.build, env={"GREETING": "a", "PIP_INDEX_URL": "https://mirror.example"})
    result = plan(indexed, built=before)
    assert [step.reuse for step in result.steps[:3]] == [True, True, False]
    assert result.steps[2].reason == "environment changed: PIP_INDEX_URL"


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("pip install x", ("pip",)),
        ("sudo pip3 install x", ("pip",)),
        ("cd /a && FOO=1 pip install -r requirements.txt", ("pip",)),
        ("python3 -m pip install x", ("pip",)),
        ("if true; then npm ci; fi", ("npm",)),
        ("echo $(node --version)", ("npm",)),
        ("npx create-app\npip list", ("pip", "npm")),
        ("echo install pip with care", ()),
        ("./pip-compile x; /opt/node/bin/npm ci", ()),
        ("cat node.conf", ()),
    ],
)
def test_toolchains_are_needed_where_a_script_runs_them(script: str, wanted: tuple[str, ...]) -> None:
    assert needed_toolchains(template(build=BuildSteps(run=(script,))), frozenset()) == wanted


def test_a_base_or_an_apt_list_that_brings_the_tool_needs_no_toolchain() -> None:
    document = template(build=BuildSteps(pip=("x",), npm=("y",)))
    assert needed_toolchains(document, frozenset({"pip3", "npm", "node"})) == ()
    brought = template(build=BuildSteps(apt=("npm", "python3-pip"), pip=("x",), npm=("y",)))
    assert needed_toolchains(brought, frozenset()) == ()


def test_packages_stand_as_they_were_written() -> None:
    works = [draft.work for draft in draft_steps(template(build=BuildSteps(apt=("nginx=1.2", "curl"))), GIVEN)]
    assert works == [Install("apt", ("nginx=1.2", "curl"))]


def test_a_step_that_is_given_a_secret_belongs_to_the_account_and_the_value() -> None:
    document = template(build=BuildSteps(run=("deploy",), secrets=("token", "extra")))
    [draft] = draft_steps(document, replace(GIVEN, fingerprints={"token": "f1"}))
    assert draft.content["account"] == "acme"
    assert draft.content["secrets"] == {"token": "f1", "extra": "absent"}
    assert draft.work == Script("deploy", {}, ("token",))
    keys = {
        name_steps(document, BASE.key, replace(GIVEN, account=account, fingerprints={"token": value}))[0].key
        for account, value in (("acme", "f1"), ("acme", "f2"), ("other", "f1"))
    }
    assert len(keys) == 3


def test_without_secrets_accounts_share_layers() -> None:
    document = template(build=BuildSteps(run=("make",)))
    assert name_steps(document, BASE.key, GIVEN) == name_steps(document, BASE.key, replace(GIVEN, account="other"))


def test_a_secret_in_the_environment_is_in_no_step() -> None:
    document = template(env={"TOKEN": SecretRef("token"), "A": "1"}, build=BuildSteps(run=("make",)))
    run, runtime = draft_steps(document, GIVEN)
    assert run.content["env"] == {"A": "1"}
    assert "token" not in repr(runtime.content)
    assert "TOKEN" not in repr(runtime.work)


def test_a_fetched_file_is_known_by_the_digest_of_its_content() -> None:
    document = template(files=(FileSpec("/opt/tool", source="https://example.com/tool"),))
    one = name_steps(document, BASE.key, replace(GIVEN, sources={"https://example.com/tool": "aa"}))
    other = name_steps(document, BASE.key, replace(GIVEN, sources={"https://example.com/tool": "bb"}))
    assert one[0].key != other[0].key
    assert isinstance(one[0].draft.work, PutFiles)


def test_services_are_checked_again_only_when_something_below_changed() -> None:
    service = App("site", services=(Service("web", run="serve"),))
    before = template(apps=(service,), build=BuildSteps(run=("make",)))
    assert plan(before, built=before).all_known
    after = template(apps=(replace(service, services=(Service("web", run="serve --fast"),)),), build=before.build)
    assert told(plan(after, built=before)) == [
        ("run make", True, "unchanged"),
        ("runtime", False, "files changed: /etc/ingot/services/web"),
        ("services and health checks", False, "a step below it changed: runtime"),
        ("scrub", False, "a step below it changed: runtime"),
    ]


def test_a_clean_stack_needs_no_scrub_and_a_dirty_one_gets_a_closing_step() -> None:
    result = plan(template(build=BuildSteps(run=("make",))))
    clean, dirty = layer("k", residue=[]), layer("k", residue=["/tmp/a", "/tmp/b", "/tmp/c", "/tmp/d"])
    assert plan_scrub(result, [BASE, clean], {}, GIVEN) is None
    found = plan_scrub(result, [BASE, dirty], {}, GIVEN)
    assert found is not None
    step, words = found
    assert words == "left behind: /tmp/a, /tmp/b, /tmp/c and 1 more"
    assert (step.index, step.kind, step.phase, step.parent, step.reuse) == (2, "closing", Phase.SNAPSHOT, "k", False)
    again = plan_scrub(result, [BASE, dirty], {step.key: layer(step.key)}, GIVEN)
    assert again is not None
    assert again[0].reuse


def test_residue_of_the_base_image_is_not_the_templates() -> None:
    base = replace(BASE, info={"residue": ["/var/log/x"]})
    assert plan_scrub(plan(template()), [base], {}, GIVEN) is None


def test_keys_depend_on_everything_they_name() -> None:
    keys = {
        layer_key("p", "run", {"script": "a"}, backend="container", arch="x86_64"),
        layer_key("q", "run", {"script": "a"}, backend="container", arch="x86_64"),
        layer_key("p", "app", {"script": "a"}, backend="container", arch="x86_64"),
        layer_key("p", "run", {"script": "b"}, backend="container", arch="x86_64"),
        layer_key("p", "run", {"script": "a"}, backend="qemu", arch="x86_64"),
        layer_key("p", "run", {"script": "a"}, backend="container", arch="aarch64"),
        layer_key("p", "run", {"script": "a"}, backend="container", arch="x86_64", salt="s"),
    }
    assert len(keys) == 7
    spec = MachineSpec()
    assert golden_key("d", "t", spec) != golden_key("d", "t", replace(spec, cpu=2))
    assert golden_key("d", "t", spec) == golden_key("d", "t", MachineSpec())


def test_layer_keys_are_frozen() -> None:
    """Changing how keys are made throws every known layer away: raise LAYER_FORMAT instead of this line."""
    key = layer_key("p", "run", {"script": "a"}, backend="container", arch="x86_64")
    assert key == "9f2a28c7a4e8578c35e4cc1d5c2775c66b1b3f17958269201e2929fbbc37d8c3"
