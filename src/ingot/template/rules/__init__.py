"""Rules over several fields of a document with its variables filled in.

A rule is a generator of findings. It meets documents that the models have refused, so that everything is
told at once: whatever is not of the expected shape is passed over here, and told there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ingot.template.rules.files import check_files
from ingot.template.rules.names import check_names
from ingot.template.rules.network import check_addresses, check_egress, check_health, check_ports
from ingot.template.rules.references import check_references, check_requires
from ingot.template.rules.triggers import check_triggers
from ingot.template.rules.values import check_values
from ingot.template.rules.walk import Mapped
from ingot.template.tree import Finding

_RULES: tuple[Callable[[Mapped], Iterator[Finding]], ...] = (
    check_names,
    check_requires,
    check_references,
    check_files,
    check_ports,
    check_health,
    check_addresses,
    check_egress,
    check_triggers,
    check_values,
)


def check_rules(document: object) -> list[Finding]:
    """Everything that the rules object to; nothing for a document that is no mapping."""
    if not isinstance(document, dict):
        return []
    return [finding for rule in _RULES for finding in rule(document)]
