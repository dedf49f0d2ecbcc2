"""From a process's bytes to finished lines, in pure stages.

bytes → incremental UTF-8 → redactor → line splitter → carriage-return folding → sanitiser → second
redaction → caps. Nothing here waits, reads a clock or writes anywhere: time is an argument.
"""

from ingot.events.ingest.caps import Limits, Omission
from ingot.events.ingest.pipeline import Ingest
from ingot.events.ingest.redactor import Redactor, redact_line
from ingot.events.ingest.sanitiser import sanitise
from ingot.events.ingest.secret_forms import SecretForms

__all__ = ["Ingest", "Limits", "Omission", "Redactor", "SecretForms", "redact_line", "sanitise"]
