"""The `orgo.ai/v1` document: text → document → canonical form → digest → template. Pure.

`parse_publication` and `parse_template` read YAML or JSON and tell every problem at once; `load_canonical`
turns a stored canonical document into the record that is built; `json_schema` is made from the same models.
"""

from ingot.template.canonical import digest_of
from ingot.template.publication import Publication, parse_publication, parse_template
from ingot.template.schema import json_schema
from ingot.template.source import MAX_BODY_BYTES
from ingot.template.typed import CARRIED_SECTIONS, load_canonical

__all__ = [
    "CARRIED_SECTIONS",
    "MAX_BODY_BYTES",
    "Publication",
    "digest_of",
    "json_schema",
    "load_canonical",
    "parse_publication",
    "parse_template",
]
