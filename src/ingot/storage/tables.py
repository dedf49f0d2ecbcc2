"""Every SQL table, in one place. Times are integer milliseconds since the epoch; columns whose name ends in
`_json` hold JSON as text. The migrations make exactly these tables (a test compares the two).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

accounts = Table(
    "accounts",
    metadata,
    Column("name", Text, primary_key=True),
    Column("created_ms", BigInteger, nullable=False),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, ForeignKey("accounts.name"), nullable=False),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False),
    Column("hash", Text, nullable=False, unique=True),
    Column("scopes_json", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("last_used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
)

# `session` is the session that made the ticket, null where a key did.
stream_tickets = Table(
    "stream_tickets",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("session", Text, ForeignKey("sessions.hash", ondelete="CASCADE")),
    Column("ref", Text, nullable=False),
    Column("issued_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("used", Boolean, nullable=False),
    Index("ix_stream_tickets_key_id", "key_id", "issued_ms"),
    Index("ix_stream_tickets_session", "session"),
)

# `used_ms` is when a session was last used, to within an hour; it ends at `ends_ms` whatever happens.
sessions = Table(
    "sessions",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("ends_ms", BigInteger, nullable=False),
    Index("ix_sessions_key_id", "key_id", "used_ms"),
)

# `session` is the session that made the code, null where a key did.
session_codes = Table(
    "session_codes",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("key_id", Text, ForeignKey("api_keys.id"), nullable=False),
    Column("session", Text, ForeignKey("sessions.hash", ondelete="CASCADE")),
    Column("expires_ms", BigInteger, nullable=False),
    Index("ix_session_codes_key_id", "key_id", "expires_ms"),
    Index("ix_session_codes_session", "session"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("key_id", Text, nullable=False),
    Column("nonce", LargeBinary, nullable=False),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "name"),
)

CURATED_ACCOUNT = "system"
"""Owns the curated templates; no key can be made for it."""

templates = Table(
    "templates",
    metadata,
    Column("account", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("document_json", Text, nullable=False),
    Column("published_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("account", "namespace", "name", "version"),
)

# Attempts outlive the template they built, so that an attempt's number is never given twice: rows are not deleted.
# `position` is the order in the queue; `sealed` says that the end is decided and a cancel comes too late.
builds = Table(
    "builds",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("id", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("force", Boolean, nullable=False),
    Column("no_cache", Boolean, nullable=False),
    Column("refresh", Boolean, nullable=False),
    Column("keep_on_failure", Integer, nullable=False, server_default="0"),
    Column("phase", Text),
    Column("step", Text),
    Column("queued_ms", BigInteger, nullable=False),
    Column("started_ms", BigInteger),
    Column("finished_ms", BigInteger),
    Column("reused", Boolean, nullable=False),
    Column("failure_json", Text),
    Column("golden_key", Text),
    Column("joined_to", Text, ForeignKey("builds.id")),
    Column("cancel_requested", Boolean, nullable=False),
    Column("sealed", Boolean, nullable=False),
    Column("manifest_json", Text),
    UniqueConstraint("account", "namespace", "name", "version", "attempt"),
    Index("ix_builds_state", "state", "position"),
    Index("ix_builds_digest", "digest", "state"),
    Index("ix_builds_joined_to", "joined_to"),
    Index("ix_builds_account", "account", "finished_ms"),
)

build_steps = Table(
    "build_steps",
    metadata,
    Column("build_id", Text, ForeignKey("builds.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("title", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("duration_ms", BigInteger),
    Column("layer", Text),
    PrimaryKeyConstraint("build_id", "place"),
)

workspaces = Table(
    "workspaces",
    metadata,
    Column("id", Text, primary_key=True),
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

# Test runs are in no row: they end with their server. `layers_json` lists a computer's own layers, oldest first;
# `machine` is the backend's name for the machine while there is one; `wanted` says that it is to run.
computers = Table(
    "computers",
    metadata,
    Column("id", Text, primary_key=True),
    Column("instance_id", Text, nullable=False, unique=True),
    Column("account", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("golden_key", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("spec_json", Text, nullable=False),
    Column("ports_json", Text, nullable=False),
    Column("layers_json", Text, nullable=False),
    Column("machine", Text),
    Column("wanted", Boolean, nullable=False),
    Column("workspace", Text, ForeignKey("workspaces.id")),
    Column("auto_stop_minutes", Integer),
    Column("error", Text),
    Column("created_ms", BigInteger, nullable=False),
    Column("vnc_password", Text),
)
