"""The first schema.

Written once and never changed: `tables.py` may move on, what this revision makes may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make_accounts()
    _make_api_keys()
    _make_secrets()
    _make_templates()
    _make_builds()
    _make_build_steps()


def _make_accounts() -> None:
    op.create_table(
        "accounts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_accounts")),
    )


def _make_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prefix", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("scopes_json", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_used_ms", sa.BigInteger()),
        sa.Column("revoked_ms", sa.BigInteger()),
        sa.ForeignKeyConstraint(["account"], ["accounts.name"], name=op.f("fk_api_keys_account")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("hash", name=op.f("uq_api_keys_hash")),
    )


def _make_secrets() -> None:
    op.create_table(
        "secrets",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("updated_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "name", name=op.f("pk_secrets")),
    )


def _make_templates() -> None:
    op.create_table(
        "templates",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("document_json", sa.Text(), nullable=False),
        sa.Column("published_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "namespace", "name", "version", name=op.f("pk_templates")),
    )


def _make_builds() -> None:
    op.create_table(
        "builds",
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("namespace", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("force", sa.Boolean(), nullable=False),
        sa.Column("no_cache", sa.Boolean(), nullable=False),
        sa.Column("refresh", sa.Boolean(), nullable=False),
        sa.Column("phase", sa.Text()),
        sa.Column("step", sa.Text()),
        sa.Column("queued_ms", sa.BigInteger(), nullable=False),
        sa.Column("started_ms", sa.BigInteger()),
        sa.Column("finished_ms", sa.BigInteger()),
        sa.Column("reused", sa.Boolean(), nullable=False),
        sa.Column("failure_json", sa.Text()),
        sa.Column("golden_key", sa.Text()),
        sa.Column("joined_to", sa.Text()),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("sealed", sa.Boolean(), nullable=False),
        sa.Column("manifest_json", sa.Text()),
        sa.ForeignKeyConstraint(["joined_to"], ["builds.id"], name=op.f("fk_builds_joined_to")),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_builds")),
        sa.UniqueConstraint("account", "namespace", "name", "version", "attempt", name=op.f("uq_builds_account")),
        sa.UniqueConstraint("id", name=op.f("uq_builds_id")),
    )
    op.create_index("ix_builds_digest", "builds", ["digest", "state"], unique=False)
    op.create_index("ix_builds_joined_to", "builds", ["joined_to"], unique=False)
    op.create_index("ix_builds_state", "builds", ["state", "position"], unique=False)


def _make_build_steps() -> None:
    op.create_table(
        "build_steps",
        sa.Column("build_id", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("layer", sa.Text()),
        sa.ForeignKeyConstraint(["build_id"], ["builds.id"], name=op.f("fk_build_steps_build_id")),
        sa.PrimaryKeyConstraint("build_id", "place", name=op.f("pk_build_steps")),
    )
