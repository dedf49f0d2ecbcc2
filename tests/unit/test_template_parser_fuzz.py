"""Whatever bytes come in, the parser answers with a template or with one of its three errors."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped] # ships no types
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingot.errors import RequestError, TemplateError, TooLargeError
from ingot.template import Publication, digest_of, json_schema, load_canonical, parse_publication

GOLDEN = Path(__file__).parent / "golden_documents"
TYPES = st.sampled_from([None, "application/json", "application/yaml", "text/plain"])
FULL = (GOLDEN / "full.yaml").read_bytes()
VALIDATOR = jsonschema.Draft202012Validator(json_schema())

FIELDS = "api_version name template cpu ram files env vars apps services run secret hooks health A"
VALUES = ["orgo.ai/v1", "a@1.0.0", "4gb", "/etc/x", "${var.a}", "~", "3.10", "no", "", "\x00", "\ud800", "é\u2028"]
words = st.sampled_from([*FIELDS.split(), *VALUES])
scalars = st.one_of(words, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5))
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=4), max_leaves=15
)
fuzzing = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def publish(body: bytes, content_type: str | None) -> Publication | None:
    """The publication, or None for one of the errors that are promised; each of them can be encoded."""
    try:
        return parse_publication(body, content_type)
    except TemplateError as error:
        for problem in error.problems:
            f"{problem.field} {problem.message} {problem.hint}".encode()
    except (RequestError, TooLargeError) as error:
        str(error).encode()
    return None


@fuzzing
@given(st.binary(max_size=200), TYPES)
def test_no_bytes_crash_the_parser(body: bytes, content_type: str | None) -> None:
    publish(body, content_type)


@fuzzing
@given(st.text(alphabet="{}[]:,-?&*!|>'\"%@`#~ \n\tab01.\\ux", max_size=60), TYPES)
def test_no_punctuation_crashes_the_parser(text: str, content_type: str | None) -> None:
    publish(text.encode(), content_type)


@fuzzing
@given(trees)
def test_no_json_tree_crashes_the_parser(tree: object) -> None:
    publish(json.dumps(tree).encode(), "application/json")


@fuzzing
@given(st.dictionaries(words, trees, max_size=5))
def test_no_fields_of_a_document_crash_the_parser(fields: dict[str, object]) -> None:
    document = {"api_version": "orgo.ai/v1", "name": "a@1.0.0", **fields}
    publish(json.dumps(document).encode(), "application/json")


@fuzzing
@given(st.integers(0, len(FULL)), st.integers(0, 40), st.binary(max_size=6))
def test_a_damaged_document_is_a_template_or_an_error(start: int, length: int, put: bytes) -> None:
    body = FULL[:start] + put + FULL[start + length :]
    publication = publish(body, None)
    if publication is not None:
        canonical = publication.canonical
        assert digest_of(json.loads(json.dumps(canonical))) == publication.template.digest
        with contextlib.suppress(RequestError):
            assert parse_publication(json.dumps(canonical).encode(), None).canonical == canonical
        assert load_canonical(canonical) == publication.template
        VALIDATOR.validate(canonical)
