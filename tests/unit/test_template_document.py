"""What a good document becomes: canonical form, digest, record; in every form it may be written in."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ingot.errors import TemplateError
from ingot.records.template import Health, SecretRef
from ingot.template import Publication, digest_of, load_canonical, parse_publication, parse_template

GOLDEN = Path(__file__).parent / "golden_documents"
DIGESTS: dict[str, str] = json.loads((GOLDEN / "digests.json").read_text())
HEAD = "api_version: orgo.ai/v1\nname: shop@1.0.0\n"


def read(text: str) -> Publication:
    return parse_template(text.encode())


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.yaml")))
def test_digests_of_golden_documents_never_change(name: str) -> None:
    assert parse_template((GOLDEN / name).read_bytes(), file_name=name).template.digest == DIGESTS[name]


def test_the_digest_is_the_hash_of_the_canonical_json() -> None:
    publication = read(HEAD + "cpu: 0.5\nvars: {b: x, a: y}\n")
    text = (
        '{"api_version":"orgo.ai/v1","hardware":{"cpu":0.5},"template":{"name":"shop","version":"1.0.0"},'
        '"vars":{"a":"y","b":"x"}}'
    )
    assert publication.template.digest == hashlib.sha256(text.encode()).hexdigest()


def test_sugar_and_canonical_form_are_the_same_document() -> None:
    sugar = parse_template((GOLDEN / "sugar.yaml").read_bytes())
    canonical = parse_template((GOLDEN / "canonical.yaml").read_bytes())
    assert sugar.canonical == canonical.canonical
    assert sugar.template == canonical.template


@pytest.mark.parametrize("name", sorted(DIGESTS))
def test_yaml_json_and_the_canonical_form_again_are_the_same_document(name: str) -> None:
    first = parse_template((GOLDEN / name).read_bytes())
    body = json.dumps(first.canonical).encode()
    for content_type in ("application/json", "application/yaml" if body.isascii() and b"\\ud" not in body else None):
        again = parse_template(body, content_type)
        assert again.canonical == first.canonical
        assert again.template == first.template


@pytest.mark.parametrize(
    ("sugar", "canonical"),
    [
        ("ram: 4gb", "hardware: {ram_gb: 4}"),
        ("ram: 16 GB", "hardware: {ram_gb: 16}"),
        ("ram: 2", "hardware: {ram_gb: 2}"),
        ("cpu: 16", "hardware: {cpu: 16}"),
        ("display: 800x600", "hardware: {resolution: 800x600x24}"),
        ("display: 800x600x16", "hardware: {resolution: 800x600x16}"),
        ("cpu: 2\nhardware: {disk_gb: 9}", "hardware: {cpu: 2, disk_gb: 9}"),
        ("cpu: 2\nhardware: {cpu: 2}", "hardware: {cpu: 2}"),
        ("on_shutdown: x", "hooks: {on_shutdown: x}"),
        ("files: {/a: text}", "files: [{to: /a, inline: text}]"),
        ("files: {/b: x, /a: {from: 'https://x/y'}}", "files: [{to: /b, inline: x}, {to: /a, from: 'https://x/y'}]"),
        ("files: {}", "files: []"),
    ],
)
def test_each_sugar_has_the_digest_of_its_canonical_form(sugar: str, canonical: str) -> None:
    plain = HEAD.replace("name: shop@1.0.0", "template: {name: shop, version: 1.0.0}")
    assert read(HEAD + sugar).template.digest == read(plain + canonical).template.digest


def test_the_name_may_stand_at_the_top_and_the_rest_in_the_section() -> None:
    publication = read("api_version: orgo.ai/v1\nname: shop\ntemplate: {version: 1.0.0, license: MIT}\n")
    assert publication.canonical["template"] == {"name": "shop", "version": "1.0.0", "license": "MIT"}


def test_keys_with_their_default_value_are_dropped() -> None:
    text = HEAD + (
        "secrets: []\nhardware: {os: linux, cpu: 1, ram_gb: 4, disk_gb: 8, gpu: none, audio: false}\nvars: {}\n"
        "build: {apt: []}\nhooks: {on_resume: ''}\ntelemetry: {}\nwallpaper: ''\n"
        "files: [{to: /a, inline: '', mode: '0644', owner: root, group: root, when: build}]\n"
        "apps: [{name: a, services: [{name: s, run: x, user: orgo, restart: always, env: {}, stop_signal: TERM}]}]\n"
    )
    assert read(text).canonical == {
        "api_version": "orgo.ai/v1",
        "template": {"name": "shop", "version": "1.0.0"},
        "files": [{"to": "/a", "inline": ""}],
        "apps": [{"name": "a", "services": [{"name": "s", "run": "x"}]}],
    }


def test_files_below_the_home_belong_to_its_user_unless_told_otherwise() -> None:
    publication = read(HEAD + "files: [{to: ~/a, inline: x, owner: orgo}, {to: ~/b, inline: x, owner: root}]\n")
    assert publication.canonical["files"] == [
        {"to": "~/a", "inline": "x"},
        {"to": "~/b", "inline": "x", "owner": "root"},
    ]
    assert [(file.owner, file.group) for file in publication.template.files] == [("orgo", "orgo"), ("root", "orgo")]


def test_words_that_yaml_1_1_made_booleans_stay_text() -> None:
    text = HEAD + "vars: {no: no, on: on, yes: yes, y: y, off: OFF, time: 12:30:45, octal: 0o_7, day: 2026-01-02}\n"
    assert read(text).canonical["vars"] == {
        "no": "no",
        "on": "on",
        "yes": "yes",
        "y": "y",
        "off": "OFF",
        "time": "12:30:45",
        "octal": "0o_7",
        "day": "2026-01-02",
    }


def test_numbers_follow_the_core_schema() -> None:
    text = HEAD + "hardware: {disk_gb: 0x10, cpu: 2.0, bandwidth_mbps: 0o17, auto_stop_minutes: +007}\n"
    assert read(text).canonical["hardware"] == {
        "disk_gb": 16,
        "cpu": 2,
        "bandwidth_mbps": 15,
        "auto_stop_minutes": 7,
    }


def test_variables_are_filled_into_the_template_and_not_into_the_document() -> None:
    publication = read(
        HEAD + "vars: {port: '80', self: '$${var.port}'}\nenv: {URL: 'http://x:${var.port}'}\n"
        "build:\n  run:\n    - echo ${var.port} ${env.URL} $${var.port} $${env.URL} ${NAME} $(date) $uri $$\n"
        "apps: [{name: a, health: {type: http, url: 'http://127.0.0.1:${var.port}/'}}]\n"
        "files: {'/srv/${var.port}': '${env.URL}'}\n"
    )
    template = publication.template
    assert template.build.run == ("echo 80 http://x:80 ${var.port} ${env.URL} ${NAME} $(date) $uri $$",)
    assert template.env == {"URL": "http://x:80"}
    assert template.apps[0].health == Health(type="http", url="http://127.0.0.1:80/")
    assert (template.files[0].to, template.files[0].inline) == ("/srv/80", "http://x:80")
    assert publication.canonical["env"] == {"URL": "http://x:${var.port}"}
    assert publication.canonical["files"] == [{"to": "/srv/${var.port}", "inline": "${env.URL}"}]


def test_a_value_that_is_filled_in_is_not_filled_in_again() -> None:
    text = HEAD + "vars: {a: '$${var.b}', b: x}\nbuild: {run: ['${var.a}']}\n"
    assert read(text).template.build.run == ("$${var.b}",)


def test_apps_come_in_the_order_of_requires_and_else_of_the_document() -> None:
    text = HEAD + "apps: [{name: d, requires: [c]}, {name: b}, {name: c, requires: [a]}, {name: a}]\n"
    assert [app.name for app in read(text).template.apps] == ["b", "a", "c", "d"]


def test_the_record_has_seconds_secrets_and_signals() -> None:
    template = parse_template((GOLDEN / "full.yaml").read_bytes()).template
    assert template.build.timeout == 1800
    assert template.build.secrets == ("token_a",)
    assert template.env["TOKEN"] == SecretRef("token_a")
    web = next(app for app in template.apps if app.name == "web")
    assert web.health is not None
    assert (web.health.every, web.health.timeout, web.health.retries) == (10, 0.5, 5)
    assert web.services[0].needs_secret
    assert template.hardware.cpu == 0.5
    assert [(file.to, file.source, file.mode, file.when) for file in template.files] == [
        ("/srv/a.txt", None, "0600", "build"),
        ("~/b.bin", "https://example.com/b.bin", "0644", "build"),
        ("/srv/later", "secret://token_a", "0644", "runtime"),
    ]
    assert sorted(template.carried) == ["egress_policy", "streaming", "telemetry", "terminal", "triggers", "wallpaper"]


def test_what_a_build_cannot_do_yet_is_a_warning_and_no_error() -> None:
    warnings = parse_template((GOLDEN / "full.yaml").read_bytes()).warnings
    assert warnings == (
        "files: /srv/later: sources of type secret are not supported yet; a build will fail",
        "files: /srv/later: when: runtime is not supported yet; a build will fail",
    )


def test_a_stored_document_gives_the_same_template() -> None:
    for name in DIGESTS:
        publication = parse_template((GOLDEN / name).read_bytes())
        stored = json.loads(json.dumps(publication.canonical))
        assert digest_of(stored) == publication.template.digest
        assert load_canonical(stored) == publication.template


DOCUMENT = {"api_version": "orgo.ai/v1", "template": {"name": "shop", "version": "1.0.0"}}


@pytest.mark.parametrize(
    ("body", "namespace"),
    [
        (DOCUMENT, None),
        ({"template": DOCUMENT}, None),
        ({"namespace": "acme", "name": "shop", "version": "1.0.0", "template": DOCUMENT}, "acme"),
        ({"namespace": "acme", "template": DOCUMENT}, "acme"),
    ],
)
def test_three_body_shapes_are_the_same_document(body: object, namespace: str | None) -> None:
    publication = parse_publication(json.dumps(body).encode(), "application/json")
    assert publication.namespace == namespace
    assert publication.canonical == DOCUMENT


@pytest.mark.parametrize(
    ("envelope", "field", "code", "words"),
    [
        ({"name": "other"}, "name", "conflict", 'name "other" disagrees with the document\'s "shop"'),
        ({"version": "2.0.0"}, "version", "conflict", "make them the same"),
        ({"version": "2"}, "version", "invalid_format", "not a semantic version"),
        ({"namespace": "A b"}, "namespace", "invalid_format", "lower-case letters"),
        ({"namespace": "system"}, "namespace", "reserved", '"system" is reserved'),
        ({"namespace": 1}, "namespace", "invalid_type", "must be text"),
        ({"nmae": "shop"}, "nmae", "unknown_field", 'did you mean "name"?'),
        ({"template": {**DOCUMENT, "cpu": 3}}, "cpu", "invalid_enum", "3 is not one of"),
        ({"template": {**DOCUMENT, "vars": {"a": "\x00"}}}, "vars.a", "invalid_format", "NUL"),
        ({"template": {"template": {"name": "a", "version": "1.0.0"}}}, "api_version", "required", "orgo.ai/v1"),
    ],
)
def test_a_bad_envelope_is_told(envelope: dict[str, object], field: str, code: str, words: str) -> None:
    body = {"namespace": "acme", "template": DOCUMENT, **envelope}
    with pytest.raises(TemplateError) as caught:
        parse_publication(json.dumps(body).encode(), "application/json")
    problems = caught.value.problems
    assert [(problem.field, problem.code.value) for problem in problems] == [(field, code)]
    assert words in f"{problems[0].message}; {problems[0].hint}"
    assert problems[0].line == 1


def test_the_file_name_and_the_content_type_tell_the_format_and_a_byte_order_mark_does_not_matter() -> None:
    text = json.dumps(DOCUMENT).encode()
    assert parse_template(text, file_name="a.json").canonical == DOCUMENT
    assert parse_template(b"\xef\xbb\xbf" + text, file_name="a.yaml").canonical == DOCUMENT
    assert parse_publication(text, "application/x-www-form-urlencoded").canonical == DOCUMENT
    assert parse_publication(b"{api_version: orgo.ai/v1, name: shop@1.0.0}", None).canonical == DOCUMENT
    assert parse_publication(HEAD.replace("\n", "\r\n").encode(), "application/x-yaml").canonical == DOCUMENT


def test_json_escapes_of_characters_beyond_the_first_plane_are_read() -> None:
    body = rb'{"api_version": "orgo.ai/v1", "name": "shop@1.0.0", "vars": {"a": "\ud83d\ude00\u2028"}}'
    assert parse_publication(body, None).canonical["vars"] == {"a": "\U0001f600\u2028"}
