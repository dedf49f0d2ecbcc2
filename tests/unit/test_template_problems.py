"""Broken documents: each problem is told with field, code, words and line, and all of them at once."""

from __future__ import annotations

import json

import pytest

from ingot.errors import RequestError, TemplateError, TooLargeError
from ingot.records.problem import Problem
from ingot.template import parse_publication, parse_template

HEAD = "api_version: orgo.ai/v1\ntemplate: {name: shop, version: 1.0.0}\n"

# name: (text behind the two lines of HEAD, field, code, words of message and hint, line)
BROKEN: dict[str, tuple[str, str, str, str, int]] = {
    "text where a whole number is due": (
        'hardware:\n  disk_gb: "20"\n',
        "hardware.disk_gb",
        "invalid_type",
        "must be a whole number, and is the text",
        4,
    ),
    "boolean where a number is due": ("cpu: true\n", "cpu", "invalid_type", "the boolean true", 3),
    "a version that became a float": (
        "build:\n  pip:\n    - 3.10\n",
        "build.pip[0]",
        "invalid_type",
        'quote it: "3.10"',
        5,
    ),
    "a number in env": ("env:\n  PORT: 8000\n", "env.PORT", "invalid_type", 'quote it: "8000"', 4),
    "an octal mode without quotes": (
        "files:\n  - to: /a\n    inline: x\n    mode: 0644\n",
        "files[0].mode",
        "invalid_type",
        'quote it: "0644"',
        6,
    ),
    "null where a list is due": (
        "apps:\nvars: {}\n",
        "apps",
        "invalid_type",
        "is empty; give it a value, or remove it",
        3,
    ),
    "an optional field that is empty": (
        "apps:\n  - name: a\n    health:\n",
        "apps[0].health",
        "invalid_type",
        "is empty",
        5,
    ),
    "a file whose text is empty by a slip": (
        "files:\n  - to: /a\n    inline:\n",
        "files[0].inline",
        "invalid_type",
        "is empty",
        5,
    ),
    "a list where a mapping is due": ("hooks: [x]\n", "hooks", "invalid_type", "must be a mapping, and is a list", 3),
    "enumeration": ("hardware: {gpu: H10}\n", "hardware.gpu", "invalid_enum", 'did you mean "h100"?', 3),
    "number that is not in the set": ("hardware: {cpu: 3}\n", "hardware.cpu", "invalid_enum", "0.5, 1, 2, 4, 8, 16", 3),
    "yaml no stays text": (
        "apps: [{name: a, autostart: [{run: no, delay: no}]}]\n",
        "apps[0].autostart[0].delay",
        "invalid_type",
        "must be a number, and is the text",
        3,
    ),
    "unknown key at the root": ("secrest: []\n", "secrest", "unknown_field", 'did you mean "secrets"?', 3),
    "unknown key below": (
        "apps:\n  - name: a\n    servces: []\n",
        "apps[0].servces",
        "unknown_field",
        'did you mean "services"?',
        5,
    ),
    "required field": ("apps:\n  - title: A\n", "apps[0].name", "required", 'the field "name" is required', 4),
    "a name that does not fit": ("apps: [{name: My App}]\n", "apps[0].name", "invalid_format", '"my-app"', 3),
    "a name of the environment": (
        "env:\n  my-port: x\n",
        "env.my-port",
        "invalid_format",
        'did you mean "MY_PORT"?',
        4,
    ),
    "a duration without unit": ("build: {timeout: '30'}\n", "build.timeout", "invalid_format", "30s, 5m or 1h", 3),
    "a duration of nothing": ("build: {timeout: 0s}\n", "build.timeout", "out_of_range", "between 1ns and 366 days", 3),
    "beyond a limit": (
        "hardware: {auto_stop_minutes: 1441}\n",
        "hardware.auto_stop_minutes",
        "out_of_range",
        "at most 1440, and is the number 1441",
        3,
    ),
    "too many commands": (
        "build: {run: [" + "x," * 65 + "]}\n",
        "build.run",
        "too_many",
        "65 entries, and at most 64",
        3,
    ),
    "empty command": ("build: {run: ['']}\n", "build.run[0]", "required", "must not be empty", 3),
    "an option as package": ("build: {apt: [-y]}\n", "build.apt[0]", "invalid_format", "without options", 3),
    "duplicate key": ("vars:\n  a: x\n  a: y\n", "vars.a", "duplicate", "first at line 4", 5),
    "a key that is a number": ("vars:\n  1: x\n", 'vars["1"]', "invalid_type", 'quote it: "1"', 4),
    "an alias": ("vars:\n  a: *b\n", "vars.a", "invalid_format", "alias *b is not supported", 4),
    "a custom tag": ("vars:\n  a: !!python/object:os.system x\n", "vars.a", "invalid_format", "the tag", 4),
    "NUL": ('vars:\n  a: "x\\0"\n', "vars.a", "invalid_format", "NUL character at position 1", 4),
    "an enormous integer": (
        f"hardware: {{disk_gb: {'9' * 5000}}}\n",
        "hardware.disk_gb",
        "out_of_range",
        "cannot carry exactly",
        3,
    ),
    "infinity": (
        "apps: [{name: a, autostart: [{run: x, delay: .inf}]}]\n",
        "apps[0].autostart[0].delay",
        "out_of_range",
        ".inf is not a number",
        3,
    ),
    "reserved target": ("files: [{to: /proc/x, inline: a}]\n", "files[0].to", "reserved", "below /proc", 3),
    "reserved target by a link": ("files: [{to: /var/run/x, inline: a}]\n", "files[0].to", "reserved", "below /run", 3),
    "reserved target of the runtime": (
        "files: [{to: //etc/./ingot/x, inline: a}]\n",
        "files[0].to",
        "reserved",
        "below /etc/ingot",
        3,
    ),
    "reserved target by a variable": (
        "vars: {d: /dev}\nfiles: [{to: '${var.d}/x', inline: a}]\n",
        "files[0].to",
        "reserved",
        "/dev",
        4,
    ),
    "target with dots": ("files: [{to: /srv/../etc/x, inline: a}]\n", "files[0].to", "invalid_format", '".."', 3),
    "relative target": ("files: [{to: srv/x, inline: a}]\n", "files[0].to", "invalid_format", "is not absolute", 3),
    "duplicate target": (
        "files:\n  - {to: ~/x, inline: a}\n  - {to: /home/orgo/x, inline: b}\n",
        "files[1].to",
        "duplicate",
        "first at files[0].to",
        5,
    ),
    "a target in the map": ("files:\n  /tmp/x: text\n", 'files["/tmp/x"]', "reserved", "below /tmp", 4),
    "from and inline": (
        "files: [{to: /a, inline: a, from: 'https://x/y'}]\n",
        "files[0].from",
        "conflict",
        "both given",
        3,
    ),
    "neither from nor inline": ("files:\n  - to: /a\n", "files[0].inline", "required", "one of from and inline", 4),
    "an unknown source": ("files: [{to: /a, from: 'htp://x'}]\n", "files[0].from", "invalid_format", '"http"?', 3),
    "circle of apps": (
        "apps:\n  - {name: a, requires: [b]}\n  - {name: b, requires: [c]}\n  - {name: c, requires: [a]}\n",
        "apps[2].requires[0]",
        "conflict",
        "circle: a → b → c → a",
        6,
    ),
    "an app that requires itself": (
        "apps: [{name: a, requires: [a]}]\n",
        "apps[0].requires[0]",
        "conflict",
        "itself",
        3,
    ),
    "unknown app": (
        "apps: [{name: api}, {name: web, requires: [apy]}]\n",
        "apps[1].requires[0]",
        "unknown_ref",
        'did you mean "api"?',
        3,
    ),
    "app twice": ("apps: [{name: a}, {name: a}]\n", "apps[1].name", "duplicate", "first at apps[0].name", 3),
    "service twice in two apps": (
        "apps:\n  - {name: a, services: [{name: s, run: x}]}\n  - {name: b, services: [{name: s, run: x}]}\n",
        "apps[1].services[0].name",
        "duplicate",
        "services share one list over all apps",
        5,
    ),
    "unknown service to restart": (
        "apps: [{name: a, health: {type: tcp, port: 1, on_fail: 'restart_service:b'}}]\n",
        "apps[0].health.on_fail",
        "unknown_ref",
        "there is no service",
        3,
    ),
    "unknown on_fail": (
        "apps: [{name: a, health: {type: tcp, port: 1, on_fail: reboot}}]\n",
        "apps[0].health.on_fail",
        "invalid_enum",
        "restart_vm",
        3,
    ),
    "check without its field": (
        "apps: [{name: a, health: {type: http}}]\n",
        "apps[0].health.url",
        "required",
        "type http",
        3,
    ),
    "reserved port": (
        "apps: [{name: a, ports: [{internal: 8080}]}]\n",
        "apps[0].ports[0].internal",
        "reserved",
        "8080",
        3,
    ),
    "port out of range": (
        "apps: [{name: a, ports: [{internal: 70000}]}]\n",
        "apps[0].ports[0].internal",
        "out_of_range",
        "at most 65535",
        3,
    ),
    "port twice": (
        "apps: [{name: a, ports: [{internal: 80}, {internal: 80, protocol: http}]}]\n",
        "apps[0].ports[1].internal",
        "duplicate",
        "80/tcp",
        3,
    ),
    "undeclared secret in env": (
        "secrets: [{name: api-key}]\nenv:\n  KEY: {secret: api_key}\n",
        "env.KEY.secret",
        "unknown_ref",
        'did you mean "api-key"?',
        5,
    ),
    "undeclared secret of the build": ("build: {secrets: [a]}\n", "build.secrets[0]", "unknown_ref", "not declared", 3),
    "secret twice": ("secrets: [{name: a}, {name: a}]\n", "secrets[1].name", "duplicate", "the secret", 3),
    "undeclared secret by URL": (
        "files: [{to: /a, from: 'secret://k'}]\n",
        "files[0].from",
        "unknown_ref",
        "secrets",
        3,
    ),
    "unknown variable": (
        "vars: {port: '80'}\nbuild:\n  run:\n    - echo ${var.prot}\n",
        "build.run[0]",
        "unknown_ref",
        'did you mean "port"?',
        6,
    ),
    "unknown environment": (
        "build: {run: ['echo ${env.A}']}\n",
        "build.run[0]",
        "unknown_ref",
        "not declared in env",
        3,
    ),
    "secret as text": (
        "secrets: [{name: k}]\nenv: {K: {secret: k}}\nbuild: {run: ['echo ${env.K}']}\n",
        "build.run[0]",
        "unknown_ref",
        "read $K from the environment",
        5,
    ),
    "environment in environment": ("env: {A: x, B: '${env.A}'}\n", "env.B", "unknown_ref", "use a variable", 3),
    "variable in variable": ("vars: {a: x, b: '${var.a}'}\n", "vars.b", "unknown_ref", "literal", 3),
    "variable where a number is due": (
        "vars: {p: '80'}\napps: [{name: a, ports: [{internal: '${var.p}'}]}]\n",
        "apps[0].ports[0].internal",
        "invalid_type",
        "variables are text",
        4,
    ),
    "ram that is not offered": ("ram: 3gb\n", "ram", "invalid_enum", "3 is not one of 1, 2, 4", 3),
    "ram that is no size": ("ram: lots\n", "ram", "invalid_type", "must be a whole number", 3),
    "display that is no size": ("display: big\n", "display", "invalid_format", "such as 1280x800x24", 3),
    "sugar that contradicts": ("cpu: 2\nhardware:\n  cpu: 4\n", "cpu", "conflict", "hardware.cpu at line 5", 3),
    "trigger without actions": (
        "triggers: [{name: t, source: {type: cron, schedule: '@daily'}, actions: []}]\n",
        "triggers[0].actions",
        "required",
        "at least one",
        3,
    ),
    "trigger on an unknown service": (
        "triggers: [{name: t, source: {type: log, service: s}, actions: [{type: log, message: m}]}]\n",
        "triggers[0].source.service",
        "unknown_ref",
        "no service",
        3,
    ),
    "action on an unknown service": (
        "triggers: [{name: t, source: {type: event, event: e}, actions: [{type: service, op: stop, target: s}]}]\n",
        "triggers[0].actions[0].target",
        "unknown_ref",
        "no service",
        3,
    ),
    "action without its field": (
        "triggers: [{name: t, source: {type: event, event: e}, actions: [{type: webhook}]}]\n",
        "triggers[0].actions[0].url",
        "required",
        "type webhook",
        3,
    ),
    "a bad schedule": (
        "triggers: [{name: t, source: {type: cron, schedule: '* *'}, actions: [{type: log, message: m}]}]\n",
        "triggers[0].source.schedule",
        "invalid_format",
        "five fields",
        3,
    ),
    "two ways of dedup": (
        "triggers:\n  - name: t\n    source: {type: event, event: e}\n    dedup: {cooldown: 1m, debounce: 1s}\n"
        "    actions: [{type: log, message: m}]\n",
        "triggers[0].dedup.cooldown",
        "conflict",
        "at most one",
        6,
    ),
    "a streaming URL": (
        "streaming: [{name: s, url: 'http://x/y', key: k}]\n",
        "streaming[0].url",
        "invalid_format",
        "rtmp://",
        3,
    ),
    "an egress rule": (
        "egress_policy: {mode: allow, rules: ['https://x.org/']}\n",
        "egress_policy.rules[0]",
        "invalid_format",
        "without scheme and path",
        3,
    ),
    "half an egress policy": ("egress_policy: {}\n", "egress_policy.mode", "required", '"mode" is required', 3),
    "terminal twice": ("terminal: [{name: a}, {name: a}]\n", "terminal[1].name", "duplicate", "the terminal", 3),
    "a wallpaper that is no URL": ("wallpaper: blue\n", "wallpaper", "invalid_format", "http:// or https://", 3),
}


def problems_of(text: str | bytes, content_type: str | None = None) -> tuple[Problem, ...]:
    body = text.encode() if isinstance(text, str) else text
    with pytest.raises(TemplateError) as caught:
        parse_publication(body, content_type)
    return caught.value.problems


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_document_is_told_with_field_code_words_and_line(name: str) -> None:
    text, field, code, words, line = BROKEN[name]
    problems = problems_of(HEAD + text)
    assert [(problem.field, problem.code.value, problem.line) for problem in problems] == [(field, code, line)]
    assert words in f"{problems[0].message}; {problems[0].hint}"
    assert problems[0].column is not None


@pytest.mark.parametrize(
    ("text", "field", "code", "words"),
    [
        ("template: {name: a, version: 1.0.0}", "api_version", "required", "begin with api_version"),
        ("api_version: orgo.ai/v2\nname: a@1.0.0", "api_version", "invalid_enum", "orgo.ai/v1"),
        ("api_version: orgo.ai/v1", "template", "required", "name: my-machine@1.0.0"),
        ("api_version: orgo.ai/v1\nname: foo", "template.version", "required", "add version: 1.0.0"),
        ("api_version: orgo.ai/v1\nname: Foo@1.0.0", "name", "invalid_format", 'did you mean "foo"?'),
        ("api_version: orgo.ai/v1\nname: foo@1.0", "name", "invalid_format", "three numbers, such as 1.0.0"),
        ("api_version: orgo.ai/v1\ntemplate: {name: a, version: 1.0}", "template.version", "invalid_type", '"1.0"'),
        ("- a", "", "invalid_type", "must be a mapping, and is a list"),
        ("just text", "", "invalid_type", "must be a mapping"),
        ("? [a]\n: b", "", "invalid_type", "a key must be text"),
        ("a: " + "[" * 40 + "]" * 40, "", "too_many", "nested deeper than 32 levels"),
        ("a: [" + "x," * 20_001 + "]", "", "too_many", "more than 20,000 values"),
    ],
)
def test_a_broken_frame_of_a_document_is_told(text: str, field: str, code: str, words: str) -> None:
    problems = problems_of(text)
    assert (problems[0].field, problems[0].code.value) == (field, code)
    assert words in f"{problems[0].message}; {problems[0].hint}"


def test_an_alias_bomb_ends_at_its_first_aliases_and_stays_small() -> None:
    levels = "".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]\n" for n in range(1, 30))
    problems = problems_of(HEAD + "vars:\n  l0: &l0 lol\n" + levels)
    assert len(problems) == 201
    assert "the anchor &l0 is not supported" in problems[0].message
    assert problems[-1].message.startswith("and ")


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_depth_bomb_is_refused_in_json_too(opening: str) -> None:
    assert "nested deeper" in problems_of(opening * 800_000, "application/json")[0].message


def test_every_problem_is_told_at_once_in_the_order_of_the_source() -> None:
    text = HEAD + (
        "hardware:\n  cpu: 3\n  gpu: x\n"
        "env: {bad: 1}\n"
        "files:\n  - {to: /dev/x, inline: a}\n"
        "apps:\n  - name: A\n    requires: [nobody]\n    health: {type: tcp}\n"
        "build: {run: ['${var.x}']}\n"
        "bogus: 1\n"
    )
    assert [(problem.line, problem.field) for problem in problems_of(text)] == [
        (4, "hardware.cpu"),
        (5, "hardware.gpu"),
        (6, "env.bad"),
        (6, "env.bad"),
        (8, "files[0].to"),
        (10, "apps[0].name"),
        (11, "apps[0].requires[0]"),
        (12, "apps[0].health.port"),
        (13, "build.run[0]"),
        (14, "bogus"),
    ]


def test_json_problems_have_positions_too() -> None:
    text = '{\n  "api_version": "orgo.ai/v1",\n  "name": "a@1.0.0",\n  "cpu": 2, "cpu": 3,\n  "env": {"A": 1}\n}'
    problems = problems_of(text, "application/json")
    assert [(problem.field, problem.code.value, problem.line, problem.column) for problem in problems] == [
        ("cpu", "duplicate", 4, 13),
        ("env.A", "invalid_type", 5, 16),
    ]


@pytest.mark.parametrize(
    ("value", "code", "words"),
    [
        ("NaN", "out_of_range", "NaN is not a number"),
        ("-Infinity", "out_of_range", "-Infinity is not a number"),
        ("1e999", "out_of_range", "1e999 is not a number"),
        ("9" * 5000, "out_of_range", "cannot carry exactly"),
        (r'"\ud800"', "invalid_format", "half a surrogate pair (U+D800)"),
        (r'"\u0000"', "invalid_format", "NUL character"),
    ],
)
def test_json_values_that_nothing_can_hold_are_problems(value: str, code: str, words: str) -> None:
    text = f'{{"api_version": "orgo.ai/v1", "name": "a@1.0.0", "vars": {{"a": {value}}}}}'
    problems = problems_of(text, "application/json")
    assert [(problem.field, problem.code.value) for problem in problems] == [("vars.a", code)]
    assert words in problems[0].message
    json.dumps([problem.message for problem in problems]).encode()


def test_keys_that_nothing_can_hold_are_problems() -> None:
    text = r'{"api_version": "orgo.ai/v1", "name": "a@1.0.0", "vars": {"a\ud800": "x"}}'
    problems = problems_of(text, "application/json")
    assert "the key cannot be used: the text has half a surrogate pair" in problems[0].message
    problems[0].field.encode()


@pytest.mark.parametrize(
    ("body", "content_type", "words"),
    [
        (b"", None, "the body is empty"),
        (b" \n\t ", None, "the body is empty"),
        (b"# only words\n", None, "the body is empty"),
        (b"null", "application/json", "the body is empty"),
        (b"name: \xff\n", None, "byte 0xff at offset 6 (line 1)"),
        ("name: ü".encode("latin-1"), None, "byte 0xfc at offset 6 (line 1)"),
        ("name: x".encode("utf-16"), None, "it looks like UTF-16"),
        (b"\xef\xbb\xbfa\n\x80", None, "byte 0x80 at offset 5 (line 2)"),
        (b"a: [1\n", None, "not YAML: did not find expected ',' or ']' at line 2, column 1"),
        (b"a: b: c", None, "mapping values are not allowed in this context at line 1"),
        (b"a: 1\n---\nb: 2", None, "a second YAML document at line 2"),
        (b"a: \x00", None, "the character U+0000 at line 1, column 4"),
        (b"%TAG ! tag:x,2000:\n---\na: 1", None, "a YAML directive at line 1"),
        (b'{"a": 1,}', "application/json", "a key in double quotes is due here (line 1, column 9)"),
        (b'{"a" 1}', "application/json", "a colon is due behind the key"),
        (b'{"a": "x\n"}', "application/json; charset=utf-8", "invalid control character"),
        (b'{"a": 1} x', "application/json", "more text follows (line 1, column 10)"),
        (b'{"a": 01}', "application/json", "a comma or } is due here"),
        (b"api_version: orgo.ai/v1", "application/json", "not JSON: a JSON value is due here (line 1, column 1)"),
    ],
)
def test_a_body_that_cannot_be_read_is_a_bad_body(body: bytes, content_type: str | None, words: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_publication(body, content_type)
    assert caught.value.code == "bad_body"
    assert words in str(caught.value)


def test_a_body_above_four_mebibytes_is_too_large() -> None:
    with pytest.raises(TooLargeError, match="5,000,000 bytes, and the limit is 4,194,304") as caught:
        parse_publication(b"x" * 5_000_000, None)
    assert caught.value.code == "body_too_large"


def test_a_body_of_just_under_four_mebibytes_is_read() -> None:
    text = HEAD + "files:\n  - to: /srv/large\n    inline: " + "x" * 4_000_000 + "\n"
    inline = parse_template(text.encode()).template.files[0].inline
    assert inline is not None
    assert len(inline) == 4_000_000


def test_variables_cannot_blow_a_document_up() -> None:
    text = HEAD + f"vars: {{a: {'x' * 1_000_000}}}\nbuild:\n  run: ['{'${var.a}' * 100}']\n"
    problems = problems_of(text)
    assert [(problem.field, problem.code.value) for problem in problems] == [("build.run[0]", "too_many")]
    assert "passes 16,777,216 characters" in problems[0].message
