"""Turns the bytes of a body or file into a tree: size, encoding, and which of YAML and JSON it is.

It knows nothing of templates. What cannot be read at all is a RequestError (`bad_body`) or a TooLargeError;
what can be read and is wrong becomes a problem.
"""

from __future__ import annotations

from ingot.errors import RequestError, TooLargeError
from ingot.template.json_text import read_json
from ingot.template.tree import Reading
from ingot.template.yaml_text import read_yaml

MAX_BODY_BYTES = 4 * 1024 * 1024

_WIDE_MARKS = (b"\xff\xfe", b"\xfe\xff")


def read_source(body: bytes, content_type: str | None, file_name: str = "") -> Reading:
    """Reads a template's bytes. The format is the content type's, else the file name's, else whichever fits."""
    text = decode(body)
    kind = _kind(content_type, file_name)
    if kind == "json":
        return read_json(text)
    if kind == "" and text.lstrip(" \t\r\n").startswith("{"):
        return _read_either(text)
    return read_yaml(text)


def decode(body: bytes) -> str:
    """The body as text without its byte order mark. Raises TooLargeError above 4 MiB, RequestError `bad_body`
    for an empty one and for one that is not UTF-8, naming the first byte that is not."""
    if len(body) > MAX_BODY_BYTES:
        raise TooLargeError(
            f"the body has {len(body):,} bytes, and the limit is {MAX_BODY_BYTES:,}",
            hint="bring large content in with files[].from",
        )
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        offset = error.start + (3 if body.startswith(b"\xef\xbb\xbf") else 0)
        line = body.count(b"\n", 0, offset) + 1
        hint = "save it as UTF-8" + (" (it looks like UTF-16)" if body.startswith(_WIDE_MARKS) else "")
        raise RequestError(
            f"the body is not UTF-8: byte 0x{body[offset]:02x} at offset {offset} (line {line}) fits no character",
            hint=hint,
            code="bad_body",
        ) from error
    if not text.strip():
        raise RequestError("the body is empty: send a template as YAML or JSON", code="bad_body")
    return text


def _kind(content_type: str | None, file_name: str) -> str:
    media = (content_type or "").partition(";")[0].strip().lower()
    if media.endswith(("/json", "+json")):
        return "json"
    if media.endswith(("/yaml", "/x-yaml", "+yaml")):
        return "yaml"
    suffix = file_name.lower().rpartition(".")[2]
    return {"json": "json", "yaml": "yaml", "yml": "yaml"}.get(suffix, "")


def _read_either(text: str) -> Reading:
    """An opening brace begins both JSON and YAML: JSON unless only YAML can read it."""
    try:
        return read_json(text)
    except RequestError as error:
        try:
            return read_yaml(text)
        except RequestError:
            raise error from None
